//! `limits.*` as cgroup files. Pure, but for the facts of the host. CPUs are dealt out elsewhere ([`super::cpus`]).

use std::path::Path;
use std::time::Duration;

use lxd_container::{CgroupItem, CgroupVersion, Cgroups, Containers};
use lxd_instance::keys::{
    LIMITS_CPU_ALLOWANCE, LIMITS_CPU_PRIORITY, LIMITS_DISK_PRIORITY, LIMITS_HUGEPAGES_1GB,
    LIMITS_HUGEPAGES_1MB, LIMITS_HUGEPAGES_2MB, LIMITS_HUGEPAGES_64KB, LIMITS_MEMORY, LIMITS_MEMORY_ENFORCE,
    LIMITS_MEMORY_SWAP, LIMITS_MEMORY_SWAP_PRIORITY, LIMITS_PROCESSES,
};
use lxd_task::lane::Lane;
use lxd_types::error::Context;
use lxd_types::{Config, ConfigExt, CpuAllowance, Error, Result};

/// What limits are measured against.
#[derive(Clone, Debug, Default)]
pub struct HostSize {
    /// Memory in bytes.
    pub memory: u64,
    /// Sizes of huge pages in KiB.
    pub hugepages: Vec<u64>,
    /// The file for weights of disk accesses in version 1, where the host's scheduler has weights.
    pub disk_weight: Option<&'static str>,
    /// Whether version 1 counts memory and swap together.
    pub swap_accounts: bool,
}

impl HostSize {
    /// Looks at this host.
    pub fn of_this_host(containers: &Containers) -> Self {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
        let there = |controller: &str, file: &str| {
            containers.hierarchy(controller).is_some_and(|dir| dir.join(file).exists())
        };
        let weights = ["blkio.weight", "blkio.bfq.weight"];
        Self {
            memory: kib.unwrap_or(0_u64) * 1024,
            hugepages: hugepages(Path::new("/sys/kernel/mm/hugepages")),
            disk_weight: weights.into_iter().find(|file| there("blkio", file)),
            swap_accounts: there("memory", "memory.memsw.limit_in_bytes"),
        }
    }
}

fn hugepages(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok();
    entries.filter_map(|entry| size(entry.file_name().to_str()?)).collect()
}

/// What one version of control groups has for a limit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// The file.
    pub file: &'static str,
    /// What is written into it.
    pub value: String,
    /// What takes the limit away again.
    pub lifted: &'static str,
}

/// One limit in both layouts; the writer takes what the host has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// The key that it comes from.
    pub key: &'static str,
    /// The controller of version 2, which is that of version 1 but for disks.
    pub controller: &'static str,
    /// Version 1, when it has such a thing.
    pub v1: Option<Setting>,
    /// Version 2, when it has such a thing.
    pub v2: Option<Setting>,
}

impl Limit {
    /// Refuses a limit that this host cannot keep.
    ///
    /// # Errors
    /// A text that names the key and the controller.
    pub fn require(&self, containers: &Containers) -> Result<()> {
        let (key, name) = (self.key, self.controller);
        let is_v1 = containers.hierarchy(self.v1_controller()).is_some();
        if !is_v1 && !containers.has_controller(name) {
            return Err(Error::bad_request(format!(
                "{key} needs the cgroup controller {name:?}, which this host does not have"
            )));
        }
        match if is_v1 { &self.v1 } else { &self.v2 } {
            Some(_) => Ok(()),
            None if key == LIMITS_DISK_PRIORITY.name() => Err(Error::bad_request(
                "Cannot apply limits.disk.priority as blkio.weight cgroup controller is missing",
            )),
            None => Err(Error::bad_request(format!(
                "{key} cannot be kept on this host: its version of the cgroup controller {name:?} has nothing for it"
            ))),
        }
    }

    /// As entries of the container's configuration.
    pub fn items(&self) -> impl Iterator<Item = CgroupItem> {
        let item = |version, setting: &Setting| CgroupItem {
            version,
            file: setting.file.to_owned(),
            value: setting.value.clone(),
        };
        let v1 = self.v1.as_ref().map(|setting| item(CgroupVersion::V1, setting));
        v1.into_iter().chain(self.v2.as_ref().map(|setting| item(CgroupVersion::V2, setting)))
    }

    /// What undoes it on a running instance.
    pub fn lifted(&self) -> Self {
        let lift = |setting: &Setting| Setting { value: setting.lifted.to_owned(), ..setting.clone() };
        Self { v1: self.v1.as_ref().map(lift), v2: self.v2.as_ref().map(lift), ..*self }
    }

