//! Keeping images that came from other servers: a newer one replaces them, and cached ones that nobody uses go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use lxd_auth::Permit;
use lxd_config::{project as project_keys, server as server_keys};
use lxd_db::{Tx, image_aliases, images, projects};
use lxd_image::Received;
use lxd_task::operation::Operation;
use lxd_task::{OpHandle, OperationSpec};
use lxd_types::names::{Fingerprint, ProjectName};
use lxd_types::{Config, Error, Result};

use super::create::{self, UploadOptions};
use super::fetch::fetch;
use super::get::{View, find};
use super::remote::{self, RemoteImage};
use super::{delete, url_of};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{Core, SharedCore, Undo};

/// How many silences long an update in the background may take.
const LONGEST: u32 = 60;

/// Seconds of an hour.
const HOUR: u64 = 60 * 60;

/// `POST /1.0/images/{fingerprint}/refresh`: looks for a newer version now.
///
/// # Errors
/// "Image not found".
pub async fn refresh(core: &SharedCore, permit: &Permit, prefix: &str) -> Result<Arc<Operation>> {
    let view = View { project: permit.project().clone(), public_only: false };
    let row = find(core, view, prefix).await?;
    let spec = OperationSpec::task("Refreshing image", permit.project().as_str())
        .on("images", url_of(&row.fingerprint))
        .by(permit.caller().requestor())
        .cancellable();
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core.operations.spawn(spec, move |op| async move {
        let refreshed = update(&work, &permit, &op, row.id).await?;
        op.set("refreshed", refreshed);
        Ok(())
    }))
}

/// Replaces an image by the present one of its source; true when there was a newer one.
async fn update(core: &SharedCore, permit: &Permit, op: &OpHandle, id: i64) -> Result<bool> {
    let old = core.db.read(move |tx| images::by_id(tx, id)).await?;
    let Some(source) = &old.source else {
        let what = format!("Failed to update image {:?} in project {:?}", old.fingerprint, old.project);
        return Err(Error::not_found("Image source not found").context(what));
    };
    let wanted = RemoteImage::stored(source, old.kind);
    let project: ProjectName = old.project.parse()?;
    let found = remote::find(core, &project, op, &wanted, Duration::ZERO).await?;
    if found.fingerprint() == old.fingerprint {
        return Ok(false);
    }
    let fingerprint: Fingerprint = found.fingerprint().parse()?;
    let turn = core.downloads.of(fingerprint.as_str());
    let _turn = turn.lock().await;
    // Images belong to the project that owns them, which may be another than that of the request.
    let permit = permit.in_project(project);
    let received = match remote::is_here(core, permit.project(), &fingerprint).await? {
        true => None,
        false => Some(fetch(core, permit.project(), op, &wanted, &found).await?),
    };
    let options = UploadOptions { replaces: Some(id), ..remote::options(&found, &wanted) };
    let before: Fingerprint = old.fingerprint.parse()?;
    replace(core, &permit, op, &before, id, &fingerprint, received.map(|received| (received, options)))
        .await?;
    let event = Lifecycle::new("image-refreshed", url_of(fingerprint.as_str())).in_project(permit.project());
    core.tell(permit.caller(), event);
    Ok(true)
}

/// Puts a newer image (one that came just now, or is here) in the place of an older one, whose files then go.
async fn replace(
    core: &SharedCore,
    permit: &Permit,
    op: &OpHandle,
    old: &Fingerprint,
    id: i64,
    new: &Fingerprint,
    came: Option<(Received, UploadOptions)>,
) -> Result<()> {
    let _gate = core
        .gates
        .enter(create::url(old), "refresh")
        .map_err(|_| Error::busy("Another operation holds the image"))?;
    core.undoable(async |undo: &mut Log| {
        // Nothing is removed while a row names the files.
        undo.push(Undo::ForgetImage { fingerprint: old.clone() }).await?;
        match came {
            Some((received, options)) => create::store(core, permit, op, received, options).await?,
            None => {
                let new = new.clone();
                let take_over = move |tx: &Tx<'_>| {
                    let old = images::by_id(tx, id)?;
                    take_over(tx, &old, images::get(tx, old.project_id, new.as_str(), false)?.id)
                };
                core.db.write(take_over).await?;
            }
        }
        core.faults.point("image replaced")?;
        delete::undo_create(core, old).await
    })
    .await?;
    let event = Lifecycle::new("image-deleted", url_of(old.as_str())).in_project(permit.project());
    core.tell(permit.caller(), event);
    Ok(())
}

