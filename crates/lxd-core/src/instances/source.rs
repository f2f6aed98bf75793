//! Where the files of a new instance come from (member `source` of the request).

use std::sync::Arc;

use lxd_api::instance::InstanceSource;
use lxd_auth::Permit;
use lxd_db::{Tx, images, projects};
use lxd_storage::Filler;
use lxd_storage::fill_with;
use lxd_sys::Dir;
use lxd_task::OpHandle;
use lxd_types::arch::Architecture;
use lxd_types::names::{Fingerprint, ProjectName};
use lxd_types::{Config, Error, Result};

use super::copy::CopyOf;
use super::import::Backup;
use crate::SharedCore;
use crate::images::remote::RemoteImage;

/// The form of the request.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A local image by alias or by the beginning of its fingerprint.
    Image(String),
    /// An image of another server.
    Remote(Box<RemoteImage>),
    /// Nothing: an empty root file system.
    Empty,
    /// Another instance, or one of its snapshots.
    Copy(CopyOf),
}

/// A source that exists.
#[derive(Clone, Debug)]
pub enum Source {
    /// A local image.
    Image {
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// An image of another server, which is fetched before anything is recorded.
    Remote(Box<RemoteImage>),
    /// Nothing.
    Empty,
    /// Another instance, or one of its snapshots.
    Copy(CopyOf),
    /// A received backup.
    Backup(Arc<Backup>),
}

/// What the plan needs to know of the image.
#[derive(Clone, Debug, Default)]
pub struct ImageFacts {
    /// Its properties.
    pub properties: Config,
    /// Its architecture's number; 0 when there is no image.
    pub architecture: i64,
}

impl Source {
    /// Checks the form.
    ///
    /// # Errors
    /// An unknown or unsupported type, or an image that is not named.
    pub fn parse(source: &InstanceSource, project: &ProjectName, virtual_machine: bool) -> Result<Wanted> {
        match source.kind.as_str() {
            "copy" => CopyOf::parse(source, project).map(Wanted::Copy),
            "none" => Ok(Wanted::Empty),
            "image" if !source.server.is_empty() => {
                let image = RemoteImage {
                    server: source.server.clone(),
                    protocol: source.protocol.clone(),
                    certificate: source.certificate.clone(),
                    alias: source.alias.clone(),
                    fingerprint: source.fingerprint.clone(),
                    secret: source.secret.clone(),
                    project: source.project.clone(),
                    virtual_machine,
                    ..RemoteImage::default()
                };
                image.check()?;
                Ok(Wanted::Remote(Box::new(image)))
            }
            "image" if !source.alias.is_empty() => Ok(Wanted::Image(source.alias.clone())),
            "image" if !source.fingerprint.is_empty() => Ok(Wanted::Image(source.fingerprint.clone())),
            // The reference's answer, status included.
            "image" => Err(Error::internal(
                "Must specify one of alias, fingerprint or properties for init from image",
            )),
            "migration" => Err(Error::not_implemented(format!(
                "Instances from a source of type {:?} are not supported yet",
                source.kind
            ))),
            other => Err(Error::bad_request(format!("Unknown source type {other}"))),
        }
    }

    /// The same source with its image on this server.
    ///
    /// # Errors
    /// The image cannot be fetched.
    pub async fn here(&self, core: &SharedCore, permit: &Permit, op: &OpHandle) -> Result<Self> {
        let Self::Remote(image) = self else { return Ok(self.clone()) };
        let fingerprint = crate::images::remote::ensure(core, permit, op, image).await?;
        Ok(Self::Image { fingerprint })
    }

    /// The profiles of an instance whose request names none: those of the image.
    ///
    /// # Errors
    /// The image is gone.
    pub async fn profiles(&self, core: &SharedCore, project: &ProjectName) -> Result<Vec<String>> {
        let default = vec![lxd_db::profiles::DEFAULT_NAME.to_owned()];
        let Self::Image { fingerprint } = self else { return Ok(default) };
        let (project, fingerprint) = (project.to_string(), fingerprint.to_string());
        core.db
            .read(move |tx| {
                let owner = projects::owner_of(tx, &project, "images")?;
                let image = images::get(tx, owner, &fingerprint, false)?;
                // The profiles of another project are not meant by their names.
                let of_image = projects::owner_of(tx, &image.project, "profiles")?;
                let same = of_image == projects::owner_of(tx, &project, "profiles")?;
                Ok(if same { image.profiles } else { default.clone() })
            })
            .await
    }

