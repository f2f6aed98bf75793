//! What the cgroup files of a container say: read directly, without forking and without its monitor.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::running::Running;

/// Where the hierarchies of this host are mounted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hierarchies {
    /// cgroup v1: controller (`memory`, `name=systemd`) to mount point.
    v1: HashMap<String, PathBuf>,
    /// The mount point of cgroup v2.
    v2: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn of_this_host() -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string("/proc/self/mountinfo")?))
    }

    /// What a text like `/proc/self/mountinfo` says.
    pub fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, fs)) = line.split_once(" - ") else { continue };
            let Some(point) = mount.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut fs = fs.split(' ');
            match fs.next() {
                Some("cgroup2") if found.v2.is_none() => found.v2 = Some(point),
                Some("cgroup") => {
                    for option in fs.nth(1).unwrap_or_default().split(',') {
                        found.v1.entry(option.to_owned()).or_insert_with(|| point.clone());
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Where version 1 of a controller is mounted, if it is.
    pub fn v1(&self, controller: &str) -> Option<&Path> {
        self.v1.get(controller).map(PathBuf::as_path)
    }

    /// Whether nothing of version 1 is mounted.
    pub fn is_v2_only(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }

    /// Whether a controller can be used, in either version.
    pub fn has(&self, controller: &str) -> bool {
        let listed = |root: &PathBuf| {
            read(&root.join("cgroup.controllers"))
                .is_some_and(|text| text.split_whitespace().any(|word| word == controller))
        };
        self.v1.contains_key(controller) || self.v2.as_ref().is_some_and(listed)
    }

    /// The cgroups of a running container.
    pub fn of(&self, running: &Running) -> Cgroups {
        let text = std::fs::read_to_string(format!("/proc/{}/cgroup", running.init())).unwrap_or_default();
        self.resolve(&text, &running.container().name)
    }

    /// The cgroups of the container of that name, from what `/proc/PID/cgroup` of its init says.
    pub fn resolve(&self, proc_cgroup: &str, name: &str) -> Cgroups {
        let mut cgroups = Cgroups::default();
        for line in proc_cgroup.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let path = payload(path, name);
            if controllers.is_empty() {
                cgroups.v2 = self.v2.as_ref().map(|root| join(root, &path));
                continue;
            }
            for controller in controllers.split(',') {
                if let Some(root) = self.v1.get(controller) {
                    cgroups.v1.insert(controller.to_owned(), join(root, &path));
                }
            }
        }
        cgroups
    }
}

/// The container's own cgroup from that of its init, which an init system may have moved further down.
fn payload(path: &str, name: &str) -> String {
    let wanted = format!("lxc.payload.{name}");
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // liblxc appends `-1`, `-2` … when a leftover of the same name is in the way.
    let ours = |part: &&str| {
        part.strip_prefix(&*wanted).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let end = parts.iter().rposition(ours).map_or(parts.len(), |index| index + 1);
    parts[..end].join("/")
}

fn join(root: &Path, path: &str) -> PathBuf {
    root.join(path)
}

/// The cgroups of one container.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cgroups {
    v1: HashMap<String, PathBuf>,
    v2: Option<PathBuf>,
}

/// Use of resources; none where the host does not count it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Processor time in nanoseconds.
    pub cpu: Option<u64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Most memory ever used.
    pub memory_peak: Option<u64>,
    /// Limit of memory in bytes.
    pub memory_limit: Option<u64>,
    /// Swap in bytes.
    pub swap: Option<u64>,
    /// Most swap ever used.
    pub swap_peak: Option<u64>,
    /// Number of processes.
    pub processes: Option<u64>,
}

impl Cgroups {
    /// Reads all counters.
    pub fn usage(&self) -> Usage {
        let v1 = |controller: &str, file: &str| self.v1_number(controller, file);
        let memory = v1("memory", "memory.usage_in_bytes").or_else(|| self.v2_number("memory.current"));
        let memory_peak = v1("memory", "memory.max_usage_in_bytes").or_else(|| self.v2_number("memory.peak"));
        // Version 1 counts memory and swap together.
        let both = v1("memory", "memory.memsw.usage_in_bytes");
        let both_peak = v1("memory", "memory.memsw.max_usage_in_bytes");
        let minus = |sum: Option<u64>, part: Option<u64>| Some(sum?.saturating_sub(part?));
        Usage {
            cpu: v1("cpuacct", "cpuacct.usage").or_else(|| self.v2_cpu()),
            memory,
            memory_peak,
            memory_limit: v1("memory", "memory.limit_in_bytes").or_else(|| self.v2_number("memory.max")),
            swap: minus(both, memory).or_else(|| self.v2_number("memory.swap.current")),
            swap_peak: minus(both_peak, memory_peak).or_else(|| self.v2_number("memory.swap.peak")),
            processes: v1("pids", "pids.current").or_else(|| self.v2_number("pids.current")),
        }
    }

