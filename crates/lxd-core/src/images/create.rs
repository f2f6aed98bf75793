//! `POST /1.0/images` with an image in the body; what uploads and downloads share.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lxd_api::image::ImagesPost;
use lxd_auth::Permit;
use lxd_db::{Config, Tx, image_aliases, images, nodes};
use lxd_image::{ImageError, ImageKind, Part, Received, Upload};
use lxd_task::operation::Operation;
use lxd_task::{OpHandle, OperationSpec};
use lxd_types::arch::Architecture;
use lxd_types::names::{Fingerprint, ProjectName};
use lxd_types::{Error, Kind, Result};

use super::{owner, profile_ids, receive, refresh, url_of};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::{Change, allowed};
use crate::{Core, SharedCore, Undo};

/// What a client wants a new image to be.
#[derive(Clone, Debug, Default)]
pub struct UploadOptions {
    /// Name of the file, for people.
    pub filename: String,
    /// Everybody may have it.
    pub public: bool,
    /// To be kept up to date.
    pub auto_update: bool,
    /// Fetched for an instance; it goes when it is not used for long.
    pub cached: bool,
    /// Properties, which replace those of `metadata.yaml` of the same name.
    pub properties: Config,
    /// It has these properties only, as on the server that it comes from; not those of its `metadata.yaml`.
    pub as_there: bool,
    /// The announced fingerprint, or empty.
    pub fingerprint: String,
    /// Aliases (name, description) to be made with it.
    pub aliases: Vec<(String, String)>,
    /// Profiles for instances of it; none: `default`.
    pub profiles: Option<Vec<String>>,
    /// When it expires; none: what `metadata.yaml` says.
    pub expiry: Option<DateTime<Utc>>,
    /// Where it was fetched from.
    pub source: Option<images::Source>,
    /// The id of the image that it is the newer version of: it takes the place of that, as that is when it is recorded.
    pub replaces: Option<i64>,
}

impl UploadOptions {
    /// What a JSON request says of the new image.
    pub fn from_post(post: ImagesPost) -> Self {
        Self {
            filename: post.filename,
            public: post.public,
            auto_update: post.auto_update,
            properties: post.properties,
            aliases: post.aliases.into_iter().map(|alias| (alias.name, alias.description)).collect(),
            profiles: (!post.profiles.is_empty()).then_some(post.profiles),
            expiry: (!post.expires_at.is_never()).then(|| post.expires_at.0.to_utc()),
            ..Self::default()
        }
    }
}

/// An image under way from a client. What is wrong with it is told by the operation that [`create_from_upload`]
/// starts: clients read the answer only when they have sent all.
pub struct ImageUpload {
    state: std::result::Result<Upload, ImageError>,
    /// Both parts of a split image are expected.
    pub split: bool,
    /// Name of the last file of a form.
    pub filename: String,
}

impl ImageUpload {
    /// Begins to receive for a project.
    ///
    /// # Errors
    /// There is no such project.
    pub async fn new(core: &Core, permit: &Permit, split: bool) -> Result<Self> {
        Ok(Self { state: Ok(receive(core, permit.project()).await?), split, filename: String::new() })
    }

    /// The next block belongs to this part of a form.
    pub async fn begin_part(&mut self, name: &str, filename: String) {
        let part = match name {
            "metadata" => Some(Part::Meta),
            "rootfs" | "rootfs.img" => Some(Part::Rootfs),
            _ => None,
        };
        self.filename = filename;
        let Ok(upload) = &mut self.state else { return };
        let begun = match part {
            Some(part) => upload.begin_part(part).await,
            None => Err(ImageError::BadParts),
        };
        if let Err(error) = begun {
            self.state = Err(error);
        }
    }

    /// The next block; after a failure blocks are dropped.
    pub async fn write(&mut self, block: Bytes) {
        let Ok(upload) = &mut self.state else { return };
        if let Err(error) = upload.write(block).await {
            self.state = Err(error);
        }
    }

    /// What is wrong with the form.
    pub fn fail(&mut self, error: ImageError) {
        if self.state.is_ok() {
            self.state = Err(error);
        }
    }

    async fn finish(self) -> Result<Received> {
        let upload = self.state?;
        if self.split && !upload.has_rootfs() {
            return Err(ImageError::Empty.into());
        }
        Ok(upload.finish().await?)
    }
}

/// Starts to make an image of what was received; the answer is the operation. A stranger, who sent it with a token, gets a
/// secret for waiting for the end.
pub fn create_from_upload(
    core: &SharedCore,
    permit: &Permit,
    upload: ImageUpload,
    mut options: UploadOptions,
) -> Arc<Operation> {
    let mut spec =
        OperationSpec::task("Downloading image", permit.project().as_str()).by(permit.caller().requestor());
    if !permit.caller().trusted {
        spec = spec.secret(super::secret::random());
    }
    let (work, permit) = (core.clone(), permit.clone());
    core.operations.spawn(spec, move |op| async move {
        if upload.split && !upload.filename.is_empty() {
            options.filename.clone_from(&upload.filename);
        }
        let received = upload.finish().await?;
        store(&work, &permit, &op, received, options).await
    })
}

