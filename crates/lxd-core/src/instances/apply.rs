//! What a running instance does about a changed configuration.

use lxd_container::Running;
use lxd_instance::keys::LINUX_KERNEL_MODULES;
use lxd_storage::VolumeRef;
use lxd_task::lane::Lane;
use lxd_types::{Config, ConfigExt, Result};
use tokio::sync::OwnedMutexGuard;

use super::limits::{self, HostSize, Limit};
use super::runtime::RuntimeEntry;
use super::{InstanceKey, Model, cpus, load, rules};
use crate::SharedCore;

/// Waits for the turn of who records another state of an instance and lets it follow: one after the other, so that what is
/// applied last is what was recorded last. Several turns are waited for in the order of their keys.
pub(crate) async fn turn(core: &SharedCore, key: &InstanceKey) -> OwnedMutexGuard<()> {
    core.turns.wait(&format!("change of {key}")).await
}

/// Applies the difference of two recorded states, the second being the latest, to an instance; who calls has its [`turn`].
///
/// # Errors
/// A value cannot be applied.
pub async fn changed(core: &SharedCore, old: &Model, new: &Model) -> Result<()> {
    resize_root(core, old, new).await?;
    let Some(entry) = core.runtime.get(&new.key) else {
        return super::nics::changed(core, old, new).await;
    };
    match entry.take_taken() {
        Some(taken) => {
            // Its start took an older state and has not looked again yet.
            entry.set_taken(new.clone());
            follow(core, &entry, &since(taken, new), new).await
        }
        None => follow(core, &entry, old, new).await,
    }
}

/// Applies what was recorded while an instance started. What cannot be applied is logged: who recorded it was told that it
/// holds.
pub(super) async fn catch_up(core: &SharedCore, key: &InstanceKey, entry: &RuntimeEntry) {
    let _turn = turn(core, key).await;
    let Some(taken) = entry.take_taken() else { return };
    let wanted = key.clone();
    let followed = async {
        let latest = core.db.read(move |tx| load(tx, &wanted)).await?;
        follow(core, entry, &since(taken, &latest), &latest).await
    };
    if let Err(error) = followed.await {
        tracing::error!(instance = %key, error = error.chain(), "A change made during the start cannot be applied");
    }
}

/// A state of before, with what is known by now of its devices.
fn since(taken: Model, latest: &Model) -> Model {
    Model { row: latest.row.clone(), ..taken }
}

/// Lets a running instance follow.
async fn follow(core: &SharedCore, entry: &RuntimeEntry, old: &Model, new: &Model) -> Result<()> {
    core.guests.tell(old, new);
    super::guest::follow(core, &entry.running, old, new).await?;
    super::hotplug::changed(core, &entry.running, old, new).await?;
    super::disk_limits::apply(core, &entry.running, Some(old), new).await?;
    if old.config.value(LINUX_KERNEL_MODULES.name()) != new.config.value(LINUX_KERNEL_MODULES.name()) {
        super::modules::load(core, &new.config).await?;
    }
    let containers = core.containers()?;
    let changes = limit_changes(&old.config, &new.config, &HostSize::of_this_host(containers))?;
    changes.iter().try_for_each(|limit| limit.require(containers))?;
    limits::write(&entry.lane, containers.cgroups(&entry.running), changes).await?;
    let wanted = cpus::wanted(&new.config)?;
    if wanted == entry.processors().wanted {
        return Ok(());
    }
    wanted.as_ref().map_or(Ok(()), |wanted| cpus::require(containers, wanted))?;
    entry.set_wanted(wanted);
    cpus::balance(core, Some(&new.key)).await
}

/// Writes what liblxc leaves alone when it starts a container: limits of disks, and where controllers of both versions are in use,
/// those of version 2.
pub(super) async fn at_start(core: &SharedCore, model: &Model, running: &Running) -> Result<()> {
    super::disk_limits::apply(core, running, None, model).await?;
    let containers = core.containers()?;
    let mut all = limits::limits(&model.config, &HostSize::of_this_host(containers))?;
    all.retain(|limit| limit.is_beside(containers));
    if all.is_empty() {
        return Ok(());
    }
    limits::write(&Lane::new(&running.container().name), containers.cgroups(running), all).await
}

/// Gives the root volume another size.
async fn resize_root(core: &SharedCore, old: &Model, new: &Model) -> Result<()> {
    let sizes = (rules::root_disk(&old.devices), rules::root_disk(&new.devices));
    let (Ok((_, before)), Ok((pool, after))) = sizes else { return Ok(()) };
    if before == after {
        return Ok(());
    }
    let pool = crate::storage_pools::open(core, &pool).await?;
    let volume = VolumeRef::container(&new.key.project, &new.key.name);
    pool.resize(&volume, after).await.map(drop)
}

/// The limits to be written: new values, and the host's own where a limit is gone.
fn limit_changes(old: &Config, new: &Config, host: &HostSize) -> Result<Vec<Limit>> {
    let (before, after) = (limits::limits(old, host)?, limits::limits(new, host)?);
    let gone = before.iter().filter(|limit| !after.iter().any(|other| other.is_same(limit)));
    let mut changes: Vec<Limit> = gone.map(Limit::lifted).collect();
    changes.extend(after.iter().filter(|limit| !before.contains(limit)).cloned());
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_goes_is_lifted() {
        let host = HostSize { memory: 1 << 30, ..HostSize::default() };
        let config = |pairs: &[(&str, &str)]| -> Config {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let old = config(&[("limits.memory", "50%"), ("limits.processes", "20")]);
        let new = config(&[("limits.processes", "10")]);
        let changes = limit_changes(&old, &new, &host).unwrap();
        let values: Vec<String> = changes
            .iter()
            .filter_map(|c| c.v1.as_ref().map(|setting| format!("{}={}", setting.file, setting.value)))
            .collect();
        assert_eq!(values, ["memory.limit_in_bytes=-1", "memory.soft_limit_in_bytes=-1", "pids.max=10"]);
        assert!(limit_changes(&new, &new, &host).unwrap().is_empty());
    }
}
