//! `/1.0/images/{fingerprint}/export`.

use lxd_api::image::ImageExportPost;
use lxd_core::images::{self, Export};
use lxd_types::Result;

use crate::{Ctx, Reply};

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
    let (form, length) = images::form(&boundary, parts)?;
    Reply::stream(&content_type, form)?.header(http::header::CONTENT_LENGTH, &length.to_string())
}

/// Sends an image to another server.
pub async fn push(mut cx: Ctx) -> Result<Reply> {
    let post: ImageExportPost = cx.json().await?;
    Reply::operation(&*images::push(&cx.core, &cx.permit()?, cx.param("fingerprint"), post).await?)
}