/// A newer image is what the old one was, and the old one is no more.
pub(super) fn take_over(tx: &Tx<'_>, old: &images::Image, new: i64) -> Result<()> {
    image_aliases::move_all(tx, old.id, new)?;
    if let Some(last_used) = old.last_used {
        images::set_last_used(tx, new, last_used)?;
    }
    images::delete(tx, old.id)
}

/// When the images of each project were looked at last.
#[derive(Default)]
pub struct Updates(tokio::sync::Mutex<HashMap<String, Instant>>);

/// The background task: images that shall be kept up to date, project by project at its own interval.
pub async fn update_all(core: Arc<Core>) {
    update_all_ahead(core, Duration::ZERO).await;
}

/// As [`update_all`], as if it were so much later.
pub async fn update_all_ahead(core: Arc<Core>, ahead: Duration) {
    if let Err(error) = try_update_all(&core, ahead).await {
        tracing::error!(error = error.chain(), "Failed to look for newer images");
    }
}

async fn try_update_all(core: &SharedCore, ahead: Duration) -> Result<()> {
    let (all, configs) = core.db.read(|tx| Ok((images::list(tx, None, false)?, projects::list(tx)?))).await?;
    let server = core.server.config();
    let mut last = core.image_updates.0.lock().await;
    for project in configs {
        let interval = interval(&project.config, &server)?;
        let early = last.get(&project.name).is_some_and(|at| at.elapsed() + ahead < interval);
        if interval.is_zero() || early {
            continue;
        }
        last.insert(project.name.clone(), Instant::now());
        let name: ProjectName = project.name.parse()?;
        for row in all.iter().filter(|row| row.project == project.name && row.auto_update) {
            update_in_background(core, &name, row).await;
        }
    }
    Ok(())
}

/// How often newer images are looked for in a project; zero for never.
///
/// # Errors
/// A stored value is damaged.
pub(super) fn interval(project: &Config, server: &Config) -> Result<Duration> {
    let hours = match project_keys::IMAGES_AUTO_UPDATE_INTERVAL.read(project)? {
        Some(own) => own,
        None => server_keys::IMAGES_AUTO_UPDATE_INTERVAL.read_or(server, 0)?,
    };
    Ok(Duration::from_secs(u64::try_from(hours).unwrap_or(0).saturating_mul(HOUR)))
}

/// One that is not there any more, or is not kept up to date any more, is left alone.
async fn update_in_background(core: &SharedCore, project: &ProjectName, row: &images::Image) {
    let id = row.id;
    let now = core.db.read(move |tx| images::by_id(tx, id)).await;
    if !now.is_ok_and(|now| now.auto_update && now.source.is_some()) {
        return;
    }
    let (url, permit) = (url_of(&row.fingerprint), Permit::daemon(project.clone()));
    let spec =
        OperationSpec::task("Updating images", project.as_str()).on("images", url.clone()).cancellable();
    let work = core.clone();
    let operation =
        core.operations.spawn(spec, move |op| async move { update(&work, &permit, &op, id).await.map(drop) });
    if !operation.wait(Some(core.faults.patience(remote::SILENCE) * LONGEST)).await {
        // The others do not wait for a server that sends just enough not to be silent.
        tracing::warn!(image = url, "The update of an image takes too long, it is given up");
        if core.operations.cancel(&operation).is_ok() {
            operation.wait(None).await;
        }
    }
    if let Err(error) = operation.result() {
        tracing::warn!(image = url, error = error.chain(), "Failed to update an image");
    }
}

/// The background task: cached images that no instance was made of for long.
pub async fn expire_cached(core: Arc<Core>) {
    expire_cached_ahead(core, Duration::ZERO).await;
}

/// As [`expire_cached`], as if it were so much later.
pub async fn expire_cached_ahead(core: Arc<Core>, ahead: Duration) {
    if let Err(error) = try_expire(&core, Utc::now() + ahead).await {
        tracing::error!(error = error.chain(), "Failed to remove cached images");
    }
}

