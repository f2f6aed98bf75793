//! `POST /1.0/images` with a JSON body: an image from a web server (manual 3.3.3, "File on a remote web server").

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use lxd_api::image::{ImagesPost, ImagesPostSource};
use lxd_auth::Permit;
use lxd_client::web;
use lxd_task::operation::Operation;
use lxd_task::{OpHandle, OperationSpec};
use lxd_types::arch::Architecture;
use lxd_types::names::Fingerprint;
use lxd_types::{Error, Result};

use super::create::{self, UploadOptions};
use super::meter::Meter;
use super::refresh;
use super::remote::{self, RemoteImage};
use crate::SharedCore;

/// The version that web servers are told, that of the API that we speak.
const VERSION: &str = "4.18";

/// Starts to make an image as a JSON request describes it; the answer is the operation.
///
/// # Errors
/// A source of an unknown or unsupported type.
pub async fn create_from_request(
    core: &SharedCore,
    permit: &Permit,
    post: ImagesPost,
) -> Result<Arc<Operation>> {
    let source = post.source.clone();
    if source.mode == "push" {
        return super::secret::expect_push(core, permit, post);
    }
    match source.kind.as_str() {
        "url" | "image" => {}
        "instance" | "container" | "virtual-machine" | "snapshot" => {
            return super::publish(core, permit, post).await;
        }
        // The reference's answer, status included.
        _ => return Err(Error::internal("Invalid images JSON")),
    }
    let options = UploadOptions::from_post(post);
    if source.kind == "image" {
        return refresh::copy(core, permit, named(source), options);
    }
    let spec =
        OperationSpec::task("Downloading image", permit.project().as_str()).by(permit.caller().requestor());
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core.operations.spawn(spec.cancellable(), move |op| async move {
        download(&work, &permit, &op, &source.url, options).await
    }))
}

/// The image of another server that a request names.
fn named(source: ImagesPostSource) -> RemoteImage {
    RemoteImage {
        server: source.server,
        protocol: source.protocol,
        certificate: source.certificate,
        alias: source.alias,
        fingerprint: source.fingerprint,
        secret: source.secret,
        project: source.project,
        virtual_machine: source.image_type == "virtual-machine",
        ..RemoteImage::default()
    }
}

async fn download(
    core: &SharedCore,
    permit: &Permit,
    op: &OpHandle,
    url: &str,
    mut options: UploadOptions,
) -> Result<()> {
    if url.is_empty() {
        return Err(Error::bad_request("Missing URL"));
    }
    let mut egress = core.egress(permit.project()).await?;
    let head = web::fetch("HEAD", url, &request_headers()?, &egress).await?;
    let hash = head.header("lxd-image-hash").to_owned();
    if hash.is_empty() {
        return Err(Error::bad_request("Missing LXD-Image-Hash header"));
    }
    let hash: Fingerprint = hash.parse()?;
    let file = head.header("lxd-image-url").to_owned();
    if file.is_empty() {
        return Err(Error::bad_request("Missing LXD-Image-URL header"));
    }
    // The server chose this URL: it leads to this machine only from this machine.
    egress.reach = head.next;
    let silence = core.faults.patience(remote::SILENCE);
    let mut answer = web::fetch("GET", &file, &HeaderMap::new(), &egress).await?;
    if answer.status != 200 {
        return Err(Error::bad_request(format!("Unable to fetch {file:?}: {}", answer.status)));
    }
    let mut meter = Meter::new(op, "download_progress", answer.length().unwrap_or(0), silence);
    let mut upload = super::receive(core, permit.project()).await?;
    while let Some(block) = meter.next(&mut answer).await? {
        upload.write(block).await?;
    }
    let received = upload.finish().await?;
    if received.fingerprint != hash {
        let got = &received.fingerprint;
        return Err(Error::bad_request(format!("Hash mismatch for {file:?}: {got} != {hash}")));
    }
    options.fingerprint = hash.to_string();
    create::store(core, permit, op, received, options).await
}

fn request_headers() -> Result<HeaderMap> {
    let native =
        Architecture::native().ok_or_else(|| Error::internal("The architecture of this host is unknown"))?;
    let mut names = vec![native.to_string()];
    names.extend(native.personalities().iter().map(ToString::to_string));
    let mut headers = HeaderMap::new();
    let names =
        HeaderValue::from_str(&names.join(", ")).map_err(|error| Error::internal(error.to_string()))?;
    headers.insert("lxd-server-architectures", names);
    headers.insert("lxd-server-version", HeaderValue::from_static(VERSION));
    Ok(headers)
}