    /// Whether the other one is about the same files.
    pub fn is_same(&self, other: &Self) -> bool {
        let file = |setting: &Option<Setting>| setting.as_ref().map(|setting| setting.file);
        file(&self.v1) == file(&other.v1) && file(&self.v2) == file(&other.v2)
    }

    /// Whether version 2 rules it on this host, beside others that version 1 rules. liblxc leaves those alone.
    pub fn is_beside(&self, containers: &Containers) -> bool {
        containers.hierarchy(self.v1_controller()).is_none() && containers.hierarchy("memory").is_some()
    }

    /// Writes it for a running container.
    fn write(&self, cgroups: &Cgroups) -> Result<()> {
        let Some(setting) = (if cgroups.is_v1(self.v1_controller()) { &self.v1 } else { &self.v2 }) else {
            return Ok(());
        };
        cgroups
            .write(self.v1_controller(), setting.file, setting.file, &setting.value)
            .context(format!("Failed to apply {}", self.key))
    }

    fn v1_controller(&self) -> &'static str {
        if self.controller == "io" { "blkio" } else { self.controller }
    }
}

/// How long the kernel may take over a limit: it may have to take memory back first.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Writes limits of a running container. Some may only be raised before, or lowered after another: what fails is tried again at
/// the end.
///
/// # Errors
/// The kernel refuses one, or does not answer in time.
pub async fn write(lane: &Lane, cgroups: Cgroups, limits: Vec<Limit>) -> Result<()> {
    write_within(DEADLINE, lane, cgroups, limits).await
}

async fn write_within(deadline: Duration, lane: &Lane, cgroups: Cgroups, limits: Vec<Limit>) -> Result<()> {
    if limits.is_empty() {
        return Ok(());
    }
    let write = move || {
        let failed: Vec<&Limit> = limits.iter().filter(|limit| limit.write(&cgroups).is_err()).collect();
        failed.iter().try_for_each(|limit| limit.write(&cgroups))
    };
    lane.run(deadline, write).await?
}

/// The limits that hold for an instance; a key that is not set gives none.
///
/// # Errors
/// A stored value cannot be read.
pub fn limits(config: &Config, host: &HostSize) -> Result<Vec<Limit>> {
    let mut found = Vec::new();
    memory(config, host, &mut found)?;
    swapping(config, &mut found)?;
    processor(config, &mut found)?;
    pages(config, host, &mut found)?;
    if let Some(priority) = given(config, &LIMITS_DISK_PRIORITY)? {
        let v1 = host.disk_weight.map(|file| (file, (u64::from(priority) * 100).max(10).to_string(), "500"));
        let v2 = ("io.weight", (u64::from(priority) * 20).max(1).to_string(), "100");
        found.push(limit(LIMITS_DISK_PRIORITY.name(), "io", v1, Some(v2)));
    }
    if let Some(processes) = LIMITS_PROCESSES.read(config)? {
        let value = processes.to_string();
        let one = Some(("pids.max", value, "max"));
        found.push(limit(LIMITS_PROCESSES.name(), "pids", one.clone(), one));
    }
    Ok(found)
}

type File = Option<(&'static str, String, &'static str)>;

fn limit(key: &'static str, controller: &'static str, v1: File, v2: File) -> Limit {
    let setting = |(file, value, lifted)| Setting { file, value, lifted };
    Limit { key, controller, v1: v1.map(setting), v2: v2.map(setting) }
}

/// The value of a key, unless its default holds because nothing is set.
fn given<T: lxd_config::Value>(config: &Config, key: &lxd_config::Key<T>) -> Result<Option<T>> {
    match config.set(key.name()) {
        Some(_) => Ok(key.read(config)?),
        None => Ok(None),
    }
}

/// A hard limit counts swap too, where the host can, and lets the kernel take memory back a little before.
fn memory(config: &Config, host: &HostSize, found: &mut Vec<Limit>) -> Result<()> {
    let Some(memory) = LIMITS_MEMORY.read(config)? else { return Ok(()) };
    let (key, bytes) = (LIMITS_MEMORY.name(), memory.bytes(host.memory));
    let mut add = |v1: File, v2: File| found.push(limit(key, "memory", v1, v2));
    if LIMITS_MEMORY_ENFORCE.read(config)?.as_deref() == Some("soft") {
        let value = bytes.to_string();
        add(Some(("memory.soft_limit_in_bytes", value.clone(), "-1")), Some(("memory.high", value, "max")));
        return Ok(());
    }
    let value = bytes.to_string();
    add(Some(("memory.limit_in_bytes", value.clone(), "-1")), Some(("memory.max", value.clone(), "max")));
    if host.swap_accounts {
        add(Some(("memory.memsw.limit_in_bytes", value, "-1")), None);
    }
    let nearly = (u128::from(bytes) * 9 / 10).to_string();
    add(Some(("memory.soft_limit_in_bytes", nearly, "-1")), None);
    Ok(())
}