    /// The image that a plan was made with.
    ///
    /// # Errors
    /// It is gone.
    pub fn image_facts(&self, tx: &Tx<'_>, project: &str) -> Result<ImageFacts> {
        match self {
            Self::Empty | Self::Remote(_) | Self::Copy(_) | Self::Backup(_) => Ok(ImageFacts::default()),
            Self::Image { fingerprint } => {
                let owner = projects::owner_of(tx, project, "images")?;
                let image = images::get(tx, owner, fingerprint.as_str(), false)?;
                Ok(ImageFacts { properties: image.properties, architecture: image.architecture })
            }
        }
    }

    /// Records that an instance was made of the image now.
    ///
    /// # Errors
    /// It is gone.
    pub fn mark_used(&self, tx: &Tx<'_>, project: &str, now: chrono::DateTime<chrono::Utc>) -> Result<()> {
        let Self::Image { fingerprint } = self else { return Ok(()) };
        let owner = projects::owner_of(tx, project, "images")?;
        let image = images::get(tx, owner, fingerprint.as_str(), false)?;
        images::set_last_used(tx, image.id, now)
    }

    /// The keys that an image gives to its instances: `image.*`.
    pub fn image_config(&self, image: &ImageFacts) -> Config {
        image.properties.iter().map(|(key, value)| (format!("image.{key}"), value.clone())).collect()
    }

    /// The architecture of the instance.
    ///
    /// # Errors
    /// The host's is unknown.
    pub fn architecture(&self, image: &ImageFacts, given: Option<Architecture>) -> Result<Architecture> {
        given
            .or_else(|| Architecture::from_id(image.architecture))
            .or_else(Architecture::native)
            .ok_or_else(|| Error::internal("The architecture of this host is unknown"))
    }

    /// What fills the root volume; copies and backups have their own way.
    pub fn filler(&self, core: &SharedCore, op: &OpHandle) -> Filler {
        let core = core.clone();
        match self {
            Self::Remote(_) => fill_with(|_: Arc<Dir>| async {
                Err(Error::internal("The image was not fetched before the volume was made"))
            }),
            Self::Empty | Self::Copy(_) | Self::Backup(_) => {
                fill_with(|dir: Arc<Dir>| async move { empty_root(dir).await })
            }
            Self::Image { fingerprint } => {
                let (fingerprint, op) = (fingerprint.clone(), op.clone());
                fill_with(move |dir: Arc<Dir>| async move {
                    crate::images::unpack(&core, &op, &fingerprint, dir).await
                })
            }
        }
    }
}

impl Wanted {
    /// Finds what the request names.
    ///
    /// # Errors
    /// There is no such image.
    pub async fn resolve(self, core: &SharedCore, project: &ProjectName) -> Result<Source> {
        let name = match self {
            Self::Image(name) => name,
            Self::Empty => return Ok(Source::Empty),
            Self::Copy(copy) => return Ok(Source::Copy(copy)),
            Self::Remote(image) => return Ok(Source::Remote(image)),
        };
        let project = project.to_string();
        let fingerprint = core
            .db
            .read(move |tx| {
                let owner = projects::owner_of(tx, &project, "images")?;
                crate::images::resolve(tx, owner, &name)
            })
            .await?;
        Ok(Source::Image { fingerprint: fingerprint.parse()? })
    }
}

/// An empty root file system, as the reference makes it.
async fn empty_root(dir: Arc<Dir>) -> Result<()> {
    tokio::task::spawn_blocking(move || dir.mkdir("rootfs", 0o755))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        .map_err(|e| Error::internal(format!("Failed to make the root directory: {e}")))
}
