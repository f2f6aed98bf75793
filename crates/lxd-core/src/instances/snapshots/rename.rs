//! `POST /1.0/instances/{name}/snapshots/{snapshot}`: another name.

use std::sync::Arc;

use lxd_api::instance::InstanceSnapshotPost;
use lxd_auth::Permit;
use lxd_db::{snapshots, storage_volumes};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::SnapshotName;
use lxd_types::{Error, Kind, Result};

use super::{SnapshotKey, enter, find, pool_of, volume_row};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Starts the renaming; the answer is its operation.
///
/// # Errors
/// There is no such snapshot, or the new name is wrong or taken.
pub async fn rename(
    core: &SharedCore,
    permit: &Permit,
    key: SnapshotKey,
    post: InstanceSnapshotPost,
) -> Result<Arc<Operation>> {
    if post.migration {
        return Err(Error::not_implemented("Moving snapshots to other servers is not supported yet"));
    }
    let wanted = key.clone();
    let (model, _) = core.db.read(move |tx| find(tx, &wanted)).await?;
    if post.name.contains('/') {
        return Err(Error::bad_request("Invalid snapshot name: Cannot contain \"/\""));
    }
    let new: SnapshotName = post.name.parse()?;
    let (id, name) = (model.row.id, new.to_string());
    let there = core.db.read(move |tx| match snapshots::get(tx, id, &name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    });
    if there.await? {
        return Err(taken(&key, &new));
    }
    let spec = OperationSpec::task("Renaming snapshot", key.instance.project.as_str())
        .on("instances", key.instance.url())
        .on("containers", format!("/1.0/containers/{}", key.instance.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move { run(&core, &permit, &key, new).await }))
}

fn taken(key: &SnapshotKey, new: &SnapshotName) -> Error {
    Error::conflict(format!("Name '{}/{new}' already in use", key.instance.name))
}

async fn run(core: &SharedCore, permit: &Permit, key: &SnapshotKey, new: SnapshotName) -> Result<()> {
    let _gate = enter(core, &key.instance, "snapshot rename")?;
    let pool = pool_of(core, &key.instance).await?;
    let volume = key.volume()?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::RenameSnapshot {
            project: key.instance.project.clone(),
            instance: key.instance.name.clone(),
            old: volume.name.clone(),
            new: new.clone(),
        })
        .await?;
        let (wanted, name) = (key.clone(), new.to_string());
        core.db
            .write(move |tx| {
                let (model, snapshot) = find(tx, &wanted)?;
                snapshots::rename(tx, &snapshot, &name)?;
                let row = volume_row(tx, &model.row)?;
                let of_volume = storage_volumes::get_snapshot(tx, row.id, &wanted.name)?;
                storage_volumes::rename_snapshot(tx, of_volume.id, &name)
            })
            .await
            .map_err(|error| if error.kind() == Kind::Conflict { taken(key, &new) } else { error })?;
        core.faults.point("snapshot renamed in the database")?;
        pool.rename_snapshot(&volume, &new).await?;
        core.faults.point("snapshot renamed")
    })
    .await?;
    let renamed = SnapshotKey { instance: key.instance.clone(), name: new.to_string() };
    core.tell(
        permit.caller(),
        Lifecycle::new("instance-snapshot-renamed", renamed.url())
            .in_project(&key.instance.project)
            .with("old_name", key.full()),
    );
    Ok(())
}
