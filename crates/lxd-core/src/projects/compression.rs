//! How images and backups of a project are compressed.

use std::io;

use lxd_db::projects;
use lxd_image::Encoder;
use lxd_types::compression::Compression;
use lxd_types::names::ProjectName;
use lxd_types::{ConfigExt, Error, Result};

use crate::SharedCore;

/// The compression that a request chose; where it chose none, that of the project (`key`), of the server, gzip.
///
/// # Errors
/// It is unknown or not supported.
pub async fn compression(
    core: &SharedCore,
    project: &ProjectName,
    key: &'static str,
    chosen: &str,
) -> Result<Compression> {
    let name = project.to_string();
    let own = core.db.read(move |tx| Ok(projects::get(tx, &name)?.config)).await?;
    let server = core.server.config();
    let configured = own.set(key).or_else(|| server.set(key)).unwrap_or("gzip");
    let compression: Compression = if chosen.is_empty() { configured } else { chosen }.parse()?;
    // It fails now rather than after packing.
    Encoder::new(compression, io::sink()).map_err(|error| Error::not_implemented(error.to_string()))?;
    Ok(compression)
}
