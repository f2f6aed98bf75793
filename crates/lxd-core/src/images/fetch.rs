//! Fetching the files of an image from another server, block by block into the store.

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};
use lxd_client::simplestreams::{StreamFile, StreamImage};
use lxd_client::{Call, Egress, Reply, web};
use lxd_image::multipart::{Event, Form};
use lxd_image::{Part, Received, Upload};
use lxd_task::OpHandle;
use lxd_types::names::ProjectName;
use lxd_types::{Error, Kind, Result};

use super::delta;
use super::meter::Meter;
use super::remote::{self, Found, RemoteImage};
use crate::SharedCore;

/// How much longer a file may be than its server said, for the frame of a form.
const SLACK: u64 = 64 * 1024;

/// How often in a row a broken download is gone on with although nothing came.
const TRIES: usize = 3;

/// Fetches the files of an image.
///
/// # Errors
/// The server breaks off, is silent for long, or sends something else than it said; the operation was cancelled.
pub async fn fetch(
    core: &SharedCore,
    project: &ProjectName,
    op: &OpHandle,
    wanted: &RemoteImage,
    found: &Found,
) -> Result<Received> {
    let silence = core.faults.patience(remote::SILENCE);
    let mut meter = Meter::new(op, "download_progress", found.size(), silence);
    let mut upload = super::receive(core, project).await?;
    match found {
        Found::Lxd(image) => {
            meter.limit(found.size().saturating_add(SLACK));
            let path = remote::with_secret(&format!("/1.0/images/{}/export", image.fingerprint), wanted);
            let client = remote::client(core, project, wanted).await?;
            let reply = meter.patient(client.stream(Call::new("GET", &path))).await?;
            match Form::new(reply.header("content-type")).map_err(Error::from)? {
                Some(form) => receive_form(&mut meter, &mut upload, reply, form).await?,
                None => receive(&mut meter, &mut upload, reply).await?,
            }
        }
        Found::Stream(image) => {
            meter.limit(found.size());
            let source =
                WebSource { egress: wanted.egress(core, project).await?, base: wanted.server.clone() };
            receive_files(core, &mut meter, &mut upload, &source, image).await?;
        }
    }
    Ok(upload.finish().await?)
}

/// A web server with files, and the way to it.
pub(super) struct WebSource {
    /// The way.
    pub egress: Egress,
    /// URL of the server.
    pub base: String,
}

impl WebSource {
    /// The URL of a file.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base.trim_end_matches('/'))
    }
}

/// The metadata, and the root file system: as what changed since an image that is here, or as a whole.
async fn receive_files(
    core: &SharedCore,
    meter: &mut Meter,
    upload: &mut Upload,
    source: &WebSource,
    image: &StreamImage,
) -> Result<()> {
    for (file, part) in image.files.iter().zip([Part::Meta, Part::Rootfs]) {
        upload.begin_part(part).await?;
        if part == Part::Rootfs && delta::apply(core, meter, upload, source, file).await? {
            continue;
        }
        let received = download(meter, upload, source, file).await?;
        if received != file.size {
            return Err(Error::bad_request(format!(
                "{:?} has {received} bytes instead of the {} that the image server said",
                file.path, file.size
            )));
        }
    }
    Ok(())
}

/// What takes the blocks of a download.
pub(super) trait Sink {
    /// Takes the next block.
    async fn take(&mut self, block: bytes::Bytes) -> Result<()>;
}

impl Sink for Upload {
    async fn take(&mut self, block: bytes::Bytes) -> Result<()> {
        Ok(self.write(block).await?)
    }
}

/// Fetches a file; a connection that breaks is made again, and what is missing is asked for. Bytes that came.
///
/// # Errors
/// The server cannot go on where it broke off; the rest as [`fetch`].
pub(super) async fn download(
    meter: &mut Meter,
    sink: &mut impl Sink,
    source: &WebSource,
    file: &StreamFile,
) -> Result<u64> {
    let url = source.url(&file.path);
    let (mut received, mut failures, mut etag) = (0, 0, String::new());
    loop {
        let before = received;
        match from(meter, sink, source, &url, &mut received, &mut etag).await {
            // An answer that ended well is all there is, also a short one.
            Ok(()) => return Ok(received),
            Err(error) if !is_broken(&error) => return Err(error),
            Err(error) if failures >= TRIES => return Err(error),
            Err(error) => tracing::warn!(url, received, error = error.chain(), "A download is gone on with"),
        }
        failures = if received > before { 0 } else { failures + 1 };
    }
}

/// True when the connection, and not the server's will, ended a download.
fn is_broken(error: &Error) -> bool {
    error.kind() == Kind::Internal
}

/// The file from `received` on.
async fn from(
    meter: &mut Meter,
    sink: &mut impl Sink,
    source: &WebSource,
    url: &str,
    received: &mut u64,
    etag: &mut String,
) -> Result<()> {
    let mut headers = HeaderMap::new();
    if *received > 0 {
        let range = HeaderValue::from_str(&format!("bytes={received}-"));
        headers.insert(RANGE, range.map_err(|error| Error::internal(error.to_string()))?);
        // Only of the same file; a weak tag does not say so.
        if let Ok(tag) = HeaderValue::from_str(etag)
            && etag.starts_with('"')
        {
            headers.insert(IF_RANGE, tag);
        }
    }
    let fetched = meter.patient(web::fetch("GET", url, &headers, &source.egress)).await;
    // Who does not even answer is not asked again.
    let mut reply =
        fetched.map_err(|error| if is_broken(&error) { Error::unavailable(error.chain()) } else { error })?;
    let starts_there = reply.header("content-range").starts_with(&format!("bytes {received}-"));
    match (reply.status, *received) {
        (200, 0) => reply.header("etag").clone_into(etag),
        (206, at) if at > 0 && starts_there => {}
        (200 | 206, _) => {
            return Err(Error::bad_request(format!("{url:?} broke off and cannot be gone on with")));
        }
        (status, _) => {
            return Err(Error::bad_request(format!("Unable to fetch {url:?}: HTTP status {status}")));
        }
    }
    while let Some(block) = meter.next(&mut reply).await? {
        *received += block.len() as u64;
        sink.take(block).await?;
    }
    Ok(())
}

async fn receive(meter: &mut Meter, upload: &mut Upload, mut reply: Reply) -> Result<()> {
    while let Some(block) = meter.next(&mut reply).await? {
        upload.write(block).await?;
    }
    Ok(())
}

async fn receive_form(
    meter: &mut Meter,
    upload: &mut Upload,
    mut reply: Reply,
    mut form: Form,
) -> Result<()> {
    while let Some(block) = meter.next(&mut reply).await? {
        form.feed(&block);
        while let Some(event) = form.next_event().map_err(Error::from)? {
            match event {
                Event::Part { name, .. } if name == "metadata" => upload.begin_part(Part::Meta).await?,
                Event::Part { .. } => upload.begin_part(Part::Rootfs).await?,
                Event::Data(data) => upload.write(data).await?,
                Event::End => break,
            }
        }
    }
    if form.is_ended() { Ok(()) } else { Err(Error::bad_request("The image server ended its answer early")) }
}
