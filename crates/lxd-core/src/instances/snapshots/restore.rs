//! `PUT /1.0/instances/{name}` with `restore`: the instance becomes what a snapshot has kept.

use std::sync::Arc;

use lxd_api::instance::InstancePut;
use lxd_auth::Permit;
use lxd_db::{instances, snapshots};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::InstanceName;
use lxd_types::{Config, Error, Kind, Result};

use super::super::stop::{Stop, stop_quietly};
use super::super::update::plan_update;
use super::super::{InstanceKey, Model, copy, put_view, start};
use super::{SnapshotKey, enter, find, pool_of};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::{Change, Newcomer, allowed, allowed_early};
use crate::{SharedCore, Undo};

/// Starts the restoring; the answer is its operation.
///
/// # Errors
/// There is no such instance.
pub async fn restore(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    put: InstancePut,
) -> Result<Arc<Operation>> {
    let instance = InstanceKey::new(permit.project(), name);
    // Old clients send the whole name.
    let own = put.restore.rsplit('/').next().unwrap_or_default().to_owned();
    let key = SnapshotKey { instance, name: own };
    let spec = OperationSpec::task("Restoring snapshot", key.instance.project.as_str())
        .on("instances", key.instance.url())
        .on("containers", format!("/1.0/containers/{name}"))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core
        .operations
        .clone()
        .spawn(spec, move |_| async move { run(&core, &permit, &key, put.stateful).await }))
}

async fn run(core: &SharedCore, permit: &Permit, key: &SnapshotKey, stateful: bool) -> Result<()> {
    let wanted = key.clone();
    let found = core.db.read(move |tx| find(tx, &wanted)).await;
    let (model, snapshot) = found.map_err(|error| match error.kind() {
        Kind::NotFound => Error::not_found(format!("Snapshot {} does not exist", key.full())),
        _ => error,
    })?;
    if stateful && !snapshot.stateful {
        return Err(Error::bad_request("Stateful snapshot restore requested by snapshot is stateless"));
    }
    let _gate = enter(core, &key.instance, "restore")?;
    // What the rules would refuse is refused before anything is stopped.
    plan(core, key).await?;
    let ran = core.runtime.is_running(&key.instance);
    if ran {
        if model.row.ephemeral {
            return Err(Error::bad_request("Cannot restore a snapshot of a running ephemeral instance"));
        }
        stop_quietly(core, &key.instance, Stop::Force).await?;
    }
    let restored = make(core, key).await;
    if ran {
        // Also after a failure: what was running goes on with what it had.
        let started = start::start_quietly(core, &key.instance).await;
        restored.and(started)?;
    } else {
        restored?;
    }
    core.tell(
        permit.caller(),
        Lifecycle::new("instance-restored", key.instance.url())
            .in_project(&key.instance.project)
            .with("snapshot", key.full()),
    );
    Ok(())
}

/// The swap of the files is one step, and so is the record; a kill between the two is finished at the next start.
async fn make(core: &SharedCore, key: &SnapshotKey) -> Result<()> {
    let pool = pool_of(core, &key.instance).await?;
    let volume = key.volume()?;
    // A failure of the swap leaves everything as it was, so the journal must not go forward then.
    let mut failed = None;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::FinishRestore {
            project: key.instance.project.clone(),
            instance: key.instance.name.clone(),
            name: volume.name.clone(),
        })
        .await?;
        let _turn = core.backup_files.wait(&key.instance.to_string()).await;
        if let Err(error) = pool.restore_snapshot(&volume).await {
            failed = Some(error);
            return Ok(());
        }
        core.faults.point("files restored")?;
        record(core, key).await?;
        core.faults.point("restore recorded")
    })
    .await?;
    failed.map_or(Ok(()), Err)
}

