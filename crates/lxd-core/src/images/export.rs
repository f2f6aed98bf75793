//! `GET /1.0/images/{fingerprint}/export`.

use lxd_auth::Caller;
use lxd_image::{ExportPart, export_parts};
use lxd_types::names::Fingerprint;
use lxd_types::{Error, Kind, Result};

use super::get::{View, find};
use super::url_of;
use crate::Core;
use crate::lifecycle::Lifecycle;

/// The open files of an image.
#[derive(Debug)]
pub struct Export {
    /// One part for a unified image, two for a split one.
    pub parts: Vec<ExportPart>,
    /// When it came to this server.
    pub uploaded: chrono::DateTime<chrono::Utc>,
}

/// Opens the files of an image for a client.
///
/// # Errors
/// "Image not found", or its files are missing.
pub async fn export(core: &Core, caller: &Caller, view: View, prefix: &str) -> Result<Export> {
    let project = view.project.clone();
    let row = find(core, view, prefix).await?;
    let fingerprint: Fingerprint = row.fingerprint.parse()?;
    let (store, wanted) = (core.image_store.clone(), fingerprint.clone());
    let parts = tokio::task::spawn_blocking(move || export_parts(&store, &wanted)).await;
    let parts =
        parts.map_err(|panic| Error::with_source(Kind::Internal, "Opening an image panicked", panic))??;
    let event = Lifecycle::new("image-retrieved", url_of(fingerprint.as_str())).in_project(&project);
    core.tell(caller, event);
    Ok(Export { parts, uploaded: row.uploaded })
}
