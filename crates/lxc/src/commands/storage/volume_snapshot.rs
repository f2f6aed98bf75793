//! `lxc storage volume snapshot` and `restore`

use anyhow::{Result, bail};
use lxd_api::storage_volume::StorageVolumeSnapshot;
use lxd_client::encode;
use serde_json::{Value, json};

use super::volume::{Volume, volume};
use crate::cli::{Matches, Spec, TARGET, switch};
use crate::commands::entity::send;
use crate::cx::Cx;
use crate::output::{print, table, units};

/// `lxc storage volume snapshot`
pub static SNAPSHOT: Spec = Spec {
    name: "snapshot",
    args: "[<remote>:]<pool> <volume> [<snapshot>]",
    about: "Take a snapshot of a custom volume",
    flags: &[
        switch("no-expiry", "Ignore the configured expiry"),
        switch("reuse", "Replace a snapshot of that name"),
        TARGET,
    ],
    count: (2, 3),
    run: Some(|cx, m| Box::pin(snapshot(cx, m))),
    ..Spec::NEW
};

async fn snapshot(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = custom(cx, matches)?;
    let name = matches.arg(2);
    let client = &volume.pool.client;
    if matches.is("reuse") && !name.is_empty() {
        let path = format!("{}/snapshots/{}", volume.path(), encode(name));
        if client.send::<Value>("GET", &path, None).await.is_ok() {
            send(cx, client, "DELETE", &path, None).await?;
        }
    }
    let mut body = json!({"name": name});
    if matches.is("no-expiry") {
        body["expires_at"] = json!("0001-01-01T00:00:00Z");
    }
    send(cx, client, "POST", &format!("{}/snapshots", volume.path()), Some(&body)).await?;
    Ok(())
}

/// `lxc storage volume restore`
pub static RESTORE: Spec = Spec {
    name: "restore",
    args: "[<remote>:]<pool> <volume> <snapshot>",
    about: "Put a custom volume back to a snapshot",
    flags: &[TARGET],
    count: (3, 3),
    run: Some(|cx, m| Box::pin(restore(cx, m))),
    ..Spec::NEW
};

async fn restore(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = custom(cx, matches)?;
    let client = &volume.pool.client;
    let (_, etag): (Value, String) = client.get_etag(&volume.path()).await?;
    client
        .start_if_match("PUT", &volume.path(), &json!({"restore": matches.arg(2)}), &etag)
        .await?
        .wait()
        .await?;
    Ok(())
}

fn custom(cx: &Cx, matches: &Matches) -> Result<Volume> {
    let volume = volume(cx, matches)?;
    if volume.kind != "custom" {
        bail!("Only \"custom\" volumes can be snapshotted");
    }
    Ok(volume)
}

/// Prints the snapshots of a volume, if there are any.
///
/// # Errors
/// The server's.
pub async fn print_list(volume: &Volume) -> Result<()> {
    let path = format!("{}/snapshots?recursion=1", volume.path());
    let snapshots: Vec<StorageVolumeSnapshot> = volume.pool.client.get(&path).await?;
    if snapshots.is_empty() {
        return Ok(());
    }
    let header = ["NAME", "DESCRIPTION", "EXPIRES AT"].map(str::to_owned);
    let rows: Vec<Vec<String>> = snapshots
        .iter()
        .map(|snapshot| {
            let expires = if snapshot.expires_at.is_never() {
                String::new()
            } else {
                units::minute_local(&snapshot.expires_at)
            };
            vec![snapshot.name.clone(), snapshot.description.clone(), expires]
        })
        .collect();
    print(&format!("\nSnapshots:\n{}", table::framed(&header, &rows)));
    Ok(())
}