/// The kernel's own willingness to swap is 60 of 100.
fn swapping(config: &Config, found: &mut Vec<Limit>) -> Result<()> {
    let swaps = LIMITS_MEMORY_SWAP.is_on(config);
    let priority = given(config, &LIMITS_MEMORY_SWAP_PRIORITY)?;
    let willing = |value: u8| Some(("memory.swappiness", value.to_string(), "60"));
    if !swaps {
        let none = Some(("memory.swap.max", "0".to_owned(), "max"));
        found.push(limit(LIMITS_MEMORY_SWAP.name(), "memory", willing(0), none));
    } else if let Some(priority) = priority.filter(|priority| *priority < 10) {
        found.push(limit(LIMITS_MEMORY_SWAP_PRIORITY.name(), "memory", willing(70 - priority), None));
    }
    Ok(())
}

/// Shares are of 1024 in version 1, weights of 100 in version 2; the priority takes up to ten of them away. The same number of
/// the smaller whole is more, so that each priority has a weight of its own.
fn processor(config: &Config, found: &mut Vec<Limit>) -> Result<()> {
    let (allowance, priority) = (given(config, &LIMITS_CPU_ALLOWANCE)?, given(config, &LIMITS_CPU_PRIORITY)?);
    let percent = match allowance {
        Some(CpuAllowance::Percent(percent)) => Some(u64::from(percent)),
        _ => None,
    };
    if percent.is_some() || priority.is_some() {
        let key = if percent.is_some() { LIMITS_CPU_ALLOWANCE.name() } else { LIMITS_CPU_PRIORITY.name() };
        let (part, less) = (percent.unwrap_or(100), 10 - u64::from(priority.unwrap_or(10).min(10)));
        let shares = (1024 * part / 100).saturating_sub(less).max(2);
        let weight = (part * (100 - less)).div_ceil(100).clamp(1, 10_000).to_string();
        let (v1, v2) = (("cpu.shares", shares.to_string(), "1024"), ("cpu.weight", weight, "100"));
        found.push(limit(key, "cpu", Some(v1), Some(v2)));
    }
    if let Some(CpuAllowance::Time { quota, period }) = allowance {
        let micro = |milliseconds: u32| (u64::from(milliseconds) * 1000).to_string();
        let (key, both) = (LIMITS_CPU_ALLOWANCE.name(), format!("{} {}", micro(quota), micro(period)));
        found.push(limit(key, "cpu", Some(("cpu.cfs_period_us", micro(period), "100000")), None));
        let v2 = Some(("cpu.max", both, "max 100000"));
        found.push(limit(key, "cpu", Some(("cpu.cfs_quota_us", micro(quota), "-1")), v2));
    }
    Ok(())
}

