//! Copies of custom volumes (`source.type: copy`) with their snapshots, and refreshing a copy.

use std::sync::Arc;

use lxd_api::storage_volume::StorageVolumesPost;
use lxd_auth::Permit;
use lxd_db::storage_volumes;
use lxd_storage::{Origin, Pool, VolumeKind, transfer};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::{ProjectName, SnapshotName};
use lxd_types::{Config, Error, Kind, Result};

use super::create::{self, CreateVolume, Make};
use super::snapshots::{self, SnapshotKey};
use super::{Found, VolumeKey, enter, find, refuse_own};
use crate::journal::Log;
use crate::{SharedCore, Undo};

/// What is copied, and how.
#[derive(Clone, Debug)]
struct Source {
    volume: VolumeKey,
    /// A snapshot instead of the volume.
    snapshot: Option<SnapshotName>,
    /// Without the snapshots.
    volume_only: bool,
    /// Into a volume that is there already.
    refresh: bool,
}

/// Starts to copy a volume of this server; the answer is the operation.
///
/// # Errors
/// The source is not named well.
pub async fn copy(
    core: &SharedCore,
    permit: &Permit,
    request: CreateVolume,
    post: &StorageVolumesPost,
) -> Result<Arc<Operation>> {
    let source = source(permit, &request, post)?;
    let spec = OperationSpec::task("Copying storage volume", permit.project().as_str())
        .by(permit.caller().requestor());
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core.operations.spawn(spec, move |_| async move { run(&work, &permit, &source, request).await }))
}

fn source(permit: &Permit, request: &CreateVolume, post: &StorageVolumesPost) -> Result<Source> {
    let from = &post.source;
    if from.name.is_empty() {
        return Err(Error::bad_request("No source volume name supplied"));
    }
    let project: ProjectName =
        if from.project.is_empty() { permit.project().clone() } else { from.project.parse()? };
    if !permit.caller().sees(project.as_str()) {
        // As if there were no such project: that it exists is not for this caller to know (C8).
        return Err(Error::not_found("Storage pool volume not found"));
    }
    let pool = if from.pool.is_empty() { request.pool.clone() } else { from.pool.parse()? };
    let (name, snapshot) = match from.name.split_once('/') {
        Some((name, snapshot)) => (name, Some(snapshot.parse()?)),
        None => (from.name.as_str(), None),
    };
    let volume = VolumeKey { pool, kind: VolumeKind::Custom, project, name: name.parse()? };
    // A snapshot has none of its own.
    let volume_only = from.volume_only || snapshot.is_some();
    Ok(Source { volume, snapshot, volume_only, refresh: from.refresh })
}

/// The rows and the pool of what is copied.
struct Opened {
    /// Description and keys of what is copied.
    description: String,
    config: Config,
    origin: Origin,
    pool: Arc<dyn Pool>,
    snapshots: Vec<storage_volumes::Snapshot>,
}

async fn open(core: &SharedCore, source: &Source) -> Result<Opened> {
    let wanted = source.clone();
    let (found, snapshots, description, config) = core
        .db
        .read(move |tx| {
            let found = find(tx, &wanted.volume)?;
            let (description, config) = match &wanted.snapshot {
                None => (found.row.description.clone(), found.row.config.clone()),
                Some(name) => {
                    let row = storage_volumes::get_snapshot(tx, found.row.id, name.as_str())?;
                    (row.description, row.config)
                }
            };
            let snapshots =
                if wanted.volume_only { Vec::new() } else { storage_volumes::snapshots(tx, found.row.id)? };
            Ok((found, snapshots, description, config))
        })
        .await?;
    let volume = found.volume()?;
    let origin = match &source.snapshot {
        Some(name) => Origin::Snapshot(volume.snapshot(name)),
        None => Origin::Volume(volume),
    };
    let pool = crate::storage_pools::open_row(core, &found.pool).await?;
    Ok(Opened { description, config, origin, pool, snapshots })
}

/// Makes the copy; keys that are not given are those of the source.
async fn run(core: &SharedCore, permit: &Permit, source: &Source, mut request: CreateVolume) -> Result<()> {
    let target = request.key(permit.project());
    if target == source.volume && source.snapshot.is_none() {
        return Err(super::taken());
    }
    // Neither its content nor its snapshots may change while they are read.
    let _gate = enter(core, [&source.volume], "copy").await?;
    let opened = open(core, source).await?;
    if source.refresh {
        let wanted = target.clone();
        match core.db.read(move |tx| find(tx, &wanted)).await {
            Ok(there) => return refresh(core, &opened, &target, there).await,
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    request.content = opened.origin.volume().content;
    if request.config.is_empty() {
        request.config =
            opened.config.into_iter().filter(|(key, _)| !key.starts_with("volatile.idmap")).collect();
    }
    if request.description.is_empty() {
        request.description = opened.description;
    }
    let make = Make::Copy { pool: opened.pool, origin: opened.origin, snapshots: opened.snapshots };
    create::run(core, permit, &request, make).await
}

/// Brings an earlier copy up to date: snapshots that the source has no more go, missing ones come, and of the content
/// what differs is written.
async fn refresh(core: &SharedCore, from: &Opened, target: &VolumeKey, there: Found) -> Result<()> {
    let _gate = enter(core, [target], "refresh").await?;
    let own = Error::bad_request(format!(
        "Volume \"{}\" is used by LXD itself and cannot be refreshed",
        target.name
    ));
    refuse_own(core, &there.row, own)?;
    let to = there.volume()?;
    if to.content != from.origin.volume().content {
        return Err(Error::bad_request(format!("Volume \"{}\" holds content of another type", target.name)));
    }
    let pool = crate::storage_pools::open_row(core, &there.pool).await?;
    let id = there.row.id;
    let present = core.db.read(move |tx| storage_volumes::snapshots(tx, id)).await?;
    for old in present.iter().filter(|old| from.snapshots.iter().all(|wanted| wanted.name != old.name)) {
        let key = SnapshotKey { volume: target.clone(), name: old.name.parse()? };
        snapshots::remove(core, &key).await?;
    }
    for new in from.snapshots.iter().filter(|new| present.iter().all(|old| old.name != new.name)) {
        let snapshot = to.snapshot(&new.name.parse()?);
        let origin = Origin::Snapshot(from.origin.volume().snapshot(&snapshot.name));
        transfer::refresh(&from.pool, &origin, &pool, &to, &[]).await?;
        core.undoable(async |undo: &mut Log| {
            let step = Undo::ForgetVolumeSnapshot { pool: target.pool.clone(), snapshot: snapshot.clone() };
            undo.push(step).await?;
            let row = new.clone();
            core.db.write(move |tx| create::insert_snapshot(tx, id, &row)).await?;
            pool.create_snapshot(&snapshot).await
        })
        .await?;
    }
    transfer::refresh(&from.pool, &from.origin, &pool, &to, &[]).await
}
