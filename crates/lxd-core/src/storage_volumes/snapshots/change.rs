//! Renaming, changing and removing snapshots of custom volumes.

use std::sync::Arc;

use lxd_api::storage_volume::StorageVolumeSnapshotPut;
use lxd_auth::{Caller, Permit};
use lxd_db::storage_volumes;
use lxd_storage::{SnapshotRef, VolumeKind};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::{PoolName, SnapshotName};
use lxd_types::{Error, Kind, Result};

use super::{SnapshotKey, expiry_of, find_snapshot};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::storage_volumes::{VolumeKey, enter};
use crate::{Core, SharedCore, Undo};

fn operation(permit: &Permit, key: &SnapshotKey, description: &str) -> OperationSpec {
    OperationSpec::task(description, permit.project().as_str())
        .on("storage_volume_snapshots", format!("/1.0/storage_volume_snapshots/{}", key.volume.name))
        .by(permit.caller().requestor())
}

fn only_custom(key: &SnapshotKey) -> Result<()> {
    match key.volume.kind {
        VolumeKind::Custom => Ok(()),
        kind => Err(Error::bad_request(format!("Invalid storage volume type \"{kind}\""))),
    }
}

/// Starts to rename a snapshot; the answer is the operation.
///
/// # Errors
/// Another type of volume, a wrong name.
pub async fn rename(
    core: &SharedCore,
    permit: &Permit,
    key: SnapshotKey,
    name: &str,
) -> Result<Arc<Operation>> {
    only_custom(&key)?;
    if name.is_empty() {
        return Err(Error::bad_request("No name provided"));
    }
    if name.contains('/') {
        return Err(Error::bad_request("Storage volume names may not contain slashes"));
    }
    let new = super::create::parse_name(name)?;
    let spec = operation(permit, &key, "Renaming storage volume snapshot");
    let (work, caller) = (core.clone(), permit.caller().clone());
    Ok(core.operations.spawn(spec, move |_| async move { run_rename(&work, &caller, &key, &new).await }))
}

async fn run_rename(
    core: &SharedCore,
    caller: &Caller,
    key: &SnapshotKey,
    name: &SnapshotName,
) -> Result<()> {
    let _gate = enter(core, [&key.volume], "rename of a snapshot").await?;
    let wanted = key.clone();
    let found = core.db.read(move |tx| find_snapshot(tx, &wanted)).await?;
    let snapshot = found.reference()?;
    let pool = crate::storage_pools::open_row(core, &found.of.pool).await?;
    let pool_name = key.volume.pool.clone();
    core.undoable(async |undo: &mut Log| {
        let step =
            Undo::RenameVolumeSnapshot { pool: pool_name, snapshot: snapshot.clone(), name: name.clone() };
        undo.push(step).await?;
        pool.rename_snapshot(&snapshot, name).await?;
        let (id, new) = (found.row.id, name.to_string());
        core.db.write(move |tx| storage_volumes::rename_snapshot(tx, id, &new)).await
    })
    .await?;
    let renamed = SnapshotKey { name: name.clone(), ..key.clone() };
    let event = Lifecycle::new("storage-volume-snapshot-renamed", renamed.url());
    core.tell(caller, event.in_project(&key.volume.project).with("old_name", key.name.as_str()));
    Ok(())
}

/// Gives the files the name that the row has.
///
/// # Errors
/// The pool is not there, files cannot be renamed.
pub async fn undo_rename(
    core: &Core,
    pool: &PoolName,
    snapshot: &SnapshotRef,
    name: &SnapshotName,
) -> Result<()> {
    let key = SnapshotKey { volume: VolumeKey::of(pool, &snapshot.volume), name: snapshot.name.clone() };
    match core.db.read(move |tx| find_snapshot(tx, &key)).await {
        Ok(_) => {}
        // The row has the new name: the rename was complete.
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let driver = crate::storage_pools::open(core, pool.as_str()).await?;
    if driver.list_snapshots(&snapshot.volume).await?.iter().any(|there| there == snapshot.name.as_str()) {
        return Ok(());
    }
    driver.rename_snapshot(&snapshot.volume.snapshot(name), &snapshot.name).await
}

/// Changes description and expiry of a snapshot.
///
/// # Errors
/// "Storage pool volume not found".
pub async fn update(
    core: &SharedCore,
    permit: &Permit,
    key: SnapshotKey,
    put: StorageVolumeSnapshotPut,
) -> Result<()> {
    only_custom(&key)?;
    let wanted = key.clone();
    core.db
        .write(move |tx| {
            let found = find_snapshot(tx, &wanted)?;
            storage_volumes::update_snapshot(tx, found.row.id, &put.description, expiry_of(&put.expires_at))
        })
        .await?;
    let event = Lifecycle::new("storage-volume-snapshot-updated", key.url());
    core.tell(permit.caller(), event.in_project(&key.volume.project));
    Ok(())
}

/// Starts to remove a snapshot; the answer is the operation.
///
/// # Errors
/// "Storage pool volume not found", another type of volume.
pub async fn delete(core: &SharedCore, permit: &Permit, key: SnapshotKey) -> Result<Arc<Operation>> {
    only_custom(&key)?;
    let wanted = key.clone();
    core.db.read(move |tx| find_snapshot(tx, &wanted).map(drop)).await?;
    let spec = operation(permit, &key, "Deleting storage volume snapshot");
    let (work, caller) = (core.clone(), permit.caller().clone());
    Ok(core.operations.spawn(spec, move |_| async move { run_delete(&work, &caller, &key).await }))
}

/// The removal. The files go first: with its row a half removed snapshot can be removed again.
pub(super) async fn run_delete(core: &SharedCore, caller: &Caller, key: &SnapshotKey) -> Result<()> {
    let _gate = enter(core, [&key.volume], "removal of a snapshot").await?;
    remove(core, key).await?;
    let event = Lifecycle::new("storage-volume-snapshot-deleted", key.url());
    core.tell(caller, event.in_project(&key.volume.project));
    Ok(())
}

/// The removal for a caller that holds the volume's gate.
pub(in crate::storage_volumes) async fn remove(core: &SharedCore, key: &SnapshotKey) -> Result<()> {
    let wanted = key.clone();
    let found = core.db.read(move |tx| find_snapshot(tx, &wanted)).await?;
    let snapshot = found.reference()?;
    let pool = crate::storage_pools::open_row(core, &found.of.pool).await?;
    core.undoable(async |undo: &mut Log| {
        // What was begun is finished: half a snapshot is of no use to anybody.
        undo.push(Undo::ForgetVolumeSnapshot { pool: key.volume.pool.clone(), snapshot: snapshot.clone() })
            .await?;
        match pool.delete_snapshot(&snapshot).await {
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            _ => {}
        }
        core.db.write(move |tx| storage_volumes::delete_snapshot(tx, found.row.id)).await
    })
    .await
}