fn pages(config: &Config, host: &HostSize, found: &mut Vec<Limit>) -> Result<()> {
    let all = [
        (&LIMITS_HUGEPAGES_64KB, 64, "hugetlb.64KB.limit_in_bytes", "hugetlb.64KB.max"),
        (&LIMITS_HUGEPAGES_1MB, 1024, "hugetlb.1MB.limit_in_bytes", "hugetlb.1MB.max"),
        (&LIMITS_HUGEPAGES_2MB, 2048, "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"),
        (&LIMITS_HUGEPAGES_1GB, 1 << 20, "hugetlb.1GB.limit_in_bytes", "hugetlb.1GB.max"),
    ];
    for (key, size, v1, v2) in all {
        let Some(bytes) = key.read(config)? else { continue };
        let (key, value) = (key.name(), bytes.bytes().to_string());
        if !host.hugepages.contains(&size) {
            return Err(Error::bad_request(format!("{key}: this host has no huge pages of that size")));
        }
        found.push(limit(key, "hugetlb", Some((v1, value.clone(), "-1")), Some((v2, value, "max"))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_container::cgroup::Hierarchies;
    use lxd_types::Kind;

    fn texts(pairs: &[(&str, &str)], host: &HostSize) -> (Vec<String>, Vec<String>) {
        let config: Config =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (mut v1, mut v2) = (Vec::new(), Vec::new());
        for item in limits(&config, host).unwrap().iter().flat_map(Limit::items) {
            let text = format!("{}={}", item.file, item.value);
            if item.version == CgroupVersion::V1 { v1.push(text) } else { v2.push(text) }
        }
        (v1, v2)
    }

    fn host() -> HostSize {
        HostSize {
            memory: 1 << 30,
            hugepages: vec![2048],
            disk_weight: Some("blkio.bfq.weight"),
            swap_accounts: true,
        }
    }

    #[test]
    fn memory_is_limited_hard_or_softly() {
        let hard = texts(&[("limits.memory", "256MiB")], &host());
        // The numbers of the reference.
        let v1 = [
            "memory.limit_in_bytes=268435456",
            "memory.memsw.limit_in_bytes=268435456",
            "memory.soft_limit_in_bytes=241591910",
        ];
        assert_eq!(hard.0, v1);
        assert_eq!(hard.1, ["memory.max=268435456"]);
        let soft = texts(&[("limits.memory", "50%"), ("limits.memory.enforce", "soft")], &host());
        assert_eq!(soft.0, ["memory.soft_limit_in_bytes=536870912"]);
        assert_eq!(soft.1, ["memory.high=536870912"]);
        for (pairs, v1, v2) in [
            (
                &[("limits.memory.swap", "false")][..],
                &["memory.swappiness=0"][..],
                &["memory.swap.max=0"][..],
            ),
            (&[("limits.memory.swap.priority", "3")][..], &["memory.swappiness=67"][..], &[][..]),
            (&[("limits.memory.swap.priority", "10")][..], &[][..], &[][..]),
        ] {
            let found = texts(pairs, &host());
            assert_eq!((found.0.join(" "), found.1.join(" ")), (v1.join(" "), v2.join(" ")));
        }
    }

    #[test]
    fn shares_and_times_of_processors() {
        for (pairs, v1, v2) in [
            (&[("limits.cpu.allowance", "50%")][..], "cpu.shares=512", "cpu.weight=50"),
            (
                &[("limits.cpu.allowance", "50%"), ("limits.cpu.priority", "3")][..],
                "cpu.shares=505",
                "cpu.weight=47",
            ),
            (&[("limits.cpu.priority", "0")][..], "cpu.shares=1014", "cpu.weight=90"),
            (&[("limits.cpu.allowance", "0%")][..], "cpu.shares=2", "cpu.weight=1"),
            (
                &[("limits.cpu.allowance", "25ms/100ms")][..],
                "cpu.cfs_period_us=100000 cpu.cfs_quota_us=25000",
                "cpu.max=25000 100000",
            ),
        ] {
            let found = texts(pairs, &host());
            assert_eq!((found.0.join(" "), found.1.join(" ")), (v1.to_owned(), v2.to_owned()));
        }
    }

    #[test]
    fn each_priority_has_a_weight_of_its_own() {
        let weight = |priority: u8| {
            let found = texts(&[("limits.cpu.priority", &priority.to_string())], &host()).1;
            found[0].strip_prefix("cpu.weight=").unwrap().parse::<u64>().unwrap()
        };
        let weights: Vec<u64> = (0..=10).map(weight).collect();
        assert!(weights.is_sorted_by(|a, b| a < b) && weights[10] == 100, "{weights:?}");
    }

    #[tokio::test]
    async fn a_kernel_that_takes_its_time_holds_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        // Who opens it waits until somebody reads.
        let slow = folder.path().join("pids.max");
        rustix::fs::mknodat(rustix::fs::CWD, &slow, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let mounts = format!("31 29 0:28 / {} rw - cgroup2 cgroup2 rw\n", folder.path().display());
        let cgroups = Hierarchies::parse(&mounts).resolve("0::/\n", "c1");
        let config: Config = [("limits.processes".to_owned(), "10".to_owned())].into();
        let limits = limits(&config, &host()).unwrap();
        let lane = Lane::new("c1");
        let late = write_within(Duration::from_millis(50), &lane, cgroups, limits).await;
        assert_eq!(late.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(std::fs::read_to_string(slow).unwrap(), "10");
    }

    #[test]
    fn disks_and_huge_pages() {
        let found = texts(&[("limits.disk.priority", "3"), ("limits.hugepages.2MB", "4MB")], &host());
        assert_eq!(found.0, ["hugetlb.2MB.limit_in_bytes=4000000", "blkio.bfq.weight=300"]);
        assert_eq!(found.1, ["hugetlb.2MB.max=4000000", "io.weight=60"]);
        let config: Config = [("limits.hugepages.1GB".to_owned(), "1GB".to_owned())].into();
        let error = limits(&config, &host()).unwrap_err().to_string();
        assert_eq!(error, "limits.hugepages.1GB: this host has no huge pages of that size");
    }

    #[test]
    fn what_is_lifted_is_about_the_same_files() {
        let config: Config = [("limits.cpu.allowance".to_owned(), "25ms/100ms".to_owned())].into();
        let set = limits(&config, &host()).unwrap();
        let lifted: Vec<_> = set.iter().map(Limit::lifted).collect();
        assert!(set.iter().zip(&lifted).all(|(limit, lifted)| limit.is_same(lifted)));
        assert_ne!(set, lifted);
    }
}
