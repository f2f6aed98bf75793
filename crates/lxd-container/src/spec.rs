//! What a container is, as data: the only input of the renderer and of a start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lxd_types::IdMap;

/// A container to start.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The name in liblxc, unique on this host: `c1`, or `project_c1` outside the default project.
    pub name: String,
    /// The host name inside.
    pub hostname: String,
    /// Directory that names the command socket of liblxc: `LXD_DIR/containers`.
    pub lxcpath: PathBuf,
    /// `LXD_DIR/logs/NAME`: gets `lxc.conf`, `lxc.log`, `console.log`, `forkstart.log`.
    pub log_dir: PathBuf,
    /// Level of `lxc.log`: `warn` normally, `trace` when the daemon runs with `--debug`.
    pub log_level: String,
    /// The root file system.
    pub rootfs: Rootfs,
    /// Id map; empty for a privileged container.
    pub idmap: IdMap,
    /// `linux64`, `linux32` or another of liblxc's personalities; see [`personality`].
    pub personality: String,
    /// `security.nesting`.
    pub nesting: bool,
    /// The `environment.*` keys, for PID 1 and (by the caller) for exec.
    pub environment: BTreeMap<String, String>,
    /// Limits as cgroup files.
    pub cgroup: Vec<CgroupItem>,
    /// `limits.kernel.*`: name without the prefix (`nofile`), value (`100`, `100:200`, `unlimited`).
    pub rlimits: BTreeMap<String, String>,
    /// `linux.sysctl.*`: name without the prefix, value.
    pub sysctls: BTreeMap<String, String>,
    /// Additional mounts, in order.
    pub mounts: Vec<Mount>,
    /// Network interfaces, in order; they exist on the host already.
    pub nics: Vec<Nic>,
    /// File with the seccomp profile; see [`crate::seccomp`].
    pub seccomp_profile: Option<PathBuf>,
    /// Socket of the seccomp proxy and the text that names this container there.
    pub seccomp_notify: Option<(PathBuf, String)>,
    /// AppArmor profile, or none to leave the key out.
    pub apparmor_profile: Option<String>,
    /// Directory on the host with the guest API's socket, mounted at `/dev/lxd`; none for `security.devlxd=false`.
    pub devlxd: Option<PathBuf>,
    /// Directory on the host (`LXD_DIR/shmounts/NAME`) whose mounts appear in `/dev/.lxd-mounts`: for hot-plugged disks.
    pub shmounts: Option<PathBuf>,
    /// The hook that tells the daemon about a reboot from inside.
    pub hook: Option<HookSpec>,
    /// A program that runs when the root file system is mounted, in the container's namespaces with the host's files.
    pub mount_hook: Option<PathBuf>,
    /// `raw.lxc`.
    pub raw: String,
}

impl Spec {
    /// Whether root inside is root of the host.
    pub fn privileged(&self) -> bool {
        self.idmap.is_empty()
    }
}

/// The root file system of a container.
#[derive(Clone, Debug, Default)]
pub struct Rootfs {
    /// The directory on the host.
    pub path: PathBuf,
    /// The files on disk have the ids of the inside and are shifted by the mount (an unprivileged container on a kernel and file
    /// system that can do it: [`lxd_sys::mount::idmap_supported`]).
    pub idmapped: bool,
    /// The root is not writable.
    pub read_only: bool,
}

/// Which cgroup layout a file belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CgroupVersion {
    /// `lxc.cgroup.`.
    V1,
    /// `lxc.cgroup2.`.
    V2,
}

/// A value of a cgroup file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CgroupItem {
    /// The layout.
    pub version: CgroupVersion,
    /// The file, such as `memory.limit_in_bytes`.
    pub file: String,
    /// What is written into it.
    pub value: String,
}

/// A mount inside the container.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mount {
    /// What is mounted: a path on the host, or a name such as `proc`.
    pub source: String,
    /// Where, relative to the container's root (no leading slash).
    pub target: String,
    /// The file system type; `none` for bind mounts.
    pub fs_type: String,
    /// Options, such as `bind,create=dir,optional`.
    pub options: Vec<String>,
}

