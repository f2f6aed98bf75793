//! `POST /1.0/instances/{name}` with another name: a stopped instance is renamed.

use std::sync::Arc;

use lxd_api::instance::InstancePost;
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

/// Starts the renaming; the answer is its operation.
///
/// # Errors
/// There is no such instance, it runs, or the new name is wrong or taken.
pub async fn rename(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    post: InstancePost,
) -> Result<Arc<Operation>> {
    let old = InstanceKey::new(permit.project(), name);
    let wanted = old.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    if !post.pool.is_empty() {
        return super::move_pool::move_to_pool(core, permit, model, post).await;
    }
    if post.migration {
        return Err(Error::not_implemented("Moving instances to other servers is not supported yet"));
    }
    let new = InstanceKey::new(permit.project(), &post.name.parse()?);
    let (project_id, taken) = (model.row.project_id, new.name.to_string());
    if core.db.read(move |tx| instances::find(tx, project_id, &taken)).await?.is_some() {
        return Err(Error::conflict(format!("Name {:?} already in use", new.name.as_str())));
    }
    let spec = OperationSpec::task("Renaming instance", old.project.as_str())
        .on("instances", old.url())
        .on("containers", format!("/1.0/containers/{}", old.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move { run(&core, &permit, model, new).await }))
}

async fn run(core: &SharedCore, permit: &Permit, model: Model, new: InstanceKey) -> Result<()> {
    let old = model.key.clone();
    let _gates = core.gates.enter_all([old.to_string(), new.to_string()], "rename")?;
    if core.runtime.is_running(&old) {
        return Err(Error::bad_request("Renaming of running container not allowed"));
    }
    rename_held(core, permit, model, new).await
}

/// The renaming for a caller that holds both gates; the instance does not run.
pub(super) async fn rename_held(
    core: &SharedCore,
    permit: &Permit,
    model: Model,
    new: InstanceKey,
) -> Result<()> {
    let old = model.key.clone();
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::RenameInstance {
            project: old.project.clone(),
            old: old.name.clone(),
            new: new.name.clone(),
        })
        .await?;
        move_volume(core, &old, &new).await?;
        core.faults.point("volume renamed")?;
        record(core, &model, &new).await?;
        core.faults.point("instance renamed")?;
        super::files::rename_directories(core, &old, &new).await
    })
    .await?;
    core.tell(
        permit.caller(),
        Lifecycle::new("instance-renamed", new.url())
            .in_project(&new.project)
            .with("old_name", old.name.as_str()),
    );
    Ok(())
}

/// Renames the root volume where it is still under the old name.
async fn move_volume(core: &SharedCore, old: &InstanceKey, new: &InstanceKey) -> Result<()> {
    let _turn = core.backup_files.lock().await;
    let Some(pool) = super::pool_name(core, old).await? else { return Ok(()) };
    let pool = crate::storage_pools::open(core, &pool).await?;
    let name = new.name.as_str().parse()?;
    match pool.rename(&VolumeRef::container(&old.project, &old.name), &name).await {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    }
}

async fn record(core: &SharedCore, model: &Model, new: &InstanceKey) -> Result<()> {
    let (id, project_id) = (model.row.id, model.row.project_id);
    let (old, new) = (model.row.name.clone(), new.name.to_string());
    core.db
        .write(move |tx| {
            instances::rename(tx, id, &new)?;
            for volume in storage_volumes::anywhere(tx, project_id, VolumeKind::Container.number(), &old)? {
                storage_volumes::rename(tx, volume.id, &new)?;
            }
            instances::set_keys(
                tx,
                id,
                &[("volatile.apply_template".to_owned(), Some("rename".to_owned()))].into(),
            )
        })
        .await
}

/// Undoes an interrupted renaming: the row decides which name the volume must have.
pub(crate) async fn settle(core: &SharedCore, old: &InstanceKey, new: &InstanceKey) -> Result<()> {
    let (wanted, other) = (old.clone(), new.clone());
    let recorded_new = core
        .db
        .read(move |tx| {
            let project = lxd_db::projects::require(tx, other.project.as_str())?;
            instances::find(tx, project, wanted.name.as_str()).map(|found| found.is_none())
        })
        .await?;
    let (from, to) = if recorded_new { (old, new) } else { (new, old) };
    let Some(pool) = super::pool_name(core, to).await? else { return Ok(()) };
    let pool = crate::storage_pools::open(core, &pool).await?;
    let volume = VolumeRef::container(&from.project, &from.name);
    let both =
        pool.exists(&volume).await? && pool.exists(&VolumeRef::container(&to.project, &to.name)).await?;
    if !both {
        // It finishes one that stopped between the volume and its snapshots, too.
        match pool.rename(&volume, &to.name.as_str().parse()?).await {
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            _ => {}
        }
    }
    super::files::rename_directories(core, from, to).await
}
