//! `POST /1.0/images/{fingerprint}/export`: sends an image to another server, which expects it
//! (`POST /1.0/images` with `source.mode=push` there).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use lxd_api::image::ImageExportPost;
use lxd_auth::Permit;
use lxd_client::{Call, Client};
use lxd_task::operation::Operation;
use lxd_task::{OpHandle, OperationSpec};
use lxd_types::{Error, Result};
use tokio::sync::Notify;

use super::get::View;
use super::meter::Meter;
use super::remote::{self, RemoteImage};
use super::{Export, form};
use crate::{SharedCore, transfer};

/// Starts to send an image; the answer is the operation.
///
/// # Errors
/// "Image not found", a target that is no HTTPS URL, a certificate that is none.
pub async fn push(
    core: &SharedCore,
    permit: &Permit,
    prefix: &str,
    post: ImageExportPost,
) -> Result<Arc<Operation>> {
    let view = View { project: permit.project().clone(), public_only: false };
    let export = super::export(core, permit.caller(), view, prefix).await?;
    let target = RemoteImage {
        server: post.target,
        certificate: post.certificate,
        fingerprint: export.fingerprint.to_string(),
        project: post.project,
        ..RemoteImage::default()
    };
    target.check()?;
    let client = remote::client(core, permit.project(), &target).await?;
    let spec = OperationSpec::task("Downloading image", permit.project().as_str())
        .by(permit.caller().requestor())
        .cancellable();
    let patience = core.faults.patience(remote::SILENCE);
    Ok(core.operations.spawn(spec, move |op| async move {
        tokio::select! {
            sent = send(&op, &client, export, &post.secret, patience) => sent,
            () = op.cancelled() => op.check(),
        }
    }))
}

/// Sends the files, and waits until the other server has looked at them.
async fn send(
    op: &OpHandle,
    client: &Client,
    export: Export,
    secret: &str,
    patience: Duration,
) -> Result<()> {
    let fingerprint = export.fingerprint.to_string();
    let (content_type, body, length) = body(export)?;
    let mut meter = Meter::new(op, "upload_progress", length, patience);
    let alive = Arc::new(Notify::new());
    let sign = alive.clone();
    let body = body.inspect_ok(move |block| {
        meter.pass(block.len() as u64);
        sign.notify_one();
    });
    let call = Call::new("POST", "/1.0/images")
        .header("content-type", &content_type)
        .header("content-length", &length.to_string())
        .header("x-lxd-fingerprint", &fingerprint)
        .header("x-lxd-filename", &fingerprint)
        .header("x-lxd-secret", secret)
        .stream(body);
    let failed =
        |error| Error::from(error).context(format!("Failed to send the image to {:?}", client.url("")));
    let mut operation = tokio::select! {
        started = client.start_call(call) => started.map_err(failed)?,
        () = stalled(&alive, patience) => return Err(Error::unavailable("The other server takes nothing any more")),
    };
    // That server lets who knows this secret wait for the end.
    let secret = operation.state.metadata.get("secret").and_then(|secret| secret.as_str()).map(str::to_owned);
    operation.wait_with(secret.as_deref()).await.map(drop).map_err(failed)
}

/// Ends when nothing happened for so long.
async fn stalled(alive: &Notify, patience: Duration) {
    while tokio::time::timeout(patience, alive.notified()).await.is_ok() {}
}

type Body = BoxStream<'static, std::io::Result<Bytes>>;

/// Content type, content and length: the file of a unified image, or a form.
fn body(export: Export) -> Result<(String, Body, u64)> {
    let mut parts = export.parts;
    if parts.len() == 1
        && let Some(part) = parts.pop()
    {
        let content = transfer::send(part.file, part.size).boxed();
        return Ok(("application/octet-stream".to_owned(), content, part.size));
    }
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let (form, length) = form(&boundary, parts)?;
    Ok((format!("multipart/form-data; boundary={boundary}"), form.boxed(), length))
}
