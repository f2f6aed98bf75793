//! `GET /1.0/images/{fingerprint}/export`.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use lxd_auth::Caller;
use lxd_image::{ExportPart, export_parts, form_end, form_head};
use lxd_types::names::Fingerprint;
use lxd_types::{Error, Kind, Result};

use super::get::{View, find};
use super::url_of;
use crate::lifecycle::Lifecycle;
use crate::{Core, transfer};

/// The open files of an image.
#[derive(Debug)]
pub struct Export {
    /// The image.
    pub fingerprint: Fingerprint,
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
    Ok(Export { fingerprint, parts, uploaded: row.uploaded })
}

/// Both files of a split image as the body of a form, and how long it is.
///
/// # Errors
/// A name of a file cannot stand in a header.
pub fn form(
    boundary: &str,
    parts: Vec<ExportPart>,
) -> Result<(impl Stream<Item = io::Result<Bytes>> + Send + use<>, u64)> {
    let (mut pieces, mut length) = (Vec::new(), 0);
    for (at, part) in parts.into_iter().enumerate() {
        let head = form_head(boundary, at == 0, &part).map_err(|error| Error::internal(error.to_string()))?;
        length += head.len() as u64 + part.size;
        pieces.push(once(head).boxed());
        pieces.push(transfer::send(part.file, part.size).boxed());
    }
    let end = form_end(boundary);
    length += end.len() as u64;
    pieces.push(once(end).boxed());
    Ok((stream::iter(pieces).flatten(), length))
}

fn once(text: String) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::once(async move { Ok(Bytes::from(text)) })
}
