//! `POST /1.0/instances/{name}`: a stopped instance gets another name, pool or project, or several of these at once.

use std::sync::Arc;

use lxd_api::instance::InstancePost;
use lxd_auth::{Level, Permit};
use lxd_db::instances;
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::{InstanceName, ProjectName};
use lxd_types::{Error, Result};

use super::relocate::{Wish, relocate};
use super::{InstanceKey, Model, copy, load, snapshots};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Starts the renaming or the move; the answer is its operation.
///
/// # Errors
/// There is no such instance, it runs, the new name is wrong or taken, or the caller may not change the other project.
pub async fn rename(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    post: InstancePost,
) -> Result<Arc<Operation>> {
    let old = InstanceKey::new(permit.project(), name);
    let wanted = old.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    // As the reference: the project counts for a move only.
    if !post.pool.is_empty() || (post.migration && !post.project.is_empty()) {
        return start_move(core, permit, model, post).await;
    }
    if post.migration {
        return Err(Error::not_implemented("Moving instances to other servers is not supported yet"));
    }
    let new = InstanceKey::new(permit.project(), &post.name.parse()?);
    let (project_id, taken) = (model.row.project_id, new.name.to_string());
    if core.db.read(move |tx| instances::find(tx, project_id, &taken)).await?.is_some() {
        return Err(in_use(&new));
    }
    let spec = OperationSpec::task("Renaming instance", old.project.as_str())
        .on("instances", old.url())
        .on("containers", format!("/1.0/containers/{}", old.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move {
        let _gates = core.gates.enter_all([old.to_string(), new.to_string()], "rename")?;
        if core.runtime.is_running(&old) {
            return Err(Error::bad_request("Renaming of running container not allowed"));
        }
        relocate(&core, &old, &Wish { key: new.clone(), pool: None, drop_snapshots: false }).await?;
        tell_renamed(&core, &permit, &old, &new);
        Ok(())
    }))
}

/// Starts a move to another pool or project.
async fn start_move(
    core: &SharedCore,
    permit: &Permit,
    model: Model,
    post: InstancePost,
) -> Result<Arc<Operation>> {
    let old = model.key;
    let project = target_project(permit, &old, &post)?;
    let name = if post.name.is_empty() { old.name.clone() } else { post.name.parse()? };
    let new = InstanceKey { project, name };
    if new != old && new.project == old.project && copy::exists(core, &new).await? {
        return Err(in_use(&new));
    }
    let spec = OperationSpec::task("Migrating instance", old.project.as_str())
        .on("instances", old.url())
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core
        .operations
        .clone()
        .spawn(spec, move |_| async move { run_move(&core, &permit, &old, new, &post).await }))
}

/// The project that the instance goes to; what the caller may do there is checked first, and the answer does not tell
/// whether it exists.
fn target_project(permit: &Permit, old: &InstanceKey, post: &InstancePost) -> Result<ProjectName> {
    if post.project.is_empty() || !post.migration {
        return Ok(old.project.clone());
    }
    let project = post.project.parse().map_err(|_| Error::not_found("Project not found"))?;
    lxd_auth::authorize(permit.caller(), &project, Level::Manage)?;
    Ok(project)
}

async fn run_move(
    core: &SharedCore,
    permit: &Permit,
    old: &InstanceKey,
    new: InstanceKey,
    post: &InstancePost,
) -> Result<()> {
    let _gates = core.gates.enter_all([old.to_string(), new.to_string()], "move")?;
    if core.runtime.is_running(old) {
        let what = if new.project == old.project { "pools" } else { "projects" };
        return Err(Error::bad_request(format!("Instance must be stopped to move between {what}")));
    }
    if new == *old && post.pool.is_empty() {
        return Err(super::relocate::taken().context("Failed creating instance record"));
    }
    let wanted = old.clone();
    let before = core.db.read(move |tx| lxd_db::snapshots::list(tx, load(tx, &wanted)?.row.id)).await?;
    let pool = Some(post.pool.clone()).filter(|pool| !pool.is_empty());
    let drop_snapshots = post.instance_only || post.container_only;
    let wish = Wish { key: new.clone(), pool, drop_snapshots };
    relocate(core, old, &wish).await?;
    if new.project != old.project {
        tell_moved(core, permit, old, &new, &before).await;
        return Ok(());
    }
    core.tell(permit.caller(), Lifecycle::new("instance-updated", old.url()).in_project(&old.project));
    if new != *old {
        tell_renamed(core, permit, old, &new);
    }
    Ok(())
}

fn in_use(key: &InstanceKey) -> Error {
    Error::conflict(format!("Name {:?} already in use", key.name.as_str()))
}

fn tell_renamed(core: &SharedCore, permit: &Permit, old: &InstanceKey, new: &InstanceKey) {
    let event = Lifecycle::new("instance-renamed", new.url()).in_project(&new.project);
    core.tell(permit.caller(), event.with("old_name", old.name.as_str()));
}

/// Who listens to one of the projects sees an instance come or go.
async fn tell_moved(
    core: &SharedCore,
    permit: &Permit,
    old: &InstanceKey,
    new: &InstanceKey,
    before: &[lxd_db::snapshots::Snapshot],
) {
    let came = Lifecycle::new("instance-created", new.url()).in_project(&new.project);
    core.tell(permit.caller(), came.with("type", "container").with("location", "none"));
    copy::tell_snapshots(core, permit, new).await;
    snapshots::tell_deleted(core, permit, old, before);
    core.tell(permit.caller(), Lifecycle::new("instance-deleted", old.url()).in_project(&old.project));
}