async fn try_expire(core: &SharedCore, now: DateTime<Utc>) -> Result<()> {
    let projects: HashMap<String, Config> = core
        .db
        .read(projects::list)
        .await?
        .into_iter()
        .map(|project| (project.name, project.config))
        .collect();
    let server = core.server.config();
    let cached = core.db.read(|tx| images::list(tx, None, false)).await?;
    for image in cached.into_iter().filter(|image| image.cached) {
        let own = projects.get(&image.project);
        let own =
            own.map(|config| project_keys::IMAGES_REMOTE_CACHE_EXPIRY.read(config)).transpose()?.flatten();
        let days = match own {
            Some(days) => days,
            None => server_keys::IMAGES_REMOTE_CACHE_EXPIRY.read_or(&server, 10)?,
        };
        let used = image.last_used.unwrap_or(image.uploaded);
        let unused = days > 0 && now - used >= chrono::Duration::days(days);
        if unused || image.expiry.is_some_and(|end| end <= now) {
            let permit = Permit::daemon(image.project.parse()?);
            let fingerprint: Fingerprint = image.fingerprint.parse()?;
            if let Err(error) = delete::run(core, &permit, &fingerprint).await {
                tracing::warn!(
                    image = url_of(&image.fingerprint),
                    error = error.chain(),
                    "A cached image stays"
                );
            }
        }
    }
    Ok(())
}

/// Starts to copy an image of another server here; the answer is the operation.
///
/// # Errors
/// The request names no image or a server that is not asked.
pub fn copy(
    core: &SharedCore,
    permit: &Permit,
    wanted: RemoteImage,
    options: UploadOptions,
) -> Result<Arc<Operation>> {
    wanted.check()?;
    let spec = OperationSpec::task("Downloading image", permit.project().as_str())
        .by(permit.caller().requestor())
        .cancellable();
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core
        .operations
        .spawn(spec, move |op| async move { run_copy(&work, &permit, &op, wanted, options).await }))
}

async fn run_copy(
    core: &SharedCore,
    permit: &Permit,
    op: &OpHandle,
    wanted: RemoteImage,
    given: UploadOptions,
) -> Result<()> {
    let wanted = wanted.wanted_in(core, permit.project()).await?;
    let found = remote::find(core, permit.project(), op, &wanted, remote::FRESH).await?;
    let fingerprint: Fingerprint = found.fingerprint().parse()?;
    let turn = core.downloads.of(fingerprint.as_str());
    let _turn = turn.lock().await;
    if remote::is_here(core, permit.project(), &fingerprint).await? {
        return adopt(core, permit, op, &fingerprint, given, wanted.source()).await;
    }
    let mut options = remote::options(&found, &wanted);
    options.properties.extend(given.properties);
    options.expiry = given.expiry.or(options.expiry);
    let options = UploadOptions {
        filename: if given.filename.is_empty() { options.filename } else { given.filename },
        public: given.public,
        auto_update: given.auto_update,
        aliases: given.aliases,
        profiles: given.profiles,
        ..options
    };
    let received = fetch(core, permit.project(), op, &wanted, &found).await?;
    create::store(core, permit, op, received, options).await
}

/// The image is here already, and gets the aliases. One that was cached is asked for by itself now: it is not cached any
/// more.
async fn adopt(
    core: &SharedCore,
    permit: &Permit,
    op: &OpHandle,
    fingerprint: &Fingerprint,
    given: UploadOptions,
    source: Option<images::Source>,
) -> Result<()> {
    let (project, wanted) = (permit.project().clone(), fingerprint.clone());
    core.db
        .write(move |tx| {
            let image = images::get(tx, super::owner(tx, &project)?, wanted.as_str(), false)?;
            let again = given.auto_update && source.is_some();
            if image.cached || again {
                images::set_cached(tx, image.id, false)?;
                if let Some(source) = &source {
                    images::set_source(tx, image.id, source)?;
                }
                let ids = super::profile_ids(tx, &project, Some(&image.profiles))?;
                let public = image.public || given.public;
                images::update(
                    tx,
                    image.id,
                    public,
                    given.auto_update,
                    image.expiry,
                    &image.properties,
                    &ids,
                )?;
            }
            for (name, description) in &given.aliases {
                match image_aliases::find(tx, image.project_id, name)? {
                    Some(alias) if alias.image_id == image.id => continue,
                    Some(_) => return Err(Error::conflict(format!("Alias already exists: {name}"))),
                    None => {}
                }
                image_aliases::insert(tx, image.project_id, image.id, name, description)?;
            }
            Ok(())
        })
        .await?;
    op.set("fingerprint", fingerprint.as_str());
    let event = Lifecycle::new("image-updated", url_of(fingerprint.as_str())).in_project(permit.project());
    core.tell(permit.caller(), event);
    Ok(())
}
