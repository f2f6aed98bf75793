//! `limits.cpu`: which processors each running instance may use (manual 3.2.2, "CPU limits").
//!
//! Instances that name their processors have them; those that want a number get those that the fewest others use. Whenever an
//! instance comes, goes or changes its mind, all is dealt out anew; who has processors keeps them where it can, and only what differs
//! is written.

use std::collections::{BTreeMap, BTreeSet};

use lxd_container::{CgroupItem, CgroupVersion, Containers};
use lxd_instance::keys::LIMITS_CPU;
use lxd_types::error::Context;
use lxd_types::{Config, CpuLimit, CpuSet, Error, Result};

use super::runtime::RuntimeEntry;
use super::{InstanceKey, Model, limits};
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

/// Processors of instances that are about to start, by their keys.
pub type Placed = BTreeMap<InstanceKey, Processors>;

/// Deals the processors out. Who has some keeps them while no processor has two users more than another: a process that moves
/// finds cold caches. Those with many wishes come in the order of their keys, so that the same wishes always give the same
/// answer.
pub fn deal<K: Ord + Clone>(host: &CpuSet, wishes: &BTreeMap<K, Processors>) -> BTreeMap<K, CpuSet> {
    let mut table = Table { users: host.iter().map(|cpu| (cpu, 0)).collect(), seats: BTreeMap::new() };
    let mut dealt = BTreeMap::new();
    for (key, wish) in wishes {
        let Some(CpuLimit::Pinned(set)) = &wish.wanted else { continue };
        let set = set.intersection(host);
        set.iter().for_each(|cpu| *table.users.entry(cpu).or_default() += 1);
        dealt.insert(key.clone(), set);
    }
    let counted = wishes.iter().filter_map(|(key, wish)| match wish.wanted {
        Some(CpuLimit::Count(count)) => {
            Some((key, usize::try_from(count).unwrap_or(usize::MAX), &wish.given))
        }
        _ => None,
    });
    let counted: Vec<_> = counted.collect();
    for (key, _, given) in &counted {
        let kept = given.as_ref().map(|given| given.intersection(host)).unwrap_or_default();
        kept.iter().for_each(|cpu| *table.users.entry(cpu).or_default() += 1);
        table.seats.insert((*key).clone(), kept.iter().collect());
    }
    for (key, count, _) in counted {
        table.fit(key, count.min(host.len()));
    }
    while table.even_out() {}
    dealt.extend(table.seats.into_iter().map(|(key, seats)| (key, seats.into_iter().collect())));
    dealt
}

/// Who sits on which processors.
struct Table<K> {
    /// How many use each.
    users: BTreeMap<u32, usize>,
    /// What those have that may be moved.
    seats: BTreeMap<K, BTreeSet<u32>>,
}

impl<K: Ord + Clone> Table<K> {
    /// Takes processors away that most others use, or adds those that the fewest use.
    fn fit(&mut self, key: &K, count: usize) {
        let seats = self.seats.entry(key.clone()).or_default();
        while seats.len() > count {
            let Some(cpu) = seats.iter().copied().max_by_key(|cpu| (self.users[cpu], *cpu)) else { return };
            seats.remove(&cpu);
            *self.users.entry(cpu).or_default() -= 1;
        }
        while seats.len() < count {
            let free = self.users.iter().filter(|(cpu, _)| !seats.contains(cpu));
            let Some((cpu, _)) = free.min_by_key(|(cpu, users)| (**users, **cpu)) else { return };
            let cpu = *cpu;
            seats.insert(cpu);
            *self.users.entry(cpu).or_default() += 1;
        }
    }

