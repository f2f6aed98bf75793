//! Images of simplestreams servers: finding them, and their files.

use anyhow::{Context, Result};
use lxd_api::image::ImageAliasesEntry;
use lxd_client::simplestreams::{StreamFile, StreamImage};
use lxd_client::{Reply, web};
use lxd_types::arch::Architecture;

use crate::cx::Cx;

/// The architecture of this machine.
///
/// # Errors
/// It is unknown.
pub fn native() -> Result<Architecture> {
    Architecture::native().context("The architecture of this host is unknown")
}

/// The image of an alias (`default` when empty), or whose fingerprint begins so.
///
/// # Errors
/// The server is away or has no such image.
pub async fn find(cx: &Cx, remote: &str, name: &str, virtual_machine: bool) -> Result<StreamImage> {
    let name = if name.is_empty() { "default" } else { name };
    let own = native()?;
    let architectures: Vec<Architecture> =
        std::iter::once(own).chain(own.personalities().iter().copied()).collect();
    let streams = cx.streams(remote).await?;
    let found = streams.find(name, virtual_machine, &architectures);
    found.cloned().context("The requested image couldn't be found")
}

/// The aliases of a server.
///
/// # Errors
/// The server is away.
pub async fn aliases(cx: &Cx, remote: &str) -> Result<Vec<ImageAliasesEntry>> {
    let images = cx.streams(remote).await?.listed(native()?);
    let of = |image: lxd_api::image::Image| {
        let entry = move |name| ImageAliasesEntry {
            name,
            target: image.fingerprint.clone(),
            kind: image.kind.clone(),
            ..ImageAliasesEntry::default()
        };
        image.aliases.into_iter().map(|alias| alias.name).map(entry)
    };
    Ok(images.into_iter().flat_map(of).collect())
}

/// Begins to fetch a file.
///
/// # Errors
/// The server is away or has no such file.
pub async fn open(cx: &Cx, remote: &str, file: &StreamFile) -> Result<Reply> {
    let base = cx.remote(remote)?.addr;
    let url = format!("{}/{}", base.trim_end_matches('/'), file.path);
    Ok(web::get(&url, &cx.egress(remote)).await?)
}

/// The name of a file, without its folders.
pub fn name_of(file: &StreamFile) -> &str {
    file.path.rsplit('/').next().unwrap_or_default()
}
