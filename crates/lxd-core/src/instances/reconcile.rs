//! Start of the daemon: running containers are found again, then those that are to run are started (manual 3.6.3).

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use lxd_api::StatusCode;
use lxd_auth::Permit;
use lxd_db::warnings::Subject;
use lxd_db::{Tx, instances, nodes};
use lxd_instance::keys::volatile::{self, IDMAP_CURRENT};
use lxd_types::{Config, ConfigExt, Result, words};

use super::runtime::RuntimeEntry;
use super::state::{Action, change};
use super::{InstanceKey, Model, cpus, devices, ended, load, models};
use crate::SharedCore;
use crate::warnings::WarningType;

/// Instances that are looked at or started at once.
const WIDTH: usize = 8;

/// How long an action may keep the daemon from taking over the devices of an instance.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Finds the containers that an earlier daemon left running. One that does not answer is logged and counts as stopped;
/// it is not touched.
///
/// # Errors
/// The database cannot be read.
pub async fn find_running(core: &SharedCore) -> Result<()> {
    let Ok(containers) = core.containers() else { return Ok(()) };
    let sockets = tokio::task::spawn_blocking(command_sockets).await.unwrap_or_default();
    let lxcpath = core.paths.containers().to_string_lossy().into_owned();
    let all = core.db.read(|tx| instances::names(tx, instances::Filter::default())).await?;
    let found = all.into_iter().filter_map(|(project, name)| {
        let key = InstanceKey::stored(&project, &name).ok()?;
        sockets.contains(&format!("{lxcpath}/{}/command", key.storage_name())).then_some(key)
    });
    stream::iter(found.collect::<Vec<_>>())
        .for_each_concurrent(WIDTH, |key| async move {
            if let Err(error) = find_one(core, containers, &key).await {
                tracing::error!(instance = %key, error = error.chain(), "A running container does not answer");
            }
        })
        .await;
    find_processors(core).await
}

/// Notes what those that run want, and deals out what they get.
async fn find_processors(core: &SharedCore) -> Result<()> {
    if core.runtime.all().is_empty() {
        return Ok(());
    }
    for model in core.db.read(|tx| models(tx, instances::Filter::default())).await? {
        let Some(entry) = core.runtime.get(&model.key) else { continue };
        match cpus::wanted(&model.config) {
            Ok(Some(wanted)) => {
                entry.set_given(cpus::present(core.containers()?, &entry));
                entry.set_wanted(Some(wanted));
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(instance = %model.key, error = error.chain(), "The stored limits cannot be read")
            }
        }
    }
    cpus::balance(core, None).await
}

/// Looks whether an instance runs that was recorded just now.
///
/// # Errors
/// Its monitor does not answer.
pub async fn find_again(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let Ok(containers) = core.containers() else { return Ok(()) };
    find_one(core, containers, key).await
}

async fn find_one(
    core: &SharedCore,
    containers: &lxd_container::Containers,
    key: &InstanceKey,
) -> Result<()> {
    let Some(running) = containers.find(&super::container_ref(core, key)).await? else { return Ok(()) };
    let status = if containers.frozen(&running) { StatusCode::FROZEN } else { StatusCode::RUNNING };
    let entry = RuntimeEntry::new(running, status);
    core.runtime.insert(key, entry.clone());
    ended::watch(core, key, entry);
    Ok(())
}

/// The abstract sockets on which monitors of this network namespace take commands.
fn command_sockets() -> HashSet<String> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let path = |line: &str| line.rsplit_once('@').map(|(_, path)| path.to_owned());
    table.lines().filter_map(path).filter(|path| path.ends_with("/command")).collect()
}

/// Starts what is to run after a start of the host: by priority, the highest first, those of one priority at once.
///
/// # Errors
/// The database cannot be read; an instance that fails is logged and does not stop the others.
pub async fn autostart(core: &SharedCore) -> Result<()> {
    autostart_some(core, |_| true).await
}

/// [`autostart`] of the instances on a pool that became available after the daemon's start.
///
/// # Errors
/// As there.
pub async fn autostart_on(core: &SharedCore, pool: &str) -> Result<()> {
    autostart_some(core, |model| super::rules::root_disk(&model.devices).is_ok_and(|(name, _)| name == pool))
        .await
}

async fn autostart_some(core: &SharedCore, chosen: impl Fn(&Model) -> bool) -> Result<()> {
    let all = core.db.read(|tx| models(tx, instances::Filter::default())).await?;
    let mut wanted: Vec<Model> = all
        .into_iter()
        .filter(|m| !core.runtime.is_running(&m.key) && wants_start(&m.config) && chosen(m))
        .collect();
    wanted.sort_by_key(|model| std::cmp::Reverse(priority(&model.config)));
    for group in wanted.chunk_by(|a, b| priority(&a.config) == priority(&b.config)) {
        stream::iter(group).for_each_concurrent(WIDTH, |model| start_one(core, model)).await;
    }
    Ok(())
}

