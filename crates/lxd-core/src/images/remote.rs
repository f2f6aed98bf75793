//! Images of other servers: finding one by its alias, fetching it, keeping it as a cached image.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use lxd_api::image::{Image as WireImage, ImageAliasesEntry};
use lxd_auth::Permit;
use lxd_client::simplestreams::{StreamImage, Streams};
use lxd_client::{Address, Call, Client, Reply, TlsSettings, encode, web};
use lxd_config::{project as project_keys, server as server_keys};
use lxd_db::{images, projects};
use lxd_image::multipart::{Event, Form};
use lxd_image::{Part, Received, Upload};
use lxd_task::OpHandle;
use lxd_types::arch::Architecture;
use lxd_types::names::{Fingerprint, ProjectName};
use lxd_types::{Config, Error, Kind, Result};

use super::create::{self, UploadOptions};
use super::{owner, url_of};
use crate::SharedCore;

/// How long a server may be silent in the middle of a download.
const SILENCE: Duration = Duration::from_secs(60);

/// How long an index is taken as it is.
const FRESH: Duration = Duration::from_secs(60);

/// How much longer a file may be than its server said, for the frame of a form.
const SLACK: u64 = 64 * 1024;

/// An image on another server, as a request names it.
#[derive(Clone, Debug, Default)]
pub struct RemoteImage {
    /// URL of the server.
    pub server: String,
    /// `lxd` or `simplestreams`.
    pub protocol: String,
    /// The server's certificate where no known authority signed it.
    pub certificate: String,
    /// Alias there; empty when `fingerprint` names it.
    pub alias: String,
    /// Fingerprint there, or its beginning.
    pub fingerprint: String,
    /// For a private image.
    pub secret: String,
    /// Its project there.
    pub project: String,
    /// A virtual machine's image is wanted.
    pub virtual_machine: bool,
}

/// What an image on another server is.
#[derive(Clone, Debug)]
pub enum Found {
    /// On a server like this one.
    Lxd(Box<WireImage>),
    /// On a simplestreams server.
    Stream(Box<StreamImage>),
}

impl Found {
    /// Its fingerprint; whether the files have it is seen when they are here.
    pub fn fingerprint(&self) -> &str {
        match self {
            Self::Lxd(image) => &image.fingerprint,
            Self::Stream(image) => &image.fingerprint,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Lxd(image) => u64::try_from(image.size).unwrap_or(0),
            Self::Stream(image) => image.size(),
        }
    }

    fn properties(&self) -> Config {
        match self {
            Self::Lxd(image) => image.properties.clone(),
            Self::Stream(image) => image.properties.clone(),
        }
    }

    fn expiry(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Lxd(image) => (!image.expires_at.is_never()).then(|| image.expires_at.0.to_utc()),
            Self::Stream(image) => image.expires,
        }
    }

    fn filename(&self) -> String {
        match self {
            Self::Lxd(image) => image.filename.clone(),
            Self::Stream(image) => {
                let path = image.files.first().map_or("", |file| file.path.as_str());
                path.rsplit('/').next().unwrap_or_default().to_owned()
            }
        }
    }
}

impl RemoteImage {
    /// Checks form and address: the daemon fetches with TLS only, and never for somebody from its own sockets.
    ///
    /// # Errors
    /// What is missing or not allowed.
    pub fn check(&self) -> Result<()> {
        if self.alias.is_empty() && self.fingerprint.is_empty() {
            return Err(Error::bad_request("must specify one of alias or fingerprint for init from image"));
        }
        match self.protocol.as_str() {
            "" | "lxd" | "simplestreams" => {}
            other => return Err(Error::bad_request(format!("Unknown image server protocol {other:?}"))),
        }
        let scheme = if self.is_stream() { ["https://", "http://"] } else { ["https://", "https://"] };
        match scheme.iter().any(|scheme| self.server.starts_with(scheme)) {
            true => Ok(()),
            false => Err(Error::bad_request(format!("Unsupported image server URL {:?}", self.server))),
        }
    }

    fn is_stream(&self) -> bool {
        self.protocol == "simplestreams"
    }