    /// Moves one from a processor to another that has two users less. Answers whether there was one to be moved.
    fn even_out(&mut self) -> bool {
        let mut order: Vec<(usize, u32)> = self.users.iter().map(|(cpu, users)| (*users, *cpu)).collect();
        order.sort_unstable();
        for (most, from) in order.iter().rev() {
            for (least, to) in order.iter().take_while(|(least, _)| least + 2 <= *most) {
                let movable = |seats: &BTreeSet<u32>| seats.contains(from) && !seats.contains(to);
                if let Some(seats) = self.seats.values_mut().find(|seats| movable(seats)) {
                    seats.remove(from);
                    seats.insert(*to);
                    self.users.extend([(*from, most - 1), (*to, least + 1)]);
                    return true;
                }
            }
        }
        false
    }
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

/// Chooses the processors of an instance that is about to start. They count as its own until [`settle`], or until its start
/// fails.
///
/// # Errors
/// The stored value cannot be read, or this host cannot keep it.
pub async fn place(core: &SharedCore, model: &Model) -> Result<Vec<CgroupItem>> {
    let Some(limit) = wanted(&model.config)? else { return Ok(Vec::new()) };
    require(core.containers()?, &limit)?;
    let mut placed = core.runtime.placed.lock().await;
    placed.insert(model.key.clone(), Processors { wanted: Some(limit), given: None });
    let set = deal(&online(), &wishes(&core.runtime.all(), &placed)).remove(&model.key).unwrap_or_default();
    if let Some(own) = placed.get_mut(&model.key) {
        own.given = Some(set.clone());
    }
    let item = |version| CgroupItem { version, file: "cpuset.cpus".to_owned(), value: set.to_string() };
    Ok([CgroupVersion::V1, CgroupVersion::V2].map(item).into())
}

/// Notes that an instance runs, with the processors that were chosen for it.
pub async fn settle(core: &Core, key: &InstanceKey, entry: &RuntimeEntry) {
    let mut placed = core.runtime.placed.lock().await;
    let own = placed.remove(key).unwrap_or_default();
    entry.set_wanted(own.wanted);
    entry.set_given(own.given);
    core.runtime.insert(key, entry.clone());
}

/// Deals out anew. What cannot be written is logged, but for `whose` that is wanted.
///
/// # Errors
/// The kernel refuses the processors of that instance.
pub async fn balance(core: &SharedCore, whose: Option<&InstanceKey>) -> Result<()> {
    // One at a time: two that deal from different states must not mix what they write.
    let placed = core.runtime.placed.lock().await;
    let Ok(containers) = core.containers() else { return Ok(()) };
    let running = core.runtime.all();
    let (host, wishes) = (online(), wishes(&running, &placed));
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
        match write(containers, entry, &set).await {
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

/// What those want that run or are about to.
fn wishes(running: &[(InstanceKey, RuntimeEntry)], placed: &Placed) -> Placed {
    let running = running.iter().map(|(key, entry)| (key.clone(), entry.processors()));
    let all = placed.clone().into_iter().chain(running);
    all.filter(|(_, processors)| processors.wanted.is_some()).collect()
}

/// What an instance that an earlier daemon started has.
pub fn present(containers: &Containers, entry: &RuntimeEntry) -> Option<CpuSet> {
    containers.cgroups(&entry.running).read("cpuset", "cpuset.cpus")?.parse().ok()
}

async fn write(containers: &Containers, entry: &RuntimeEntry, set: &CpuSet) -> Result<()> {
    let (cgroups, text) = (containers.cgroups(&entry.running), set.to_string());
    let written = entry.lane.run(limits::DEADLINE, move || cgroups.write_processors(&text)).await?;
    written.context("Failed to apply limits.cpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wishes are `KEY=WISH` or `KEY=WISH@GIVEN`.
    fn dealt(host: &str, wishes: &str) -> String {
        let wish = |text: &str| {
            let (key, wish) = text.split_once('=').unwrap();
            let (wish, given) =
                wish.split_once('@').map_or((wish, None), |(wish, given)| (wish, Some(given)));
            let given = given.map(|given| given.parse().unwrap());
            (key.to_owned(), Processors { wanted: Some(wish.parse().unwrap()), given })
        };
        let wishes = wishes.split_whitespace().map(wish).collect();
        let dealt = deal(&host.parse().unwrap(), &wishes);
        dealt.iter().map(|(key, set)| format!("{key}={set}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn processors_are_shared_evenly() {
        assert_eq!(dealt("0-3", "a=1 b=1 c=1 d=1 e=1"), "a=0 b=1 c=2 d=3 e=0");
        assert_eq!(dealt("0-3", "a=2 b=2 c=3"), "a=0-1 b=2-3 c=0-2");
        // Who names its processors is not moved, and is kept clear of.
        assert_eq!(dealt("0-3", "a=2 b=0-1"), "a=2-3 b=0-1");
        assert_eq!(dealt("0-1", "a=9 b=1-7"), "a=0-1 b=1");
        assert_eq!(dealt("0-1", ""), "");
    }

    #[test]
    fn who_has_processors_keeps_them_while_they_are_shared_evenly() {
        // One came, one went: nobody else moves.
        assert_eq!(dealt("0-3", "0=1 a=1@0 b=1@1 c=1@2"), "0=3 a=0 b=1 c=2");
        assert_eq!(dealt("0-3", "b=1@1 d=1@3 e=1@0"), "b=1 d=3 e=0");
        assert_eq!(dealt("0-1", "a=1@0 b=1@0 c=1@1"), "a=0 b=0 c=1");
        // Two users more than another: one moves.
        assert_eq!(dealt("0-1", "a=1@0 b=1@0"), "a=1 b=0");
        assert_eq!(dealt("0-3", "a=1@2 b=2-2 c=1@0 d=1@1"), "a=3 b=2 c=0 d=1");
        // Another number: the rest stays.
        assert_eq!(dealt("0-3", "a=3@1 b=1@0"), "a=1-3 b=0");
        assert_eq!(dealt("0-3", "a=1@1-2 b=1@2"), "a=1 b=2");
        // A processor that is gone.
        assert_eq!(dealt("0-1", "a=1@3 b=1@0"), "a=1 b=0");
    }
}