    /// Whether all processes are frozen.
    pub fn frozen(&self) -> bool {
        if let Some(dir) = self.v1.get("freezer") {
            return read(&dir.join("freezer.state")).is_some_and(|state| state != "THAWED");
        }
        let events = self.v2.as_ref().and_then(|dir| read(&dir.join("cgroup.events")));
        events.is_some_and(|events| events.lines().any(|line| line == "frozen 1"))
    }

    /// The content of a file such as `memory.stat`; the controller chooses the hierarchy on v1.
    pub fn read(&self, controller: &str, file: &str) -> Option<String> {
        match self.v1.get(controller) {
            Some(dir) => read(&dir.join(file)),
            None => read(&self.v2.as_ref()?.join(file)),
        }
    }

    /// Writes a file of version 1 (when the controller is there) or version 2; for live limits.
    ///
    /// # Errors
    /// The controller is not there, or the kernel refuses the value.
    pub fn write(&self, controller: &str, v1: &str, v2: &str, value: &str) -> io::Result<()> {
        let path = match (self.v1.get(controller), &self.v2) {
            (Some(dir), _) => dir.join(v1),
            (None, Some(dir)) => dir.join(v2),
            (None, None) => return Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        std::fs::write(path, value)
    }

    /// Gives the container these processors. In version 1 a group below must be given them too, and first when they become
    /// fewer; liblxc has one for what runs beside init.
    ///
    /// # Errors
    /// The controller is not there, or the kernel refuses the value.
    pub fn write_processors(&self, value: &str) -> io::Result<()> {
        let write = || self.write("cpuset", "cpuset.cpus", "cpuset.cpus", value);
        let first = write();
        let below =
            self.v1.get("cpuset").map(|dir| dir.join(".lxc/cpuset.cpus")).filter(|file| file.exists());
        match below {
            Some(file) => {
                std::fs::write(file, value)?;
                first.or_else(|_| write())
            }
            None => first,
        }
    }

    /// Whether a controller is managed by cgroup v1.
    pub fn is_v1(&self, controller: &str) -> bool {
        self.v1.contains_key(controller)
    }

    fn v1_number(&self, controller: &str, file: &str) -> Option<u64> {
        read(&self.v1.get(controller)?.join(file))?.parse().ok()
    }

    fn v2_number(&self, file: &str) -> Option<u64> {
        read(&self.v2.as_ref()?.join(file))?.parse().ok()
    }

    fn v2_cpu(&self) -> Option<u64> {
        let stat = read(&self.v2.as_ref()?.join("cpu.stat"))?;
        let usec: u64 = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.parse().ok()?;
        Some(usec * 1000)
    }
}

fn read(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hierarchies_and_payload() {
        let mounts = "\
30 29 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
31 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
        let hierarchies = Hierarchies::parse(mounts);
        assert!(hierarchies.has("cpuacct") && !hierarchies.has("no-such-controller"));
        assert!(!hierarchies.is_v2_only());
        assert!(Hierarchies::parse("31 29 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").is_v2_only());
        let text =
            "2:cpu,cpuacct:/lxc.payload.c1-1/init.scope\n0::/lxc.payload.c1/x\n3:memory:/lxc.payload.c1\n";
        let cgroups = hierarchies.resolve(text, "c1");
        assert_eq!(cgroups.v1["cpuacct"], Path::new("/sys/fs/cgroup/cpu/lxc.payload.c1-1"));
        assert_eq!(cgroups.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/lxc.payload.c1")));
        assert!(!cgroups.is_v1("memory"));
        assert_eq!(payload("/lxc.payload.c10/x", "c1"), "lxc.payload.c10/x");
    }

    proptest! {
        #[test]
        fn whatever_proc_says_is_read(any: String, near in "([0-9 a-z/]{0,12}( - )?(cgroup2?|tmpfs)? [a-z,=]{0,8}\n){0,4}") {
            for text in [any, near] {
                let _ = Hierarchies::parse(&text).resolve(&text, "c1");
            }
        }
    }
}
