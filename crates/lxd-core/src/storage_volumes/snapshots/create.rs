//! `POST …/snapshots`: keeps a custom volume as it is.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use lxd_api::storage_volume::StorageVolumeSnapshotsPost;
use lxd_auth::{Caller, Permit};
use lxd_db::storage_volumes;
use lxd_storage::{SnapshotRef, VolumeKind};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::{PoolName, SnapshotName};
use lxd_types::{ConfigExt, Error, Expiry, Kind, Result, snapshot_pattern};

use super::{SnapshotKey, expiry_of, find_snapshot};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::require_snapshots;
use crate::storage_volumes::{Found, VolumeKey, enter, find, refuse_own};
use crate::{Core, SharedCore, Undo};

/// When a new snapshot is to be removed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expires {
    /// As the volume's `snapshots.expiry` says.
    ByVolume,
    /// As the request says; none is never.
    At(Option<DateTime<Utc>>),
}

/// Starts to make a snapshot; the answer is the operation.
///
/// # Errors
/// Another type of volume, a wrong name or one in use, no such volume.
pub async fn create(
    core: &SharedCore,
    permit: &Permit,
    key: VolumeKey,
    post: StorageVolumeSnapshotsPost,
) -> Result<Arc<Operation>> {
    if key.kind != VolumeKind::Custom {
        return Err(Error::bad_request(format!("Invalid storage volume type \"{}\"", key.kind)));
    }
    let name = if post.name.is_empty() { None } else { Some(parse_name(&post.name)?) };
    let (wanted, asked) = (key.clone(), name.clone());
    let look = move |tx: &lxd_db::Tx<'_>| {
        let found = find(tx, &wanted)?;
        require_snapshots(tx, &found.row.project)?;
        asked.as_ref().map_or(Ok(()), |name| free(tx, &found, name.as_str()))?;
        Ok(found)
    };
    refuse_own(core, &core.db.read(look).await?.row, own())?;
    let expires = post.expires_at.map_or(Expires::ByVolume, |at| Expires::At(expiry_of(&at)));
    let spec = OperationSpec::task("Creating storage volume snapshot", permit.project().as_str())
        .on("storage_volumes", format!("/1.0/storage_volumes/{}", key.name))
        .by(permit.caller().requestor());
    let (work, caller) = (core.clone(), permit.caller().clone());
    Ok(core.operations.spawn(spec, move |_| async move { run(&work, &caller, &key, name, expires).await }))
}

/// Checks a name in the reference's words.
pub(super) fn parse_name(name: &str) -> Result<SnapshotName> {
    if name.contains('/') {
        return Err(Error::bad_request("Storage name cannot contain \"/\""));
    }
    if name.contains(char::is_whitespace) {
        return Err(Error::bad_request("Storage name cannot contain white space"));
    }
    Ok(name.parse()?)
}

fn free(tx: &lxd_db::Tx<'_>, found: &Found, name: &str) -> Result<()> {
    match storage_volumes::get_snapshot(tx, found.row.id, name) {
        Ok(_) => Err(taken(name)),
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn own() -> Error {
    Error::bad_request("Volumes used by LXD itself cannot have snapshots")
}

fn taken(name: &str) -> Error {
    Error::conflict(format!("Snapshot \"{name}\" already in use"))
}

/// Makes the snapshot, with a name of the volume's pattern where none is given.
pub(super) async fn run(
    core: &SharedCore,
    caller: &Caller,
    key: &VolumeKey,
    name: Option<SnapshotName>,
    expires: Expires,
) -> Result<()> {
    let _gate = enter(core, [key], "snapshot").await?;
    let wanted = key.clone();
    let found = core.db.read(move |tx| find(tx, &wanted)).await?;
    refuse_own(core, &found.row, own())?;
    let pool = crate::storage_pools::open_row(core, &found.pool).await?;
    let name = match name {
        Some(name) => name,
        None => next_name(core, &found).await?,
    };
    let expiry = match expires {
        Expires::At(at) => at,
        Expires::ByVolume => found.row.config.value("snapshots.expiry").parse::<Expiry>()?.after(Utc::now()),
    };
    let snapshot = found.volume()?.snapshot(&name);
    // Data without a row is not ours: it is neither used nor, by an undo, removed.
    if pool.list_snapshots(&snapshot.volume).await?.iter().any(|there| there == name.as_str()) {
        let wanted = name.clone();
        core.db.read(move |tx| free(tx, &found, wanted.as_str())).await?;
        return Err(Error::conflict(format!(
            "Snapshot \"{name}\" is in the storage pool but not in the database (see \"lxd recover\")"
        )));
    }
    let made = SnapshotKey { volume: key.clone(), name };
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::ForgetVolumeSnapshot { pool: key.pool.clone(), snapshot: snapshot.clone() }).await?;
        let wanted = made.clone();
        core.db.write(move |tx| record(tx, &wanted, expiry)).await?;
        pool.create_snapshot(&snapshot).await
    })
    .await?;
    let event = Lifecycle::new("storage-volume-snapshot-created", made.url()).in_project(&key.project);
    core.tell(caller, event.with("type", key.kind.as_str()));
    Ok(())
}

async fn next_name(core: &SharedCore, found: &Found) -> Result<SnapshotName> {
    let id = found.row.id;
    let rows = core.db.read(move |tx| storage_volumes::snapshots(tx, id)).await?;
    let names = rows.iter().map(|row| row.name.as_str());
    let pattern = found.row.config.value("snapshots.pattern");
    parse_name(&snapshot_pattern::next_name(pattern, names, &chrono::Local::now())?)
}

/// The row: description and keys are those that the volume has now.
fn record(tx: &lxd_db::Tx<'_>, key: &SnapshotKey, expiry: Option<DateTime<Utc>>) -> Result<()> {
    let volume = find(tx, &key.volume)?.row;
    require_snapshots(tx, &volume.project)?;
    let name = key.name.as_str();
    storage_volumes::insert_snapshot(tx, volume.id, name, &volume.description, expiry, &volume.config)
        .map(drop)
        .map_err(|error| if error.kind() == Kind::Conflict { taken(name) } else { error })
}

/// Removes what an unfinished create made.
///
/// # Errors
/// The pool is not there, files cannot be removed.
pub async fn undo_create(core: &Core, pool: &PoolName, snapshot: &SnapshotRef) -> Result<()> {
    let driver = crate::storage_pools::open(core, pool.as_str()).await?;
    match driver.delete_snapshot(snapshot).await {
        Err(error) if error.kind() != Kind::NotFound => return Err(error),
        _ => {}
    }
    let key = SnapshotKey { volume: VolumeKey::of(pool, &snapshot.volume), name: snapshot.name.clone() };
    core.db
        .write(move |tx| match find_snapshot(tx, &key) {
            Ok(found) => storage_volumes::delete_snapshot(tx, found.row.id),
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await
}
