//! `POST /1.0/instances/{name}` with `pool`: a stopped instance goes to another pool, under the same or another name.

use std::sync::Arc;

use lxd_api::instance::InstancePost;
use lxd_auth::Permit;
use lxd_db::{instances, snapshots as rows, storage_pools, storage_volumes};
use lxd_storage::{Origin, Pool, VolumeRef, transfer};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::SnapshotName;
use lxd_types::{DeviceExt, Devices, Error, Kind, Result};

use super::snapshots::volume_row;
use super::{InstanceKey, Model, copy, files, load, rename};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Starts the move; the answer is its operation.
///
/// # Errors
/// It runs, or the new name is wrong or taken.
pub async fn move_to_pool(
    core: &SharedCore,
    permit: &Permit,
    model: Model,
    post: InstancePost,
) -> Result<Arc<Operation>> {
    let old = model.key.clone();
    let new = match post.name.as_str() {
        "" => old.clone(),
        name => InstanceKey::new(&old.project, &name.parse()?),
    };
    if new != old && copy::exists(core, &new).await? {
        return Err(Error::conflict(format!("Name {:?} already in use", new.name.as_str())));
    }
    let spec = OperationSpec::task("Migrating instance", old.project.as_str())
        .on("instances", old.url())
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move {
        let _gates = core.gates.enter_all([old.to_string(), new.to_string()], "move")?;
        if core.runtime.is_running(&old) {
            return Err(Error::bad_request("Instance must be stopped to move between pools"));
        }
        let drop_snapshots = post.instance_only || post.container_only;
        change_pool(&core, &old, &post.pool, drop_snapshots).await?;
        core.tell(permit.caller(), Lifecycle::new("instance-updated", old.url()).in_project(&old.project));
        if new == old {
            return Ok(());
        }
        let wanted = old.clone();
        let model = core.db.read(move |tx| load(tx, &wanted)).await?;
        rename::rename_held(&core, &permit, model, new).await
    }))
}

/// Moves the volume: it is copied, then recorded as being there (from here on recovery finishes), then removed here.
async fn change_pool(core: &SharedCore, key: &InstanceKey, pool: &str, drop_snapshots: bool) -> Result<()> {
    let failed = |error: Error| error.context("Failed loading storage pool");
    let from = super::pool_name(core, key).await?;
    let from = from.ok_or_else(|| Error::not_found("The instance's root volume is not recorded"))?;
    if from == pool {
        return Ok(());
    }
    let target = crate::storage_pools::open(core, pool).await.map_err(failed)?;
    let source = crate::storage_pools::open(core, &from).await?;
    let volume = VolumeRef::container(&key.project, &key.name);
    if target.exists(&volume).await? {
        return Err(Error::conflict(format!("Volume {} already exists on pool {pool:?}", key.name)));
    }
    let wanted = key.clone();
    let names: Vec<String> = core
        .db
        .read(move |tx| {
            let found = rows::list(tx, load(tx, &wanted)?.row.id)?;
            Ok(found.into_iter().filter(|_| !drop_snapshots).map(|one| one.name).collect())
        })
        .await?;
    let names: Vec<SnapshotName> =
        names.iter().map(|name| name.parse().map_err(Error::from)).collect::<Result<_>>()?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::MoveToPool {
            project: key.project.clone(),
            name: key.name.clone(),
            from: from.clone(),
            to: pool.to_owned(),
        })
        .await?;
        // What is written into the files while they are copied would be lost.
        let _turn = core.backup_files.lock().await;
        transfer::copy(&source, &Origin::Volume(volume.clone()), &target, &volume, &names).await?;
        core.faults.point("volume copied")?;
        record(core, key, pool, drop_snapshots).await?;
        core.faults.point("volume recorded on the other pool")?;
        remove(&source, &volume).await?;
        relink(core, key).await
    })
    .await
}

/// The commit: from now on the volume is on the other pool, and the root disk says so.
async fn record(core: &SharedCore, key: &InstanceKey, pool: &str, drop_snapshots: bool) -> Result<()> {
    let (key, pool) = (key.clone(), pool.to_owned());
    core.db
        .write(move |tx| {
            let model = load(tx, &key)?;
            let row = volume_row(tx, &model.row)?;
            storage_volumes::relocate(tx, row.id, storage_pools::require(tx, &pool)?, row.project_id)?;
            let root = root_on(&model.devices, &pool)?;
            let mut devices = model.row.devices.clone();
            devices.extend(root.clone());
            instances::set_devices(tx, model.row.id, &devices)?;
            for mut snapshot in rows::list(tx, model.row.id)? {
                if drop_snapshots {
                    let of_volume = storage_volumes::get_snapshot(tx, row.id, &snapshot.name)?;
                    storage_volumes::delete_snapshot(tx, of_volume.id)?;
                    rows::delete(tx, &snapshot)?;
                    continue;
                }
                copy::with_root(&mut snapshot.devices, &root);
                rows::set_devices(tx, &snapshot, &snapshot.devices)?;
            }
            Ok(())
        })
        .await
}

/// The root disk on another pool, by its name.
fn root_on(expanded: &Devices, pool: &str) -> Result<Devices> {
    let (name, root) = expanded
        .iter()
        .find(|(_, device)| device.is_root_disk())
        .ok_or_else(|| Error::not_found("No root device could be found"))?;
    let mut root = root.clone();
    root.insert("pool".to_owned(), pool.to_owned());
    Ok([(name.clone(), root)].into())
}

async fn remove(pool: &Arc<dyn Pool>, volume: &VolumeRef) -> Result<()> {
    match pool.delete(volume).await {
        Err(error) if error.kind() != Kind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn relink(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    files::link_snapshots(core, key).await?;
    files::prepare_directories(core, key).await
}

/// Ends an interrupted move: the pool that the database names keeps the volume, the other one loses it.
pub(crate) async fn settle(core: &SharedCore, key: &InstanceKey, from: &str, to: &str) -> Result<()> {
    let Some(recorded) = super::pool_name(core, key).await? else { return Ok(()) };
    let other = if recorded == from { to } else { from };
    if recorded != from && recorded != to {
        return Ok(());
    }
    let pool = crate::storage_pools::open(core, other).await?;
    remove(&pool, &VolumeRef::container(&key.project, &key.name)).await?;
    relink(core, key).await
}
