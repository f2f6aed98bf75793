//! `PUT …/volumes/custom/{name}` with `restore`: puts a volume back to a snapshot.

use lxd_auth::Permit;
use lxd_db::storage_volumes;
use lxd_storage::VolumeRef;
use lxd_types::names::{PoolName, SnapshotName};
use lxd_types::{Error, Kind, Result};

use super::{SnapshotKey, find_snapshot};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::storage_volumes::{VolumeKey, enter, running_user};
use crate::{Core, SharedCore, Undo};

/// Makes the volume as a snapshot of it is.
///
/// # Errors
/// "Snapshot not found"; a running instance uses the volume.
pub async fn restore(core: &SharedCore, permit: &Permit, volume: &VolumeKey, name: &str) -> Result<()> {
    let missing = || Error::internal("Snapshot not found");
    let name: SnapshotName = name.parse().map_err(|_| missing())?;
    let key = SnapshotKey { volume: volume.clone(), name };
    let _gate = enter(core, [volume], "restore").await?;
    let wanted = key.clone();
    let (found, users) = core
        .db
        .read(move |tx| {
            let found = match find_snapshot(tx, &wanted) {
                // The reference's answer, status included.
                Err(error) if error.kind() == Kind::NotFound => return Err(missing()),
                other => other?,
            };
            let users = storage_volumes::used_by(tx, &found.of.row)?;
            Ok((found, users))
        })
        .await?;
    if let Some(name) = running_user(core, &users)? {
        // It would go on with what is replaced.
        let text = format!("Cannot restore custom volume used by running instances (\"{name}\" runs)");
        return Err(Error::bad_request(text));
    }
    let snapshot = found.reference()?;
    let pool = crate::storage_pools::open_row(core, &found.of.pool).await?;
    core.undoable(async |undo: &mut Log| {
        let step = Undo::SettleVolume { pool: volume.pool.clone(), volume: snapshot.volume.clone() };
        undo.push(step).await?;
        pool.restore_snapshot(&snapshot).await
    })
    .await?;
    let event = Lifecycle::new("storage-volume-restored", volume.url()).in_project(&volume.project);
    core.tell(permit.caller(), event.with("snapshot", key.name.as_str()));
    Ok(())
}

/// Removes what an interrupted restore left.
///
/// # Errors
/// The pool is not there, files cannot be removed.
pub async fn settle(core: &Core, pool: &PoolName, volume: &VolumeRef) -> Result<()> {
    crate::storage_pools::open(core, pool.as_str()).await?.settle(volume).await
}