    /// As it is remembered with the image; nothing when it was named by its fingerprint, for that never changes.
    pub fn source(&self) -> Option<images::Source> {
        (!self.alias.is_empty()).then(|| images::Source {
            server: self.server.clone(),
            protocol: if self.is_stream() { 2 } else { 0 },
            certificate: self.certificate.clone(),
            alias: self.alias.clone(),
        })
    }

    /// The remote image that a stored source names.
    pub fn stored(source: &images::Source, kind: i64) -> Self {
        Self {
            server: source.server.clone(),
            protocol: if source.protocol == 2 { "simplestreams" } else { "lxd" }.to_owned(),
            certificate: source.certificate.clone(),
            alias: source.alias.clone(),
            virtual_machine: kind == images::VIRTUAL_MACHINE,
            ..Self::default()
        }
    }

    fn kind(&self) -> i64 {
        if self.virtual_machine { images::VIRTUAL_MACHINE } else { images::CONTAINER }
    }
}

/// Asks the server which image is meant.
///
/// # Errors
/// The server is away, or has no such image.
pub async fn find(core: &SharedCore, wanted: &RemoteImage) -> Result<Found> {
    if wanted.is_stream() {
        let streams = streams(core, &wanted.server).await?;
        let name = if wanted.alias.is_empty() { &wanted.fingerprint } else { &wanted.alias };
        let found = streams.find(name, wanted.virtual_machine, &architectures()?);
        let missing = || Error::not_found("The requested image couldn't be found");
        return found.map(|image| Found::Stream(Box::new(image.clone()))).ok_or_else(missing);
    }
    let client = client(wanted)?;
    let name = match wanted.alias.as_str() {
        "" => wanted.fingerprint.clone(),
        alias => {
            match client.get::<ImageAliasesEntry>(&format!("/1.0/images/aliases/{}", encode(alias))).await {
                Ok(entry) => entry.target,
                Err(error) if error.is_not_found() && !wanted.fingerprint.is_empty() => {
                    wanted.fingerprint.clone()
                }
                // Servers take the beginning of a fingerprint as well.
                Err(error) if error.is_not_found() => alias.to_owned(),
                Err(error) => return Err(error.into()),
            }
        }
    };
    let image: WireImage =
        client.get(&with_secret(&format!("/1.0/images/{}", encode(&name)), wanted)).await?;
    Ok(Found::Lxd(Box::new(image)))
}

/// The architectures of this host, best first.
fn architectures() -> Result<Vec<Architecture>> {
    let native =
        Architecture::native().ok_or_else(|| Error::internal("The architecture of this host is unknown"))?;
    Ok(std::iter::once(native).chain(native.personalities().iter().copied()).collect())
}

fn with_secret(path: &str, wanted: &RemoteImage) -> String {
    match wanted.secret.as_str() {
        "" => path.to_owned(),
        secret => format!("{path}?secret={}", encode(secret)),
    }
}

fn client(wanted: &RemoteImage) -> Result<Client> {
    let pinned = match wanted.certificate.as_str() {
        "" => None,
        pem => Some(lxd_client::pem_to_der(pem)?),
    };
    let tls = TlsSettings { pinned, ..TlsSettings::default() };
    Ok(Client::new(Address::parse(&wanted.server)?, Some(tls)).with_project(&wanted.project))
}

/// What a simplestreams server offers: as it said a moment ago, as it says now, or, when it is away, as it said last.
async fn streams(core: &SharedCore, server: &str) -> Result<std::sync::Arc<Streams>> {
    let mut cache = core.streams.lock().await;
    let known = cache.get(server).cloned();
    if let Some((at, streams)) = &known
        && at.elapsed() < FRESH
    {
        return Ok(streams.clone());
    }
    match Streams::fetch(server, known.as_ref().map(|(_, streams)| streams.as_ref()), &core.proxies()).await {
        Ok(streams) => {
            let streams = std::sync::Arc::new(streams);
            cache.insert(server.to_owned(), (Instant::now(), streams.clone()));
            Ok(streams)
        }
        Err(error) => match known {
            Some((_, streams)) => {
                tracing::warn!(server, error = %error, "An image server is away, its last index is used");
                Ok(streams)
            }
            None => Err(error.into()),
        },
    }
}

