//! `limits.*` as cgroup files. Pure, but for the facts of the host.

use lxd_container::{CgroupItem, CgroupVersion, Containers};
use lxd_instance::keys::{LIMITS_CPU, LIMITS_MEMORY, LIMITS_PROCESSES};
use lxd_types::{Config, CpuLimit, CpuSet, Error, Result};

/// What limits are measured against.
#[derive(Clone, Debug)]
pub struct HostSize {
    /// Memory in bytes.
    pub memory: u64,
    /// The processors that the daemon may use.
    pub cpus: CpuSet,
}

impl HostSize {
    /// Looks at this host.
    pub fn of_this_host() -> Self {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
        Self { memory: kib.unwrap_or(0_u64) * 1024, cpus: online.trim().parse().unwrap_or_default() }
    }
}

/// One limit in both layouts; the writer takes the files that the host has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// The controller.
    pub controller: &'static str,
    /// The file of version 1.
    pub v1: &'static str,
    /// The file of version 2.
    pub v2: &'static str,
    /// What is written into it.
    pub value: String,
}

impl Limit {
    /// Refuses a limit for which this host has no controller.
    ///
    /// # Errors
    /// A text that names the key and the controller.
    pub fn require(&self, containers: &Containers) -> Result<()> {
        if containers.has_controller(self.controller) {
            return Ok(());
        }
        let key = match self.controller {
            "memory" => "limits.memory",
            "cpuset" => "limits.cpu",
            "pids" => "limits.processes",
            other => other,
        };
        let text =
            format!("{key} needs the cgroup controller {:?}, which this host does not have", self.controller);
        Err(Error::bad_request(text))
    }

    /// As entries of the container's configuration.
    pub fn items(&self) -> [CgroupItem; 2] {
        let item =
            |version, file: &str| CgroupItem { version, file: file.to_owned(), value: self.value.clone() };
        [item(CgroupVersion::V1, self.v1), item(CgroupVersion::V2, self.v2)]
    }
}

/// The limits that hold for an instance; a key that is not set gives none.
///
/// # Errors
/// A stored value cannot be read.
pub fn limits(config: &Config, host: &HostSize) -> Result<Vec<Limit>> {
    let mut found = Vec::new();
    if let Some(memory) = LIMITS_MEMORY.read(config)? {
        let value = memory.bytes(host.memory).to_string();
        found.push(Limit { controller: "memory", v1: "memory.limit_in_bytes", v2: "memory.max", value });
    }
    if let Some(cpu) = LIMITS_CPU.read(config)? {
        let value = cpus(&cpu, &host.cpus);
        found.push(Limit { controller: "cpuset", v1: "cpuset.cpus", v2: "cpuset.cpus", value });
    }
    if let Some(processes) = LIMITS_PROCESSES.read(config)? {
        let value = processes.to_string();
        found.push(Limit { controller: "pids", v1: "pids.max", v2: "pids.max", value });
    }
    Ok(found)
}

/// What undoes a limit on a running instance.
pub fn unlimited(controller: &str, host: &HostSize) -> Option<Limit> {
    let limit = |controller, v1, v2, value: &str| Limit { controller, v1, v2, value: value.to_owned() };
    match controller {
        "memory" => Some(limit("memory", "memory.limit_in_bytes", "memory.max", "-1")),
        "cpuset" => Some(limit("cpuset", "cpuset.cpus", "cpuset.cpus", &host.cpus.to_string())),
        "pids" => Some(limit("pids", "pids.max", "pids.max", "max")),
        _ => None,
    }
}

/// A set as it is (as far as the host has those processors); a number as the first so many.
fn cpus(limit: &CpuLimit, host: &CpuSet) -> String {
    match limit {
        CpuLimit::Pinned(set) => set.intersection(host).to_string(),
        CpuLimit::Count(count) => {
            let wanted = usize::try_from(*count).unwrap_or(usize::MAX);
            let first: Vec<String> = host.iter().take(wanted).map(|cpu| cpu.to_string()).collect();
            first.join(",")
        }
    }
}
