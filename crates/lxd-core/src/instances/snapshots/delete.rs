//! `DELETE /1.0/instances/{name}/snapshots/{snapshot}`.

use std::sync::Arc;

use lxd_auth::Permit;
use lxd_db::{snapshots, storage_volumes};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::{Kind, Result};

use super::super::{files, pool_name};
use super::{SnapshotKey, enter, find, volume_row};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Starts the deletion; the answer is its operation.
///
/// # Errors
/// There is no such snapshot.
pub async fn delete(core: &SharedCore, permit: &Permit, key: SnapshotKey) -> Result<Arc<Operation>> {
    let wanted = key.clone();
    core.db.read(move |tx| find(tx, &wanted)).await?;
    let spec = OperationSpec::task("Deleting snapshot", key.instance.project.as_str())
        .on("instances", format!("/1.0/instances/{}", key.full()))
        .on("containers", format!("/1.0/containers/{}", key.full()))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move {
        let _gate = enter(&core, &key.instance, "snapshot delete")?;
        delete_held(&core, &permit, &key).await
    }))
}

/// The deletion; the caller holds the gate. The rows go first: from then on the journal finishes it.
///
/// # Errors
/// There is no such snapshot, or its files cannot be removed.
pub(in crate::instances) async fn delete_held(
    core: &SharedCore,
    permit: &Permit,
    key: &SnapshotKey,
) -> Result<()> {
    let pool = pool_name(core, &key.instance).await?;
    let volume = key.volume()?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::FinishDeleteSnapshot {
            project: key.instance.project.clone(),
            instance: key.instance.name.clone(),
            name: volume.name.clone(),
            pool: pool.clone(),
        })
        .await?;
        let wanted = key.clone();
        core.db
            .write(move |tx| {
                let (model, snapshot) = find(tx, &wanted)?;
                let row = volume_row(tx, &model.row)?;
                match storage_volumes::get_snapshot(tx, row.id, &wanted.name) {
                    Ok(found) => storage_volumes::delete_snapshot(tx, found.id)?,
                    Err(error) if error.kind() == Kind::NotFound => {}
                    Err(error) => return Err(error),
                }
                snapshots::delete(tx, &snapshot)
            })
            .await?;
        core.faults.point("snapshot forgotten")?;
        remove_files(core, key, pool.as_deref()).await?;
        core.faults.point("snapshot removed")
    })
    .await?;
    let event = Lifecycle::new("instance-snapshot-deleted", key.url()).in_project(&key.instance.project);
    core.tell(permit.caller(), event);
    Ok(())
}

/// Removes what a snapshot has on disk. Succeeds when nothing is there any more.
pub(super) async fn remove_files(core: &SharedCore, key: &SnapshotKey, pool: Option<&str>) -> Result<()> {
    if let Some(pool) = pool {
        let pool = crate::storage_pools::open(core, pool).await?;
        match pool.delete_snapshot(&key.volume()?).await {
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            _ => {}
        }
    }
    files::link_snapshots(core, &key.instance).await
}