/// Fetches the files of an image.
///
/// # Errors
/// The server breaks off, is silent for long, or sends more than it said; the operation was cancelled.
pub async fn fetch(
    core: &SharedCore,
    op: &OpHandle,
    wanted: &RemoteImage,
    found: &Found,
) -> Result<Received> {
    let mut progress = Progress::new(op, found.size());
    let mut upload = Upload::new(&core.image_store);
    match found {
        Found::Lxd(image) => {
            let path = with_secret(&format!("/1.0/images/{}/export", image.fingerprint), wanted);
            let reply = client(wanted)?.stream(Call::new("GET", &path)).await?;
            match Form::new(reply.header("content-type")).map_err(Error::from)? {
                Some(form) => receive_form(&mut progress, &mut upload, reply, form).await?,
                None => receive(&mut progress, &mut upload, reply).await?,
            }
        }
        Found::Stream(image) => {
            let base = wanted.server.trim_end_matches('/');
            for (file, part) in image.files.iter().zip([Part::Meta, Part::Rootfs]) {
                let url = format!("{base}/{}", file.path);
                let reply = web::fetch("GET", &url, &http::HeaderMap::new(), &core.proxies()).await?;
                if reply.status != 200 {
                    return Err(Error::bad_request(format!(
                        "Unable to fetch {url:?}: HTTP status {}",
                        reply.status
                    )));
                }
                upload.begin_part(part).await?;
                receive(&mut progress, &mut upload, reply).await?;
            }
        }
    }
    Ok(upload.finish().await?)
}

async fn receive(progress: &mut Progress<'_>, upload: &mut Upload, mut reply: Reply) -> Result<()> {
    while let Some(block) = progress.next(&mut reply).await? {
        upload.write(block).await?;
    }
    Ok(())
}

async fn receive_form(
    progress: &mut Progress<'_>,
    upload: &mut Upload,
    mut reply: Reply,
    mut form: Form,
) -> Result<()> {
    while let Some(block) = progress.next(&mut reply).await? {
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

/// Watches a download: size, silence, cancellation; and tells how far it is.
struct Progress<'a> {
    op: &'a OpHandle,
    expected: u64,
    received: u64,
    begun: Instant,
    told: Instant,
}

impl<'a> Progress<'a> {
    fn new(op: &'a OpHandle, expected: u64) -> Self {
        Self { op, expected, received: 0, begun: Instant::now(), told: Instant::now() }
    }

    async fn next(&mut self, reply: &mut Reply) -> Result<Option<bytes::Bytes>> {
        let next = tokio::select! {
            next = tokio::time::timeout(SILENCE, reply.chunk()) => next,
            () = self.op.cancelled() => return self.op.check().map(|()| None),
        };
        let block = next.map_err(|_| Error::bad_request("The image server sends nothing any more"))??;
        self.received += block.as_ref().map_or(0, |block| block.len() as u64);
        if self.received > self.expected.saturating_add(SLACK) {
            let expected = self.expected;
            return Err(Error::bad_request(format!(
                "The image server sends more than the {expected} bytes it said"
            )));
        }
        if self.told.elapsed() > Duration::from_secs(1) {
            self.told = Instant::now();
            let percent = self.received.saturating_mul(100) / self.expected.max(1);
            let rate = self.received as f64 / self.begun.elapsed().as_secs_f64() / 1e6;
            self.op.set("download_progress", format!("rootfs: {}% ({rate:.2}MB/s)", percent.min(100)));
        }
        Ok(block)
    }
}

/// Has a remote image in the project's store, fetching it where it is not there: the source of a new instance.
///
/// # Errors
/// It cannot be found or fetched.
pub async fn ensure(
    core: &SharedCore,
    permit: &Permit,
    op: &OpHandle,
    wanted: &RemoteImage,
) -> Result<Fingerprint> {
    let found = match find(core, wanted).await {
        Ok(found) => found,
        Err(error) => return cached(core, permit.project(), wanted).await?.ok_or(error),
    };
    let fingerprint: Fingerprint = found.fingerprint().parse()?;
    // One download of an image at a time; the others find it here then.
    let turn = core.downloads.of(fingerprint.as_str());
    let _turn = turn.lock().await;
    if is_here(core, permit.project(), &fingerprint).await? {
        return Ok(fingerprint);
    }
    let auto_update = !wanted.alias.is_empty() && keeps_cached(core, permit.project()).await?;
    let options = UploadOptions { cached: true, auto_update, ..options(&found, wanted) };
    let received = fetch(core, op, wanted, &found).await?;
    create::store(core, permit, op, received, options).await?;
    Ok(fingerprint)
}

/// What a fetched image is recorded as.
pub fn options(found: &Found, wanted: &RemoteImage) -> UploadOptions {
    UploadOptions {
        filename: found.filename(),
        properties: found.properties(),
        fingerprint: found.fingerprint().to_owned(),
        expiry: found.expiry(),
        source: wanted.source(),
        ..UploadOptions::default()
    }
}

/// True when the project has the image already.
pub async fn is_here(core: &SharedCore, project: &ProjectName, fingerprint: &Fingerprint) -> Result<bool> {
    let (project, wanted) = (project.clone(), fingerprint.clone());
    core.db
        .read(move |tx| match images::get(tx, owner(tx, &project)?, wanted.as_str(), false) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        })
        .await
}

