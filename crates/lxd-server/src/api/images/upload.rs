//! `POST /1.0/images`: a JSON request, one file, or a form with the two files of a split image.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use lxd_api::image::ImagesPost;
use lxd_auth::{Level, Permit};
use lxd_core::images::multipart::{Event, Form};
use lxd_core::images::{self, ImageUpload, UploadOptions};
use lxd_types::{Error, Result};

use crate::{Ctx, Reply, body, path};

/// Makes an image of what the client sends. No image begins with a brace: such a body is a JSON request, whatever
/// its content type says.
/// Another server that was told a secret may send one image.
pub async fn create(mut cx: Ctx) -> Result<Reply> {
    let (permit, options) = match cx.header("x-lxd-secret").filter(|secret| !secret.is_empty()) {
        Some(secret) => pushed(&cx, secret)?,
        None => (lxd_auth::authorize(&cx.caller, &cx.project, Level::Manage)?, options(&cx)),
    };
    let by_push = cx.header("x-lxd-secret").is_some();
    let form = Form::new(cx.header("content-type").unwrap_or_default()).map_err(Error::from)?;
    let mut stream = cx.stream();
    if let Some(form) = form {
        let upload = receive_form(&cx, &permit, &mut stream, form).await?;
        return Reply::operation(&images::create_from_upload(&cx.core, &permit, upload, options));
    }
    let first = stream.next().await.transpose().map_err(gone)?.unwrap_or_default();
    if first.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') && !by_push {
        let post: ImagesPost = body::json(&rest(first, &mut stream).await?)?;
        return Reply::operation(&*images::create_from_request(&cx.core, &permit, post).await?);
    }
    let mut upload = ImageUpload::new(&cx.core, &permit, false).await?;
    upload.write(first).await;
    while let Some(block) = stream.next().await {
        upload.write(block.map_err(gone)?).await;
    }
    Reply::operation(&images::create_from_upload(&cx.core, &permit, upload, options))
}

/// Takes a form to its end, even when it is wrong: clients read the answer only then.
async fn receive_form(
    cx: &Ctx,
    permit: &Permit,
    stream: &mut (impl Stream<Item = std::io::Result<Bytes>> + Unpin),
    mut form: Form,
) -> Result<ImageUpload> {
    let mut upload = ImageUpload::new(&cx.core, permit, true).await?;
    let mut broken = false;
    while let Some(block) = stream.next().await {
        let block = block.map_err(gone)?;
        if broken {
            continue;
        }
        form.feed(&block);
        loop {
            match form.next_event() {
                Ok(Some(Event::Part { name, filename })) => upload.begin_part(&name, filename).await,
                Ok(Some(Event::Data(data))) => upload.write(data).await,
                Ok(Some(Event::End) | None) => break,
                Err(error) => {
                    upload.fail(error);
                    broken = true;
                    break;
                }
            }
        }
    }
    if !broken && !form.is_ended() {
        return Err(Error::bad_request("The form ends early"));
    }
    Ok(upload)
}

/// The whole JSON body.
async fn rest(
    first: Bytes,
    stream: &mut (impl Stream<Item = std::io::Result<Bytes>> + Unpin),
) -> Result<BytesMut> {
    let mut whole = BytesMut::from(&first[..]);
    while let Some(block) = stream.next().await {
        whole.extend_from_slice(&block.map_err(gone)?);
        if whole.len() > body::JSON_LIMIT {
            let limit = body::JSON_LIMIT;
            return Err(Error::too_large(format!("The request body is larger than {limit} bytes")));
        }
    }
    Ok(whole)
}

fn gone(error: std::io::Error) -> Error {
    Error::bad_request(format!("Failed to read body: {error}"))
}

/// The leave to send an image here with the secret of a token, and what the token's creator wants it to be.
fn pushed(cx: &Ctx, secret: &str) -> Result<(Permit, UploadOptions)> {
    let fingerprint = cx.header("x-lxd-fingerprint").unwrap_or_default();
    let options = images::accept_push(&cx.core, &cx.project, fingerprint, secret)?;
    let filename = cx.header("x-lxd-filename").unwrap_or_default().to_owned();
    Ok((
        Permit::granted(cx.project.clone(), cx.caller.as_ref().clone()),
        UploadOptions { filename, ..options },
    ))
}

/// The `X-LXD-*` headers.
fn options(cx: &Ctx) -> UploadOptions {
    let text = |name: &str| cx.header(name).unwrap_or_default().to_owned();
    let list = |name: &str, key: &str| -> Vec<String> {
        let pairs = path::query(cx.header(name).unwrap_or_default());
        pairs.into_iter().filter(|(found, _)| found == key).map(|(_, value)| value).collect()
    };
    let profiles = list("x-lxd-profiles", "profile");
    UploadOptions {
        filename: text("x-lxd-filename"),
        public: matches!(text("x-lxd-public").to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"),
        properties: path::query(cx.header("x-lxd-properties").unwrap_or_default()).into_iter().collect(),
        fingerprint: text("x-lxd-fingerprint"),
        aliases: list("x-lxd-aliases", "alias").into_iter().map(|name| (name, String::new())).collect(),
        profiles: (!profiles.is_empty()).then_some(profiles),
        ..UploadOptions::default()
    }
}
