//! `limits.cpu`: which processors each running instance may use (manual 3.2.2, "CPU limits").
//!
//! Instances that name their processors have them; those that want a number get those that the fewest others use. Whenever an
//! instance comes, goes or changes its mind, all is dealt out anew, and only what differs is written.

use std::collections::BTreeMap;

use lxd_container::Containers;
use lxd_instance::keys::LIMITS_CPU;
use lxd_types::error::Context;
use lxd_types::{Config, CpuLimit, CpuSet, Error, Result};

use super::InstanceKey;
use super::runtime::RuntimeEntry;
use crate::{Core, SharedCore};

/// What an instance wants and has.
#[derive(Clone, Debug, Default)]
pub struct Processors {
    /// Its `limits.cpu`; none: it may use all.
    pub wanted: Option<CpuLimit>,
    /// What was written last; none: nothing yet.
    pub given: Option<CpuSet>,
}

/// `limits.cpu`; 0 is no limit.
///
/// # Errors
/// The stored value cannot be read.
pub fn wanted(config: &Config) -> Result<Option<CpuLimit>> {
    Ok(LIMITS_CPU.read(config)?.filter(|limit| *limit != CpuLimit::Count(0)))
}

/// The processors of this host that are online.
pub fn online() -> CpuSet {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Deals the processors out. Those with many wishes come in the order of their keys, so that the same wishes always give the
/// same answer.
pub fn deal<K: Ord + Clone>(host: &CpuSet, wishes: &BTreeMap<K, CpuLimit>) -> BTreeMap<K, CpuSet> {
    let mut users: BTreeMap<u32, usize> = host.iter().map(|cpu| (cpu, 0)).collect();
    let mut dealt = BTreeMap::new();
    for (key, wish) in wishes {
        if let CpuLimit::Pinned(set) = wish {
            let set = set.intersection(host);
            set.iter().for_each(|cpu| *users.entry(cpu).or_default() += 1);
            dealt.insert(key.clone(), set);
        }
    }
    for (key, wish) in wishes {
        let CpuLimit::Count(count) = wish else { continue };
        let mut order: Vec<(usize, u32)> = users.iter().map(|(cpu, users)| (*users, *cpu)).collect();
        order.sort_unstable();
        let count = usize::try_from(*count).unwrap_or(usize::MAX);
        let set: CpuSet = order.into_iter().take(count).map(|(_, cpu)| cpu).collect();
        set.iter().for_each(|cpu| *users.entry(cpu).or_default() += 1);
        dealt.insert(key.clone(), set);
    }
    dealt
}

/// Refuses what this host cannot keep.
///
/// # Errors
/// There is no controller, or the host has none of the processors.
pub fn require(containers: &Containers, limit: &CpuLimit) -> Result<()> {
    if !containers.has_controller("cpuset") {
        return Err(Error::bad_request(
            "limits.cpu needs the cgroup controller \"cpuset\", which this host does not have",
        ));
    }
    match limit {
        CpuLimit::Pinned(set) if set.intersection(&online()).is_empty() => {
            Err(Error::bad_request(format!("limits.cpu: this host has none of the processors {set}")))
        }
        _ => Ok(()),
    }
}

/// What an instance that is about to start will get.
pub fn place(core: &Core, key: &InstanceKey, limit: &CpuLimit) -> CpuSet {
    let mut wishes = wishes(&core.runtime.all());
    wishes.insert(key.clone(), limit.clone());
    deal(&online(), &wishes).remove(key).unwrap_or_default()
}

/// Deals out anew. What cannot be written is logged, but for `whose` that is wanted.
///
/// # Errors
/// The kernel refuses the processors of that instance.
pub async fn balance(core: &SharedCore, whose: Option<&InstanceKey>) -> Result<()> {
    // One at a time: two that deal from different states must not mix what they write.
    let _turn = core.runtime.dealing.lock().await;
    let Ok(containers) = core.containers() else { return Ok(()) };
    let running = core.runtime.all();
    let (host, wishes) = (online(), wishes(&running));
    let dealt = deal(&host, &wishes);
    for (key, entry) in &running {
        let before = entry.processors();
        // One without a limit is touched only when it had one.
        let set = match (dealt.get(key), &before.given) {
            (Some(set), _) => set.clone(),
            (None, Some(_)) => host.clone(),
            (None, None) => continue,
        };
        if before.given.as_ref() == Some(&set) {
            continue;
        }
        match write(containers, entry, &set) {
            Ok(()) => entry.set_given(Some(set)),
            Err(error) if whose == Some(key) => return Err(error),
            // It may be ending.
            Err(error) => {
                tracing::warn!(instance = %key, error = error.chain(), "The processors of an instance stay")
            }
        }
    }
    Ok(())
}

fn wishes(running: &[(InstanceKey, RuntimeEntry)]) -> BTreeMap<InstanceKey, CpuLimit> {
    let wish = |(key, entry): &(InstanceKey, RuntimeEntry)| Some((key.clone(), entry.processors().wanted?));
    running.iter().filter_map(wish).collect()
}

fn write(containers: &Containers, entry: &RuntimeEntry, set: &CpuSet) -> Result<()> {
    let cgroups = containers.cgroups(&entry.running);
    cgroups.write_processors(&set.to_string()).context("Failed to apply limits.cpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(host: &str, wishes: &[(&'static str, &str)]) -> String {
        let wishes = wishes.iter().map(|(key, wish)| (*key, wish.parse().unwrap())).collect();
        let dealt = deal(&host.parse().unwrap(), &wishes);
        dealt.iter().map(|(key, set)| format!("{key}={set}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn processors_are_shared_evenly() {
        assert_eq!(
            dealt("0-3", &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")]),
            "a=0 b=1 c=2 d=3 e=0"
        );
        assert_eq!(dealt("0-3", &[("a", "2"), ("b", "2"), ("c", "3")]), "a=0-1 b=2-3 c=0-2");
        // Who names its processors is not moved, and is kept clear of.
        assert_eq!(dealt("0-3", &[("a", "2"), ("b", "0-1")]), "a=2-3 b=0-1");
        assert_eq!(dealt("0-1", &[("a", "9"), ("b", "1-7")]), "a=0-1 b=1");
        assert_eq!(dealt("0-1", &[]), "");
    }
}