async fn start_one(core: &SharedCore, model: &Model) {
    let permit = Permit::daemon(model.key.project.clone());
    let subject = Subject {
        type_code: WarningType::AutostartFailed as i64,
        node_id: Some(nodes::LONE),
        project_id: Some(model.row.project_id),
        entity_id: Some(model.row.id),
        ..Subject::default()
    };
    match change(core, &permit, &model.key, Action::Start).await {
        Ok(()) => core.warning_resolved(subject).await,
        Err(error) => {
            let text = format!("Failed to start instance {:?}: {}", model.key.name.as_str(), error.chain());
            core.warn_about(subject, &text).await;
        }
    }
    let delay = model.config.value("boot.autostart.delay").parse().unwrap_or(0);
    tokio::time::sleep(std::time::Duration::from_secs(delay)).await;
}

/// Takes over the devices of the instances that run, and ends those of instances that ended. What fails is logged.
///
/// # Errors
/// The database cannot be read.
pub async fn settle_devices(core: &SharedCore) -> Result<()> {
    let all = core.db.read(|tx| models(tx, instances::Filter::default())).await?;
    let running = all.into_iter().filter(|model| core.runtime.is_running(&model.key));
    stream::iter(running.collect::<Vec<_>>())
        .for_each_concurrent(WIDTH, |model| async move {
            if let Err(error) = adopt(core, &model.key).await {
                tracing::error!(instance = %model.key, error = error.chain(), "Its devices are not looked after");
            }
        })
        .await;
    // What ended meanwhile was adopted too late to be forgotten.
    end_devices(core).await
}

/// Takes over the devices of an instance that runs, as they are recorded now. Actions on it come before or after.
async fn adopt(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let _gate = loop {
        match core.gates.enter(key.to_string(), "start") {
            Ok(gate) => break Some(gate),
            // What takes as long as this does not touch devices.
            Err(_) if tokio::time::Instant::now() > deadline => break None,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    let wanted = key.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    if core.runtime.is_running(&model.key) {
        let idmap = volatile::read_idmap(&model.row.config, &IDMAP_CURRENT).unwrap_or_default();
        devices::adopt_all(core, &model, &idmap).await;
    }
    Ok(())
}

/// Ends the devices of instances that ended while no daemon ran: interfaces of the host come back as they were. What
/// fails is logged; the next start of the instance tries again.
///
/// # Errors
/// The database cannot be read.
pub async fn end_devices(core: &SharedCore) -> Result<()> {
    let read = |tx: &Tx<'_>| {
        let noted = instances::with_key(tx, "volatile.*.host_name")?;
        noted.iter().map(|(project, name)| load(tx, &InstanceKey::stored(project, name)?)).collect()
    };
    let all: Vec<Model> = core.db.read(read).await?;
    let ended = all.into_iter().filter(|model| !core.runtime.is_running(&model.key) && has_devices(model));
    stream::iter(ended.collect::<Vec<_>>())
        .for_each_concurrent(WIDTH, |model| async move {
            // Somebody who is faster starts or stops it, and sees to its devices.
            let Ok(_gate) = core.gates.enter(model.key.to_string(), "stop") else { return };
            if core.runtime.is_running(&model.key) {
                return;
            }
            let idmap = volatile::read_idmap(&model.row.config, &IDMAP_CURRENT).unwrap_or_default();
            let changes = devices::stop_all(core, &model, &idmap).await;
            let changes = changes.into_iter().map(|(key, value)| (key, Some(value))).collect();
            let recorded = core.db.write(move |tx| instances::set_keys(tx, model.row.id, &changes)).await;
            if let Err(error) = recorded {
                tracing::error!(instance = %model.key, error = error.chain(), "Devices were not recorded as ended");
            }
        })
        .await;
    Ok(())
}

/// Whether an interface of the instance is noted to be on the host.
fn has_devices(model: &Model) -> bool {
    let noted = |name: &String| model.row.config.set(&format!("volatile.{name}.host_name")).is_some();
    model.devices.keys().any(noted)
}

/// The key decides; where it is not set, the state at the last end of the host.
fn wants_start(config: &Config) -> bool {
    match config.set("boot.autostart") {
        Some(value) => words::is_true(value),
        None => config.value("volatile.last_state.power") == "RUNNING",
    }
}

fn priority(config: &Config) -> i64 {
    config.value("boot.autostart.priority").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_key_wins_over_the_last_state() {
        let running = ("volatile.last_state.power", "RUNNING");
        assert!(wants_start(&config(&[running])));
        assert!(!wants_start(&config(&[running, ("boot.autostart", "false")])));
        assert!(wants_start(&config(&[("boot.autostart", "true")])));
        assert!(!wants_start(&Config::new()));
    }
}