/// The image that was fetched for the same alias before, for when its server is away.
async fn cached(
    core: &SharedCore,
    project: &ProjectName,
    wanted: &RemoteImage,
) -> Result<Option<Fingerprint>> {
    let Some(source) = wanted.source() else { return Ok(None) };
    let (project, kind) = (project.clone(), wanted.kind());
    let found = core.db.read(move |tx| images::cached_from(tx, owner(tx, &project)?, &source, kind)).await?;
    let Some(fingerprint) = found else { return Ok(None) };
    tracing::warn!(image = url_of(&fingerprint), "An image server cannot be asked, the cached image is used");
    Ok(Some(fingerprint.parse()?))
}

/// Are cached images kept up to date in this project?
async fn keeps_cached(core: &SharedCore, project: &ProjectName) -> Result<bool> {
    let name = project.to_string();
    let config = core.db.read(move |tx| Ok(projects::get(tx, &name)?.config)).await?;
    let own = project_keys::IMAGES_AUTO_UPDATE_CACHED.read(&config)?;
    Ok(own.unwrap_or_else(|| server_keys::IMAGES_AUTO_UPDATE_CACHED.is_on(&core.server.config())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_with_tls_are_asked() {
        let image = |server: &str, protocol: &str| RemoteImage {
            server: server.to_owned(),
            protocol: protocol.to_owned(),
            alias: "a".to_owned(),
            ..RemoteImage::default()
        };
        assert!(image("https://a:8443", "lxd").check().is_ok());
        assert!(image("http://a/", "simplestreams").check().is_ok());
        for (server, protocol) in [
            ("unix:///run/lxd.sock", "lxd"),
            ("http://a", "lxd"),
            ("file:///etc", "simplestreams"),
            ("https://a", "ftp"),
        ] {
            assert!(image(server, protocol).check().is_err(), "{server} {protocol}");
        }
        assert!(RemoteImage { alias: String::new(), ..image("https://a", "lxd") }.check().is_err());
    }

    #[test]
    fn a_source_is_remembered_by_its_alias() {
        let image = RemoteImage {
            server: "https://a".into(),
            protocol: "simplestreams".into(),
            alias: "x".into(),
            ..RemoteImage::default()
        };
        let source = image.source().unwrap();
        let again = RemoteImage::stored(&source, images::CONTAINER);
        assert_eq!((again.server, again.protocol, again.alias), (image.server, image.protocol, image.alias));
        assert!(RemoteImage { fingerprint: "abc".into(), ..RemoteImage::default() }.source().is_none());
    }
}
