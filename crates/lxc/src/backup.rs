//! Backups on their way from the server into a file.

use std::path::Path;

use anyhow::{Context, Result};
use lxd_client::{Call, encode};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::cx::{Cx, Target};
use crate::{follow, upload};

/// How long the server keeps a backup that nobody fetches, in seconds.
pub const LIFE: i64 = 24 * 60 * 60;

/// Makes a backup below the URL `path`, fetches it into a file and removes it from the server. `words`: what failed when it cannot
/// be made, and what is shown meanwhile.
///
/// # Errors
/// Those of the server and of the file.
pub async fn export(
    cx: &Cx,
    target: &Target,
    path: &str,
    body: &Value,
    words: [&'static str; 2],
    file: &str,
) -> Result<()> {
    let started = target.client.start("POST", path, Some(body)).await;
    let mut operation = started.context(words[0])?;
    follow::wait(cx, &mut operation, words[1]).await?;
    let url = operation.state.resources.get("backups").and_then(|urls| urls.first());
    let name = url.and_then(|url| url.split('?').next()?.rsplit('/').next());
    let name = name.context("The server told no name of the backup")?;
    let backup = format!("{path}/{}", encode(name));
    let fetched = fetch(target, &backup, file).await;
    // The server needs it no longer, whatever became of the file.
    let mut operation = target.client.start::<Value>("DELETE", &backup, None).await?;
    follow::wait(cx, &mut operation, "").await?;
    fetched?;
    if !cx.quiet {
        println!("Backup exported successfully!");
    }
    Ok(())
}

async fn fetch(target: &Target, backup: &str, name: &str) -> Result<()> {
    let path = Path::new(name);
    let file = tokio::fs::File::create(path).await;
    let mut file = file.map_err(|error| anyhow::anyhow!("open {name}: {}", upload::reason(&error)))?;
    let received = async {
        let mut reply = target.client.stream(Call::new("GET", &format!("{backup}/export"))).await?;
        while let Some(piece) = reply.chunk().await? {
            file.write_all(&piece).await.with_context(|| name.to_owned())?;
        }
        file.flush().await.with_context(|| name.to_owned())
    };
    let received = received.await;
    if received.is_err() {
        // Half a backup must not look like one.
        let _ = tokio::fs::remove_file(path).await;
    }
    received
}
