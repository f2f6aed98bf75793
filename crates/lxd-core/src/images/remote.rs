//! Images of other servers: finding one by its alias, keeping it as a cached image.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use lxd_api::image::{Image as WireImage, ImageAliasesEntry};
use lxd_auth::Permit;
use lxd_client::simplestreams::{self, StreamImage, Streams};
use lxd_client::{Address, Client, Egress, Reach, TlsSettings, encode};
use lxd_config::{project as project_keys, server as server_keys};
use lxd_db::{images, projects};
use lxd_task::OpHandle;
use lxd_types::arch::Architecture;
use lxd_types::names::{Fingerprint, ProjectName};
use lxd_types::{Config, Error, Kind, Result};

use super::create::{self, UploadOptions};
use super::downloads::StreamsKey;
use super::fetch::fetch;
use super::{owner, url_of};
use crate::SharedCore;

/// How long a server may be silent, before its answer and in the middle of a download.
pub const SILENCE: Duration = Duration::from_secs(60);

/// How many silences long a server may take to tell which images it has, however steadily it sends.
const ANSWER: u32 = 5;

/// How long an index is taken as it is, where somebody waits.
pub const FRESH: Duration = Duration::from_secs(60);

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
    /// Only addresses of other machines are asked, whoever asks: it is wanted for a restricted project.
    pub outside: bool,
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

    /// Bytes of its files, as the server says.
    pub fn size(&self) -> u64 {
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
            Self::Lxd(image) => plain_name(&image.filename),
            Self::Stream(image) => plain_name(image.files.first().map_or("", |file| file.path.as_str())),
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

    /// The original client sends the alias of a public image in the place of the fingerprint.
    fn by_its_alias(mut self) -> Self {
        if self.alias.is_empty() && !simplestreams::is_fingerprint(&self.fingerprint) {
            self.alias = std::mem::take(&mut self.fingerprint);
        }
        self
    }

    /// As it is remembered with the image; nothing when it was named by its fingerprint, for that never changes.
    pub fn source(&self) -> Option<images::Source> {
        (!self.alias.is_empty()).then(|| images::Source {
            server: self.server.clone(),
            protocol: if self.is_stream() { 2 } else { 0 },
            certificate: self.certificate.clone(),
            alias: self.alias.clone(),
            project: self.project.clone(),
            outside: self.outside,
        })
    }

    /// The remote image that a stored source names.
    pub fn stored(source: &images::Source, kind: i64) -> Self {
        Self {
            server: source.server.clone(),
            protocol: if source.protocol == 2 { "simplestreams" } else { "lxd" }.to_owned(),
            certificate: source.certificate.clone(),
            alias: source.alias.clone(),
            project: source.project.clone(),
            outside: source.outside,
            virtual_machine: kind == images::VIRTUAL_MACHINE,
            ..Self::default()
        }
    }

    /// The same for somebody who acts in a project: what is not reached from there is not reached for it later either.
    ///
    /// # Errors
    /// There is no such project.
    pub async fn wanted_in(&self, core: &SharedCore, project: &ProjectName) -> Result<Self> {
        let outside = self.way(core, project).await?.reach.is_outside();
        Ok(Self { outside, ..self.clone().by_its_alias() })
    }

    async fn way(&self, core: &SharedCore, project: &ProjectName) -> Result<Egress> {
        let mut egress = core.egress(project).await?;
        if self.outside && !egress.reach.is_outside() {
            egress.reach = Reach::Outside(core.api_address());
        }
        Ok(egress)
    }

    /// The way to its server, for somebody who acts in a project.
    ///
    /// # Errors
    /// The certificate is none.
    pub async fn egress(&self, core: &SharedCore, project: &ProjectName) -> Result<Egress> {
        Ok(Egress { pinned: self.pinned()?, ..self.way(core, project).await? })
    }

    /// The only certificate that its server may have.
    fn pinned(&self) -> Result<Option<Vec<u8>>> {
        if self.certificate.is_empty() {
            return Ok(None);
        }
        Ok(Some(lxd_client::pem_to_der(&self.certificate)?))
    }

    fn kind(&self) -> i64 {
        if self.virtual_machine { images::VIRTUAL_MACHINE } else { images::CONTAINER }
    }
}

/// The last part of a path, as a server names a file; nothing when it is no name (security.md R2).
fn plain_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let bad = name == ".." || name == "." || name.chars().any(char::is_control);
    if bad { String::new() } else { name.to_owned() }
}

