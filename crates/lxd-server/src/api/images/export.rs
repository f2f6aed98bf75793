//! `/1.0/images/{fingerprint}/export`.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use lxd_core::images::{self, Export, ExportPart, form_end, form_head};
use lxd_types::{Error, Result};

use crate::{Ctx, Reply, transfer};

/// The file of a unified image, or a form with both files of a split one.
pub async fn get(cx: Ctx) -> Result<Reply> {
    let view = super::view(&cx, true);
    let export = images::export(&cx.core, &cx.caller, view, cx.param("fingerprint")).await?;
    reply(export)
}

/// The answer with an image's files.
///
/// # Errors
/// A name of a file cannot stand in a header.
pub fn reply(export: Export) -> Result<Reply> {
    let mut parts = export.parts;
    if parts.len() == 1
        && let Some(part) = parts.pop()
    {
        return Reply::file(part.file, part.size, &part.filename);
    }
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let content_type = format!("multipart/form-data; boundary={boundary}");
    Reply::stream(&content_type, form(&boundary, parts)?)
}

fn form(
    boundary: &str,
    parts: Vec<ExportPart>,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let mut pieces = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let head = form_head(boundary, at == 0, &part).map_err(|error| Error::internal(error.to_string()))?;
        pieces.push(once(head).boxed());
        pieces.push(transfer::send(part.file, part.size).boxed());
    }
    pieces.push(once(form_end(boundary)).boxed());
    Ok(stream::iter(pieces).flatten())
}

fn once(text: String) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::once(async move { Ok(Bytes::from(text)) })
}

/// Sending an image to another server.
pub async fn push(cx: Ctx) -> Result<Reply> {
    images::get(&cx.core, super::view(&cx, false), cx.param("fingerprint")).await?;
    Err(Error::not_implemented("Sending images to other servers is not supported yet"))
}
