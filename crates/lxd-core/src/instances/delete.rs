//! `DELETE /1.0/instances/{name}`.

use std::sync::Arc;

use lxd_auth::Permit;
use lxd_db::{instances, storage_volumes};
use lxd_storage::{VolumeKind, VolumeRef};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::InstanceName;
use lxd_types::{Error, Kind, Result};

use super::{InstanceKey, Model, load};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Starts the deletion; the answer is its operation.
///
/// # Errors
/// There is no such instance, or it runs.
pub async fn delete(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<Arc<Operation>> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    core.db.read(move |tx| load(tx, &wanted)).await?;
    if core.runtime.is_running(&key) {
        return Err(Error::bad_request("Instance is running"));
    }
    let spec = OperationSpec::task("Deleting instance", key.project.as_str())
        .on("instances", key.url())
        .on("containers", format!("/1.0/containers/{}", key.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move { run(&core, &permit, &key).await }))
}

/// The deletion inside its gate.
///
/// # Errors
/// It runs, or is protected, or its files cannot be removed (then the next start of the daemon goes on).
pub(super) async fn run(core: &SharedCore, permit: &Permit, key: &InstanceKey) -> Result<()> {
    let _gate = core
        .gates
        .enter(key.to_string(), "delete")
        .map_err(|taken| Error::from(taken).context("Failed to create instance delete operation"))?;
    delete_held(core, permit, key).await
}

/// The deletion for a caller that holds the gate (an ephemeral instance that stopped).
pub(super) async fn delete_held(core: &SharedCore, permit: &Permit, key: &InstanceKey) -> Result<()> {
    let wanted = key.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    check(core, &model)?;
    let pool = pool_of(core, &model).await?;
    if let Some(pool) = &pool {
        // A pool that does not answer would keep the data of an instance that nobody knows any more.
        crate::storage_pools::open(core, pool)
            .await?
            .exists(&VolumeRef::container(&key.project, &key.name))
            .await?;
    }
    let step = Undo::FinishDeleteInstance {
        project: key.project.clone(),
        name: key.name.clone(),
        pool: pool.clone(),
    };
    super::devices::remove_all(core, &model).await;
    let id = model.row.id;
    let snapshots = core.db.read(move |tx| lxd_db::snapshots::list(tx, id)).await?;
    core.undoable(async |undo: &mut Log| {
        undo.push(step).await?;
        forget(core, &model).await?;
        // The commit point: from here on recovery finishes.
        core.faults.point("instance forgotten")?;
        remove_files(core, key, pool.as_deref()).await?;
        core.faults.point("files removed")
    })
    .await?;
    super::snapshots::tell_deleted(core, permit, key, &snapshots);
    core.tell(permit.caller(), Lifecycle::new("instance-deleted", key.url()).in_project(&key.project));
    Ok(())
}

fn check(core: &SharedCore, model: &Model) -> Result<()> {
    if core.runtime.is_running(&model.key) {
        return Err(Error::bad_request("Instance is running"));
    }
    if lxd_types::words::is_true(model.config.get("security.protection.delete").map_or("", String::as_str)) {
        return Err(Error::internal("Container is protected"));
    }
    Ok(())
}

/// The pool that holds the root volume; `None` when the database knows of none.
async fn pool_of(core: &SharedCore, model: &Model) -> Result<Option<String>> {
    let (project_id, name) = (model.row.project_id, model.row.name.clone());
    let volumes = core
        .db
        .read(move |tx| storage_volumes::anywhere(tx, project_id, VolumeKind::Container.number(), &name))
        .await?;
    Ok(volumes.into_iter().next().map(|volume| volume.pool))
}

async fn forget(core: &SharedCore, model: &Model) -> Result<()> {
    let (id, project_id, name) = (model.row.id, model.row.project_id, model.row.name.clone());
    core.db
        .write(move |tx| {
            for volume in storage_volumes::anywhere(tx, project_id, VolumeKind::Container.number(), &name)? {
                storage_volumes::delete(tx, volume.id)?;
            }
            instances::delete(tx, id)
        })
        .await
}

/// Removes what an instance has on disk. Succeeds when nothing is there any more.
///
/// # Errors
/// Something cannot be removed.
pub(crate) async fn remove_files(core: &SharedCore, key: &InstanceKey, pool: Option<&str>) -> Result<()> {
    let _turn = core.backup_files.wait(&key.to_string()).await;
    if let Some(pool) = pool {
        let pool = crate::storage_pools::open(core, pool).await?;
        match pool.delete(&VolumeRef::container(&key.project, &key.name)).await {
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            _ => {}
        }
    }
    super::files::remove_directories(core, key).await
}