/// Asks the server which image is meant; an index of at most this age is as good as the server.
///
/// # Errors
/// The server is away, silent or too slow, or has no such image; the operation was cancelled.
pub async fn find(
    core: &SharedCore,
    project: &ProjectName,
    op: &OpHandle,
    wanted: &RemoteImage,
    age: Duration,
) -> Result<Found> {
    let late = || Error::unavailable(format!("{:?} does not answer", wanted.server));
    let most = core.faults.patience(SILENCE) * ANSWER;
    tokio::select! {
        found = tokio::time::timeout(most, ask(core, project, wanted, age)) => {
            found.unwrap_or_else(|_| Err(late()))
        }
        () = op.cancelled() => Err(op.check().err().unwrap_or_else(late)),
    }
}

async fn ask(core: &SharedCore, project: &ProjectName, wanted: &RemoteImage, age: Duration) -> Result<Found> {
    if wanted.is_stream() {
        let egress = wanted.egress(core, project).await?;
        let streams = streams(core, &wanted.server, &egress, age).await?;
        let name = if wanted.alias.is_empty() { &wanted.fingerprint } else { &wanted.alias };
        let found = streams.find(name, wanted.virtual_machine, &architectures(core, project).await?);
        let missing = || Error::not_found("The requested image couldn't be found");
        return found.map(|image| Found::Stream(Box::new(image.clone()))).ok_or_else(missing);
    }
    let client = client(core, project, wanted).await?;
    let answer = tokio::time::timeout(core.faults.patience(SILENCE), find_lxd(&client, wanted)).await;
    answer.unwrap_or_else(|_| Err(Error::unavailable(format!("{:?} does not answer", wanted.server))))
}

async fn find_lxd(client: &Client, wanted: &RemoteImage) -> Result<Found> {
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
    if !image.fingerprint.starts_with(&name) {
        let other = &image.fingerprint;
        return Err(Error::bad_request(format!(
            "Asked for image {name:?}, the server answered with {other:?}"
        )));
    }
    Ok(Found::Lxd(Box::new(image)))
}

/// The architectures of images that are taken, best first: the chosen one, then those of this host.
async fn architectures(core: &SharedCore, project: &ProjectName) -> Result<Vec<Architecture>> {
    let native =
        Architecture::native().ok_or_else(|| Error::internal("The architecture of this host is unknown"))?;
    let name = project.to_string();
    let config = core.db.read(move |tx| Ok(projects::get(tx, &name)?.config)).await?;
    let chosen = match project_keys::IMAGES_DEFAULT_ARCHITECTURE.read(&config)? {
        Some(chosen) => Some(chosen),
        None => server_keys::IMAGES_DEFAULT_ARCHITECTURE.read(&core.server.config())?,
    };
    let chosen = chosen.as_deref().and_then(Architecture::from_alias);
    Ok(chosen.into_iter().chain([native]).chain(native.personalities().iter().copied()).collect())
}

/// A path with the secret that opens it.
pub fn with_secret(path: &str, wanted: &RemoteImage) -> String {
    match wanted.secret.as_str() {
        "" => path.to_owned(),
        secret => format!("{path}?secret={}", encode(secret)),
    }
}

/// A connection to an LXD server, for somebody who acts in a project.
///
/// # Errors
/// The certificate or address is none.
pub async fn client(core: &SharedCore, project: &ProjectName, wanted: &RemoteImage) -> Result<Client> {
    let tls = TlsSettings { pinned: wanted.pinned()?, ..TlsSettings::default() };
    let client =
        Client::through(wanted.way(core, project).await?, Address::parse(&wanted.server)?, Some(tls));
    Ok(client.with_project(&wanted.project))
}