/// Records a received image.
///
/// # Errors
/// It is here already, or not the announced one; a profile does not exist.
pub(super) async fn store(
    core: &SharedCore,
    permit: &Permit,
    op: &OpHandle,
    received: Received,
    options: UploadOptions,
) -> Result<()> {
    received.expect(&options.fingerprint)?;
    let fingerprint = received.fingerprint.clone();
    op.set("fingerprint", fingerprint.as_str());
    op.set("size", received.size.to_string());
    let plan = Plan::new(permit.project(), &received, options)?;
    // One at a time per fingerprint: the undo of one must not take the files of another.
    let _gate = core
        .gates
        .enter(url_of(fingerprint.as_str()), "create")
        .map_err(|_| Error::busy("Another operation holds the image"))?;
    let check = plan.clone();
    core.db.read(move |tx| check.check(tx)).await?;
    op.check()?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::ForgetImage { fingerprint: fingerprint.clone() }).await?;
        received.keep().await?;
        core.faults.point("image files kept")?;
        let row = plan.clone();
        core.db.write(move |tx| row.record(tx)).await?;
        core.faults.point("image recorded")
    })
    .await?;
    let event = Lifecycle::new("image-created", url_of(fingerprint.as_str())).in_project(permit.project());
    core.tell(permit.caller(), event.with("type", plan.word()));
    Ok(())
}

/// The rows of a new image.
#[derive(Clone, Debug)]
struct Plan {
    project: ProjectName,
    image: images::Image,
    profiles: Option<Vec<String>>,
    aliases: Vec<(String, String)>,
    replaces: Option<i64>,
}

impl Plan {
    fn new(project: &ProjectName, received: &Received, options: UploadOptions) -> Result<Self> {
        let metadata = &received.inspected.metadata;
        let architecture = Architecture::from_alias(&metadata.architecture)
            .ok_or_else(|| Error::from(ImageError::Architecture(metadata.architecture.clone())))?;
        let mut properties = if options.as_there { Config::new() } else { metadata.properties.clone() };
        properties.extend(options.properties);
        check_properties(&properties)?;
        let image = images::Image {
            fingerprint: received.fingerprint.to_string(),
            filename: options.filename,
            size: i64::try_from(received.size).unwrap_or(i64::MAX),
            public: options.public,
            architecture: architecture.id(),
            created: from_unix(metadata.creation_date),
            expiry: options.expiry.or_else(|| from_unix(metadata.expiry_date)),
            uploaded: Utc::now(),
            auto_update: options.auto_update,
            cached: options.cached,
            kind: match received.inspected.kind {
                ImageKind::Container => images::CONTAINER,
                ImageKind::VirtualMachine => images::VIRTUAL_MACHINE,
            },
            properties,
            source: options.source,
            ..images::Image::default()
        };
        let UploadOptions { profiles, aliases, replaces, .. } = options;
        Ok(Self { project: project.clone(), image, profiles, aliases, replaces })
    }

    fn word(&self) -> &'static str {
        if self.image.kind == images::VIRTUAL_MACHINE { "virtual-machine" } else { "container" }
    }

    /// What can be known before files are moved.
    fn check(&self, tx: &Tx<'_>) -> Result<()> {
        let project_id = owner(tx, &self.project)?;
        match images::get(tx, project_id, &self.image.fingerprint, false) {
            Ok(_) => return Err(taken()),
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            Err(_) => {}
        }
        for (name, _) in &self.aliases {
            if image_aliases::find(tx, project_id, name)?.is_some() {
                return Err(Error::conflict(format!("Alias already exists: {name}")));
            }
        }
        profile_ids(tx, &self.project, self.profiles.as_deref()).map(drop)
    }

    fn record(&self, tx: &Tx<'_>) -> Result<()> {
        self.check(tx)?;
        let project_id = owner(tx, &self.project)?;
        let mut profiles = profile_ids(tx, &self.project, self.profiles.as_deref())?;
        let mut image = images::Image { project_id, ..self.image.clone() };
        let old = self.replaces.map(|id| images::by_id(tx, id)).transpose()?;
        if let Some(old) = &old {
            (image.public, image.auto_update, image.cached) = (old.public, old.auto_update, old.cached);
            profiles = profile_ids(tx, &self.project, Some(&old.profiles))?;
        }
        let id = images::insert(tx, nodes::LONE, &image, &profiles)?;
        if let Some(old) = &old {
            refresh::take_over(tx, old, id)?;
        }
        for (name, description) in &self.aliases {
            image_aliases::insert(tx, project_id, id, name, description)?;
        }
        allowed(tx, &images::by_id(tx, id)?.project, Change::Image)
    }
}

fn taken() -> Error {
    Error::conflict("Image with same fingerprint already exists")
}

/// Properties become `image.*` of instances and stand in `backup.yaml`: no line ends, no endless texts.
pub(super) fn check_properties(properties: &Config) -> Result<()> {
    for (key, value) in properties {
        let bad = |text: &str| text.contains('\0');
        if key.is_empty() || key.contains(char::is_whitespace) || bad(key) || bad(value) {
            return Err(Error::bad_request(format!("Invalid image property {key:?}")));
        }
    }
    Ok(())
}

fn from_unix(seconds: i64) -> Option<DateTime<Utc>> {
    if seconds <= 0 { None } else { DateTime::from_timestamp(seconds, 0) }
}

/// A fingerprint of the journal, for [`super::undo_create`].
pub(super) fn url(fingerprint: &Fingerprint) -> String {
    url_of(fingerprint.as_str())
}
