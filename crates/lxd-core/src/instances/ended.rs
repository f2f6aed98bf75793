//! The end of a run, however it came: devices are stopped, the state is recorded, an ephemeral instance is deleted,
//! a rebooting one is started again.

use std::time::Duration;

use lxd_auth::Permit;
use lxd_db::instances;
use lxd_instance::keys::volatile::{self, IDMAP_CURRENT};
use lxd_types::names::{InstanceName, ProjectName};
use lxd_types::{Error, Kind, Result};

use super::runtime::RuntimeEntry;
use super::{InstanceKey, cpus, delete, devices, load, start};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// How long a clean-up waits between two tries to enter a gate that another action holds.
const GATE_POLL: Duration = Duration::from_millis(50);

/// Waits for the end of a run on a task of its own and cleans up after it.
pub(super) fn watch(core: &SharedCore, key: &InstanceKey, entry: RuntimeEntry) {
    let (core, key) = (core.clone(), key.clone());
    tokio::spawn(async move {
        match entry.running.watch() {
            Ok(watch) => watch.ended().await,
            Err(error) => {
                tracing::error!(instance = %key, error = error.chain(), "The end of the instance will not be noticed");
                return;
            }
        }
        if entry.is_stopping() {
            // The stop holds the gate and cleans up itself.
            return;
        }
        by_itself(&core, &key, &entry).await;
    });
}

/// Notes that a container which is about to end asked to be started again.
///
/// # Errors
/// It does not run.
pub fn wants_reboot(core: &SharedCore, project: &ProjectName, name: &InstanceName) -> Result<()> {
    let entry = core.runtime.get(&InstanceKey::new(project, name));
    entry.ok_or_else(|| Error::not_found("Instance is not running"))?.set_reboot();
    Ok(())
}

/// The container ended without being asked to.
async fn by_itself(core: &SharedCore, key: &InstanceKey, entry: &RuntimeEntry) {
    let _gate = loop {
        if core.end.is_cancelled() || entry.is_stopping() {
            return;
        }
        match core.gates.enter(key.to_string(), "stop") {
            Ok(gate) => break gate,
            Err(_) => tokio::time::sleep(GATE_POLL).await,
        }
    };
    let permit = Permit::daemon(key.project.clone());
    let reboot = entry.wants_reboot();
    let result = async {
        clean_up(core, key, entry).await?;
        if reboot {
            start::start_quietly(core, key).await?;
            core.tell(
                permit.caller(),
                Lifecycle::new("instance-restarted", key.url()).in_project(&key.project),
            );
            return Ok(());
        }
        core.tell(permit.caller(), Lifecycle::new("instance-shutdown", key.url()).in_project(&key.project));
        delete_if_ephemeral(core, &permit, key).await
    };
    if let Err(error) = result.await {
        tracing::error!(project = %key.project, instance = %key.name, error = error.chain(), "Failed after the end of an instance");
    }
}

/// Stops devices and records the end of the run; the caller holds the gate. One transaction.
pub(super) async fn clean_up(core: &SharedCore, key: &InstanceKey, entry: &RuntimeEntry) -> Result<()> {
    let wanted = key.clone();
    let result = async {
        let model = match core.db.read(move |tx| load(tx, &wanted)).await {
            Ok(model) => model,
            Err(error) if error.kind() == Kind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let idmap = volatile::read_idmap(&model.row.config, &IDMAP_CURRENT).unwrap_or_default();
        let changes = devices::stop_all(core, &model, &idmap).await;
        core.faults.point("devices stopped")?;
        let (id, keys) = (model.row.id, start::stopped_keys(changes));
        core.db.write(move |tx| instances::set_keys(tx, id, &keys)).await
    };
    let result = result.await;
    core.runtime.remove(key, entry.running.monitor());
    if entry.processors().wanted.is_some()
        && let Err(error) = cpus::balance(core, None).await
    {
        tracing::warn!(error = error.chain(), "The processors cannot be dealt out");
    }
    entry.set_cleaned();
    result
}

/// Deletes an ephemeral instance after its end.
pub(super) async fn delete_if_ephemeral(core: &SharedCore, permit: &Permit, key: &InstanceKey) -> Result<()> {
    let wanted = key.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    if model.row.ephemeral {
        delete::delete_held(core, permit, key).await?;
    }
    Ok(())
}