/// What a simplestreams server offers: as it said at most `age` ago, as it says now, or, when it is away, as it said last.
async fn streams(core: &SharedCore, server: &str, egress: &Egress, age: Duration) -> Result<Arc<Streams>> {
    let key = StreamsKey {
        server: server.to_owned(),
        outside: egress.reach.is_outside(),
        pinned: egress.pinned.clone(),
    };
    // One question at a time per server; others are not held up by a server that hangs.
    let turn = core.streams.of(&key);
    let mut known = turn.lock().await;
    if let Some((at, streams)) = &*known
        && at.elapsed() < age
    {
        return Ok(streams.clone());
    }
    let before = known.as_ref().map(|(_, streams)| streams.clone());
    match Streams::fetch(server, before.as_deref(), egress).await {
        Ok(streams) => {
            let streams = Arc::new(streams);
            *known = Some((Instant::now(), streams.clone()));
            core.streams.weigh(&key, streams.bytes);
            Ok(streams)
        }
        Err(error) => {
            let Some(streams) = before else { return Err(error.into()) };
            tracing::warn!(error = %error, "An image server is away, its last index is used");
            Ok(streams)
        }
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
    let wanted = &wanted.wanted_in(core, permit.project()).await?;
    // An image that is kept up to date is taken as it is: nobody waits for a newer one.
    if is_updated(core, permit.project()).await?
        && let Some(present) = cached(core, permit.project(), wanted).await?
    {
        return Ok(present);
    }
    let found = match find(core, permit.project(), op, wanted, FRESH).await {
        Ok(found) => found,
        Err(error) => {
            let Some(present) = cached(core, permit.project(), wanted).await? else { return Err(error) };
            tracing::warn!(
                image = url_of(present.as_str()),
                error = error.chain(),
                "An image server cannot be asked, the cached image is used"
            );
            return Ok(present);
        }
    };
    let fingerprint: Fingerprint = found.fingerprint().parse()?;
    // One download of an image at a time; the others find it here then.
    let turn = core.downloads.of(fingerprint.as_str());
    let _turn = turn.lock().await;
    if is_here(core, permit.project(), &fingerprint).await? {
        return Ok(fingerprint);
    }
    // What only a secret opens is not found again without.
    let again = !wanted.alias.is_empty() && wanted.secret.is_empty();
    let auto_update = again && keeps_cached(core, permit.project()).await?;
    let options = UploadOptions { cached: true, auto_update, ..options(&found, wanted) };
    let received = fetch(core, permit.project(), op, wanted, &found).await?;
    create::store(core, permit, op, received, options).await?;
    Ok(fingerprint)
}

/// What a fetched image is recorded as.
pub fn options(found: &Found, wanted: &RemoteImage) -> UploadOptions {
    UploadOptions {
        filename: found.filename(),
        properties: found.properties(),
        as_there: true,
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

/// The image that was fetched for the same alias before.
async fn cached(
    core: &SharedCore,
    project: &ProjectName,
    wanted: &RemoteImage,
) -> Result<Option<Fingerprint>> {
    let Some(source) = wanted.source().filter(|_| wanted.secret.is_empty()) else { return Ok(None) };
    let (project, kind) = (project.clone(), wanted.kind());
    let found = core.db.read(move |tx| images::cached_from(tx, owner(tx, &project)?, &source, kind)).await?;
    Ok(found.map(|fingerprint| fingerprint.parse()).transpose()?)
}

/// Are newer images looked for in this project at all?
async fn is_updated(core: &SharedCore, project: &ProjectName) -> Result<bool> {
    let name = project.to_string();
    let config = core.db.read(move |tx| Ok(projects::get(tx, &name)?.config)).await?;
    Ok(!super::refresh::interval(&config, &core.server.config())?.is_zero())
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
    fn names_of_files_are_plain() {
        for (given, name) in
            [("a/b.tar", "b.tar"), ("../../etc/x", "x"), ("a/..", ""), ("a\nb", ""), ("\\\\h\\y", "y")]
        {
            assert_eq!(plain_name(given), name, "{given:?}");
        }
    }

    #[test]
    fn an_alias_in_the_place_of_a_fingerprint() {
        let of = |protocol: &str, fingerprint: &str| {
            let (protocol, fingerprint) = (protocol.to_owned(), fingerprint.to_owned());
            let named = RemoteImage { protocol, fingerprint, ..RemoteImage::default() }.by_its_alias();
            (named.alias, named.fingerprint)
        };
        let no = String::new;
        assert_eq!(of("simplestreams", "tiny"), ("tiny".to_owned(), no()));
        assert_eq!(of("simplestreams", "cafe"), ("cafe".to_owned(), no()));
        assert_eq!(of("simplestreams", "0123456789ab"), (no(), "0123456789ab".to_owned()));
        assert_eq!(of("lxd", "tiny"), ("tiny".to_owned(), no()));
    }

    #[test]
    fn a_source_is_remembered_by_its_alias() {
        let image = RemoteImage {
            server: "https://a".into(),
            protocol: "simplestreams".into(),
            alias: "x".into(),
            project: "p".into(),
            outside: true,
            ..RemoteImage::default()
        };
        let source = image.source().unwrap();
        let again = RemoteImage::stored(&source, images::CONTAINER);
        assert_eq!((again.server, again.protocol, again.alias), (image.server, image.protocol, image.alias));
        assert_eq!((again.project, again.outside), (image.project, image.outside));
        assert!(RemoteImage { fingerprint: "abc".into(), ..RemoteImage::default() }.source().is_none());
    }
}
