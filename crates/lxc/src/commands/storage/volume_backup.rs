//! `lxc storage volume export` and `import`

use std::path::Path;

use anyhow::{Context, Result, bail};
use lxd_api::Timestamp;
use lxd_client::{Call, encode};
use serde_json::json;

use super::volume::volume;
use crate::cli::{Matches, Spec, TARGET, switch, value};
use crate::cx::Cx;
use crate::{backup, follow, upload};

pub static EXPORT: Spec = Spec {
    name: "export",
    args: "[<remote>:]<pool> <volume> [<path>]",
    about: "Write a backup file of a custom volume",
    flags: &[
        value("compression", "Compression algorithm, or none"),
        switch("optimized-storage", "In the form of the storage driver, which only the same driver reads"),
        TARGET,
        switch("volume-only", "Without snapshots"),
    ],
    count: (2, 3),
    run: Some(|cx, m| Box::pin(export(cx, m))),
    ..Spec::NEW
};

async fn export(cx: &Cx, matches: &Matches) -> Result<()> {
    let volume = volume(cx, matches)?;
    if volume.kind != "custom" {
        bail!("Only \"custom\" volumes can be exported");
    }
    let body = json!({
        "name": "",
        "expires_at": Timestamp::from_unix(Timestamp::now().unix() + backup::LIFE),
        "volume_only": matches.is("volume-only"),
        "optimized_storage": matches.is("optimized-storage"),
        "compression_algorithm": matches.value("compression"),
    });
    let file = if matches.args.len() > 2 { matches.arg(2) } else { "backup.tar.gz" };
    let path = format!("{}/backups", volume.path());
    backup::export(
        cx,
        &volume.pool,
        &path,
        &body,
        ["Create storage volume backup", "Exporting the backup"],
        file,
    )
    .await
}

pub static IMPORT: Spec = Spec {
    name: "import",
    args: "[<remote>:]<pool> <backup file> [<volume name>]",
    about: "Make a custom volume from a backup file",
    examples: "  lxc storage volume import default backup0.tar.gz\n      Make a custom volume of \"backup0.tar.gz\".",
    flags: &[TARGET],
    count: (2, 3),
    run: Some(|cx, m| Box::pin(import(cx, m))),
    ..Spec::NEW
};

async fn import(cx: &Cx, matches: &Matches) -> Result<()> {
    let pool = super::target(cx, matches)?;
    let file = upload::Source::open(Path::new(matches.arg(1))).await?;
    let call = Call::new("POST", &format!("/1.0/storage-pools/{}/volumes/custom", encode(&pool.name)))
        .header("content-type", "application/octet-stream")
        .header("content-length", &file.length.to_string());
    let call = match matches.args.get(2) {
        Some(name) => call.header("x-lxd-name", name),
        None => call,
    };
    let call = call.stream(file.progress(cx, "Importing custom volume"));
    let operation = pool.client.start_call(call).await;
    let mut operation = operation.context("Create custom volume from backup")?;
    follow::wait(cx, &mut operation, "Importing custom volume").await
}
