//! What a running instance does about a changed configuration.

use lxd_container::Running;
use lxd_instance::keys::LINUX_KERNEL_MODULES;
use lxd_storage::VolumeRef;
use lxd_types::{Config, ConfigExt, Result};

use super::Model;
use super::limits::{self, HostSize, Limit};
use super::{cpus, rules};
use crate::SharedCore;

/// Applies the difference of two recorded states to a running instance.
///
/// # Errors
/// A value cannot be applied.
pub async fn changed(core: &SharedCore, old: &Model, new: &Model) -> Result<()> {
    resize_root(core, old, new).await?;
    let Some(entry) = core.runtime.get(&new.key) else {
        return super::nics::changed(core, old, new).await;
    };
    core.guests.tell(old, new);
    super::guest::follow(core, &entry.running, old, new).await?;
    super::hotplug::changed(core, &entry.running, old, new).await?;
    if old.config.value(LINUX_KERNEL_MODULES.name()) != new.config.value(LINUX_KERNEL_MODULES.name()) {
        super::modules::load(core, &new.config).await?;
    }
    let containers = core.containers()?;
    let changes = limit_changes(&old.config, &new.config, &HostSize::of_this_host(containers))?;
    changes.iter().try_for_each(|limit| limit.require(containers))?;
    limits::write(containers, &containers.cgroups(&entry.running), &changes)?;
    let wanted = cpus::wanted(&new.config)?;
    if wanted == entry.processors().wanted {
        return Ok(());
    }
    wanted.as_ref().map_or(Ok(()), |wanted| cpus::require(containers, wanted))?;
    entry.set_wanted(wanted);
    cpus::balance(core, Some(&new.key)).await
}

/// Writes what liblxc leaves alone when it starts a container: where controllers of both versions are in use, those of version 2.
pub(super) fn at_start(core: &SharedCore, model: &Model, running: &Running) -> Result<()> {
    let containers = core.containers()?;
    let mut all = limits::limits(&model.config, &HostSize::of_this_host(containers))?;
    all.retain(|limit| limit.is_beside(containers));
    if all.is_empty() {
        return Ok(());
    }
    limits::write(containers, &containers.cgroups(running), &all)
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