/// Does an interrupted restoring (again): both steps may be repeated.
pub(crate) async fn finish(core: &SharedCore, key: &SnapshotKey) -> Result<()> {
    let wanted = key.clone();
    match core.db.read(move |tx| find(tx, &wanted)).await {
        Ok(_) => {}
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    if core.runtime.is_running(&key.instance) {
        return Ok(());
    }
    pool_of(core, &key.instance).await?.restore_snapshot(&key.volume()?).await?;
    record(core, key).await
}

/// The transaction without its end: the first rule that is broken, those of the project among them. The files are not
/// touched then.
async fn plan(core: &SharedCore, key: &SnapshotKey) -> Result<()> {
    let (wanted, registry, ids) = (key.clone(), core.device_registry(), core.host_ids.clone());
    core.db
        .read(move |tx| {
            let (model, snapshot) = find(tx, &wanted)?;
            let known = knowing(&model, &snapshot.config);
            let plan = plan_update(tx, &registry, &ids, &known, fields(&put_view(&model), snapshot))?;
            let restored = Newcomer::changed(&model, plan.config, plan.devices);
            allowed_early(tx, &model.row.project, Change::Instance(&model.key), restored)
        })
        .await
}

async fn record(core: &SharedCore, key: &SnapshotKey) -> Result<()> {
    let (wanted, registry, ids) = (key.clone(), core.device_registry(), core.host_ids.clone());
    core.db
        .write(move |tx| {
            let (model, snapshot) = find(tx, &wanted)?;
            let known = knowing(&model, &snapshot.config);
            let plan = plan_update(tx, &registry, &ids, &known, fields(&put_view(&model), snapshot))?;
            instances::update(tx, model.row.id, &plan.change)?;
            // A snapshot may be older than the rules of its project (security.md C4).
            allowed(tx, &model.row.project, Change::Instance(&model.key))
        })
        .await
}

/// The instance as if what the server itself noted in the snapshot were noted in it: that comes back in a restricted project,
/// too, where requests may not change it.
fn knowing(model: &Model, kept: &Config) -> Model {
    let mut known = model.clone();
    let noted = kept.iter().filter(|(key, _)| is_noted(key));
    known.row.config.extend(noted.map(|(key, value)| (key.clone(), value.clone())));
    known
}

fn is_noted(key: &str) -> bool {
    const NOTED: [&str; 3] =
        ["volatile.apply_template", "volatile.base_image", "volatile.cloud-init.instance-id"];
    let of_interface = key.ends_with(".hwaddr") || key.ends_with(".name");
    NOTED.contains(&key) || key.starts_with("volatile.") && of_interface
}

/// The instance as the snapshot says, with what belongs to the instance's present.
fn fields(present: &InstancePut, snapshot: snapshots::Snapshot) -> InstancePut {
    let mut devices = snapshot.devices;
    // It may have moved to another pool since.
    copy::with_root(&mut devices, &present.devices);
    InstancePut { config: merged(&present.config, snapshot.config), devices, ..present.clone() }
}

/// The keys of the snapshot; but what says which instance it is, which ids it has and how it stopped stays.
fn merged(present: &Config, kept: Config) -> Config {
    let mut config: Config =
        kept.into_iter().filter(|(key, _)| !of_the_present(key) && !of_a_run(key)).collect();
    config.extend(present.iter().filter(|(key, _)| of_the_present(key)).map(|(k, v)| (k.clone(), v.clone())));
    config
}

fn of_the_present(key: &str) -> bool {
    key == "volatile.uuid"
        || key.starts_with("volatile.idmap.")
        || key.starts_with("volatile.last_state.power")
}

/// Keys of a device while its instance runs.
fn of_a_run(key: &str) -> bool {
    key.starts_with("volatile.")
        && (key.ends_with(".host_name") || key.contains(".last_state."))
        && !key.starts_with("volatile.last_state.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn identity_stays_and_configuration_comes_back() {
        let present = config(&[
            ("user.v", "2"),
            ("user.new", "x"),
            ("volatile.uuid", "u"),
            ("volatile.idmap.next", "now"),
            ("volatile.last_state.power", "STOPPED"),
            ("volatile.eth0.hwaddr", "new"),
        ]);
        let kept = config(&[
            ("user.v", "1"),
            ("volatile.uuid", "other"),
            ("volatile.idmap.next", "then"),
            ("volatile.last_state.power", "RUNNING"),
            ("volatile.eth0.hwaddr", "old"),
            ("volatile.eth0.host_name", "veth1"),
            ("volatile.apply_template", "create"),
        ]);
        let expected = config(&[
            ("user.v", "1"),
            ("volatile.uuid", "u"),
            ("volatile.idmap.next", "now"),
            ("volatile.last_state.power", "STOPPED"),
            ("volatile.eth0.hwaddr", "old"),
            ("volatile.apply_template", "create"),
        ]);
        assert_eq!(merged(&present, kept), expected);
    }
}