/// A network interface that exists on the host and moves into the container.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Nic {
    /// The interface on the host that is moved; that of a pair: the bridge.
    pub link: String,
    /// The name of the end on the host, when liblxc is to make a pair.
    pub pair: Option<String>,
    /// Its name inside.
    pub name: String,
    /// Its hardware address.
    pub hwaddr: Option<String>,
    /// Its MTU.
    pub mtu: Option<u32>,
    /// Addresses with prefix length that liblxc sets (routed, ipvlan).
    pub addresses: Vec<String>,
    /// Gateways that liblxc sets (`dev` for the device itself).
    pub gateways: Vec<String>,
}

/// What the hook needs to reach the daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HookSpec {
    /// The helper's path on disk ([`lxd_host::Helper::path`]).
    pub helper: PathBuf,
    /// `LXD_DIR`.
    pub lxd_dir: PathBuf,
    /// The project of the instance.
    pub project: String,
    /// The instance's name in its project.
    pub instance: String,
}

/// What the renderer must know about the host; collected by [`HostFacts::collect`], given by hand in tests.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostFacts {
    /// Where lxcfs is mounted, when it is (`/var/lib/lxcfs`).
    pub lxcfs: Option<PathBuf>,
    /// The files below `proc` and `sys` that this lxcfs offers, relative to it.
    pub lxcfs_files: Vec<String>,
    /// Directories of this host that every container gets as they are (manual 3.6.1).
    pub mounts: Vec<String>,
    /// Whether device access is ruled by cgroup v1 (`devices`) or v2 (eBPF).
    pub devices_v1: bool,
}

/// Candidates of [`HostFacts::mounts`].
const MOUNTS: &[&str] = &[
    "/proc/sys/fs/binfmt_misc",
    "/sys/firmware/efi/efivars",
    "/sys/fs/fuse/connections",
    "/sys/fs/pstore",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];

impl HostFacts {
    /// Looks at this host. Cheap; do it at every start, because lxcfs may come and go.
    pub fn collect() -> Self {
        let lxcfs = PathBuf::from("/var/lib/lxcfs");
        let candidates = [
            "proc/cpuinfo",
            "proc/diskstats",
            "proc/loadavg",
            "proc/meminfo",
            "proc/slabinfo",
            "proc/stat",
            "proc/swaps",
            "proc/uptime",
            "sys/devices/system/cpu",
        ];
        let mut files: Vec<String> = Vec::new();
        if lxcfs.join("proc").is_dir() {
            files.extend(candidates.iter().filter(|file| lxcfs.join(file).exists()).map(ToString::to_string));
        }
        Self {
            lxcfs: (!files.is_empty()).then_some(lxcfs),
            lxcfs_files: files,
            mounts: MOUNTS.iter().filter(|path| Path::new(path).is_dir()).map(ToString::to_string).collect(),
            devices_v1: std::fs::read_to_string("/proc/self/mountinfo")
                .is_ok_and(|mounts| has_devices_v1(&mounts)),
        }
    }
}

/// Whether a cgroup v1 hierarchy with the controller `devices` is mounted.
fn has_devices_v1(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| {
        let Some((_, fs)) = line.split_once(" - ") else { return false };
        let mut words = fs.split(' ');
        words.next() == Some("cgroup")
            && words.nth(1).is_some_and(|options| options.split(',').any(|o| o == "devices"))
    })
}

/// liblxc's name of the personality for an architecture name of the kernel (`x86_64`, `i686` …).
pub fn personality(architecture: &str) -> &'static str {
    match architecture {
        "i686" | "armv7l" | "armv8l" | "armv6l" | "mips" | "ppc" => "linux32",
        _ => "linux64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_controller_is_found() {
        let line = "35 30 0:32 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices\n";
        assert!(has_devices_v1(line));
        assert!(!has_devices_v1("36 30 0:33 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"));
    }
}
