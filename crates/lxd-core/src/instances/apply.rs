//! What a running instance does about a changed configuration.

use lxd_storage::VolumeRef;
use lxd_types::{Config, Result};

use super::Model;
use super::limits::{HostSize, Limit, limits, unlimited};
use super::rules;
use crate::SharedCore;
use lxd_types::error::Context;

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
    let changes = limit_changes(&old.config, &new.config, &HostSize::of_this_host())?;
    if changes.is_empty() {
        return Ok(());
    }
    let cgroups = core.containers()?.cgroups(&entry.running);
    for limit in changes {
        limit.require(core.containers()?)?;
        let what = limit.controller;
        cgroups
            .write(limit.controller, limit.v1, limit.v2, &limit.value)
            .context(format!("Failed to apply the limit of {what}"))?;
    }
    Ok(())
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
    let (before, after) = (limits(old, host)?, limits(new, host)?);
    let mut changes: Vec<Limit> = after.iter().filter(|limit| !before.contains(limit)).cloned().collect();
    for gone in before.iter().filter(|limit| !after.iter().any(|other| other.controller == limit.controller))
    {
        changes.extend(unlimited(gone.controller, host));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_goes_is_lifted() {
        let host = HostSize { memory: 1 << 30, cpus: "0-3".parse().unwrap() };
        let config = |pairs: &[(&str, &str)]| -> Config {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let old = config(&[("limits.memory", "50%"), ("limits.cpu", "2")]);
        let new = config(&[("limits.cpu", "1")]);
        let changes = limit_changes(&old, &new, &host).unwrap();
        let values: Vec<(&str, &str)> = changes.iter().map(|c| (c.controller, c.value.as_str())).collect();
        assert_eq!(values, [("cpuset", "0"), ("memory", "-1")]);
        assert!(limit_changes(&new, &new, &host).unwrap().is_empty());
    }
}
