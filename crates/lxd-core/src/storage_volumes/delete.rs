//! `DELETE /1.0/storage-pools/{pool}/volumes/custom/{name}`.

use lxd_auth::Permit;
use lxd_db::storage_volumes;
use lxd_storage::{VolumeKind, VolumeRef};
use lxd_types::names::PoolName;
use lxd_types::{Error, Kind, Result};

use super::{VolumeKey, enter, find, refuse_own};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{Core, SharedCore, Undo};

/// Removes a custom volume that nothing uses.
///
/// # Errors
/// "Storage pool volume not found", "The storage volume is still in use", another type.
pub async fn delete(core: &SharedCore, permit: &Permit, key: VolumeKey) -> Result<()> {
    if !matches!(key.kind, VolumeKind::Custom | VolumeKind::Image) {
        let text = format!("Storage volumes of type \"{}\" cannot be deleted with the storage API", key.kind);
        return Err(Error::bad_request(text));
    }
    let (work, permit) = (core.clone(), permit.clone());
    core.run("delete storage volume", async move { run(&work, &permit, &key).await }).await
}

async fn run(core: &SharedCore, permit: &Permit, key: &VolumeKey) -> Result<()> {
    let _gate = enter(core, [key], "delete").await?;
    remove(core, key).await?;
    let event = Lifecycle::new("storage-volume-deleted", key.url()).in_project(&key.project);
    core.tell(permit.caller(), event);
    Ok(())
}

/// The removal for a caller that holds the gate. The row goes first: from then on the journal finishes it.
pub(super) async fn remove(core: &SharedCore, key: &VolumeKey) -> Result<()> {
    let wanted = key.clone();
    let found = core.db.read(move |tx| find(tx, &wanted)).await?;
    let in_use = || Error::bad_request("The storage volume is still in use");
    refuse_own(core, &found.row, in_use())?;
    let volume = found.volume()?;
    let pool = crate::storage_pools::open_row(core, &found.pool).await?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::RemoveVolume { pool: key.pool.clone(), volume: volume.clone() }).await?;
        let wanted = key.clone();
        core.db
            .write(move |tx| {
                let found = find(tx, &wanted)?;
                let is_image = wanted.kind == VolumeKind::Image;
                if !is_image && !storage_volumes::used_by(tx, &found.row)?.is_empty() {
                    return Err(in_use());
                }
                storage_volumes::delete(tx, found.row.id)
            })
            .await?;
        core.faults.point("volume forgotten")?;
        match pool.delete(&volume).await {
            // The row was all that was left of it.
            Err(error) if error.kind() == Kind::NotFound => {}
            other => other?,
        }
        core.faults.point("volume removed")?;
        crate::backups::remove_all(core, &VolumeKey::of(&key.pool, &volume)).await
    })
    .await
}

/// Removes the files of a volume whose row is gone; one that has a row is left alone.
///
/// # Errors
/// The pool is not there, files cannot be removed.
pub async fn remove_leftover(core: &Core, pool: &PoolName, volume: &VolumeRef) -> Result<()> {
    let key = VolumeKey::of(pool, volume);
    match core.db.read(move |tx| find(tx, &key)).await {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() != Kind::NotFound => return Err(error),
        Err(_) => {}
    }
    match crate::storage_pools::open(core, pool.as_str()).await?.delete(volume).await {
        Err(error) if error.kind() != Kind::NotFound => Err(error),
        _ => crate::backups::remove_all(core, &VolumeKey::of(pool, volume)).await,
    }
}
