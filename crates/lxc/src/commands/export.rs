//! `lxc export`

use std::path::Path;

use anyhow::{Context, Result, bail};
use lxd_api::Timestamp;
use lxd_client::{Call, encode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::cli::{Matches, Spec, switch, value};
use crate::cx::{Cx, Target};
use crate::{follow, upload};

/// How long the server keeps a backup that nobody fetches.
const LIFE: i64 = 24 * 60 * 60;

/// The command.
pub static SPEC: Spec = Spec {
    name: "export",
    args: "[<remote>:]<instance> [target] [--instance-only] [--optimized-storage]",
    about: "Write an instance backup file",
    examples: "  lxc export u1 backup0.tar.gz\n      Write a backup of \"u1\".",
    flags: &[
        value("compression", "Compression algorithm, or none"),
        switch("instance-only", "Without snapshots"),
        switch("optimized-storage", "In the form of the storage driver, which only the same driver reads"),
    ],
    count: (1, 2),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    if target.name.is_empty() || target.name.contains('/') {
        bail!("Invalid instance name");
    }
    let path = format!("/1.0/instances/{}/backups", target.segment());
    let body = json!({
        "name": "",
        "expires_at": Timestamp::from_unix(Timestamp::now().unix() + LIFE),
        "instance_only": matches.is("instance-only"),
        "container_only": matches.is("instance-only"),
        "optimized_storage": matches.is("optimized-storage"),
        "compression_algorithm": matches.value("compression"),
    });
    let started = target.client.start("POST", &path, Some(&body)).await;
    let mut operation = started.context("Create instance backup")?;
    follow::wait(cx, &mut operation, "Backing up instance").await?;
    let url = operation.state.resources.get("backups").and_then(|urls| urls.first());
    let name = url.and_then(|url| url.split('?').next()?.rsplit('/').next());
    let name = name.context("The server told no name of the backup")?;
    let backup = format!("{path}/{}", encode(name));
    let file = if matches.args.len() > 1 { matches.arg(1) } else { "backup.tar.gz" };
    let fetched = fetch(&target, &backup, file).await;
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
