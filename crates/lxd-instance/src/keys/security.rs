//! Isolation: `security.*`.

use lxd_config::{Blob, Condition, Key, keys};
use lxd_types::ValueError;

const LOW_LEVEL: &str = "restricted.containers.lowlevel";
const NESTING: &str = "restricted.containers.nesting";
const PRIVILEGE: &str = "restricted.containers.privilege";
const LOW_LEVEL_VM: &str = "restricted.virtual-machines.lowlevel";

keys! {
    /// `security.*`
    SECURITY = [
        /// Whether the agent is asked for state information and metrics.
        SECURITY_AGENT_METRICS: bool =
            Key::new("security.agent.metrics").default("true").only(Condition::VirtualMachine).safe().not_yet(),
        /// Whether /dev/lxd is there in the instance.
        SECURITY_DEVLXD: bool =
            Key::new("security.devlxd").default("true").safe().since("restrict_devlxd"),
        /// Whether /1.0/images is there in /dev/lxd.
        SECURITY_DEVLXD_IMAGES: bool = Key::new("security.devlxd.images")
            .default("false").only(Condition::Container).since("devlxd_images"),
        /// The first host id of the instance's id map (overrides the automatic choice).
        SECURITY_IDMAP_BASE: u32 = Key::new("security.idmap.base")
            .only(Condition::UnprivilegedContainer).restricted_by(PRIVILEGE).since("id_map_base"),
        /// Whether the instance gets an id map of its own, different from those of all other isolated instances.
        SECURITY_IDMAP_ISOLATED: bool = Key::new("security.idmap.isolated")
            .default("false").only(Condition::UnprivilegedContainer).restricted_by(PRIVILEGE).since("id_map"),
        /// How many ids the map has.
        SECURITY_IDMAP_SIZE: u32 = Key::new("security.idmap.size")
            .only(Condition::UnprivilegedContainer).restricted_by(PRIVILEGE).since("id_map"),
        /// Support running LXD in the instance.
        SECURITY_NESTING: bool =
            Key::new("security.nesting").default("false").live().only(Condition::Container).restricted_by(NESTING),
        /// Runs the instance in privileged mode.
        SECURITY_PRIVILEGED: bool =
            Key::new("security.privileged").default("false").only(Condition::Container).restricted_by(PRIVILEGE),
        /// Prevents the instance from being deleted.
        SECURITY_PROTECTION_DELETE: bool = Key::new("security.protection.delete")
            .default("false").live().safe().since("container_protection_delete"),
        /// Prevents the instance's file system from being shifted at start. Owners on disk never change here: the mount shifts them.
        SECURITY_PROTECTION_SHIFT: bool = Key::new("security.protection.shift")
            .default("false").live().only(Condition::Container).safe().since("container_protection_shift"),
        /// Whether UEFI secure boot is on, with the usual keys.
        SECURITY_SECUREBOOT: bool = Key::new("security.secureboot")
            .default("true").only(Condition::VirtualMachine).restricted_by(LOW_LEVEL_VM).not_yet(),
        /// A '\n' separated list of system calls to allow (excludes security.syscalls.deny*).
        SECURITY_SYSCALLS_ALLOW: Blob = list("security.syscalls.allow"),
        /// A '\n' separated list of system calls to deny.
        SECURITY_SYSCALLS_DENY: Blob = list("security.syscalls.deny"),
        /// Whether to block compat_* system calls on x86_64.
        SECURITY_SYSCALLS_DENY_COMPAT: bool = flag("security.syscalls.deny_compat", "false"),
        /// Whether the usual list of system calls is denied.
        SECURITY_SYSCALLS_DENY_DEFAULT: bool = flag("security.syscalls.deny_default", "true"),
        /// Old name of security.syscalls.allow.
        SECURITY_SYSCALLS_WHITELIST: Blob = list("security.syscalls.whitelist"),
        /// Old name of security.syscalls.deny.
        SECURITY_SYSCALLS_BLACKLIST: Blob = list("security.syscalls.blacklist"),
        /// Old name of security.syscalls.deny_compat.
        SECURITY_SYSCALLS_BLACKLIST_COMPAT: bool = flag("security.syscalls.blacklist_compat", "false"),
        /// Old name of security.syscalls.deny_default.
        SECURITY_SYSCALLS_BLACKLIST_DEFAULT: bool = flag("security.syscalls.blacklist_default", "true"),
        /// Handles the system call bpf.
        SECURITY_SYSCALLS_INTERCEPT_BPF: bool =
            flag("security.syscalls.intercept.bpf", "false").since("container_syscall_intercept_bpf_devices"),
        /// Allows programs for the devices control group of the unified hierarchy to be loaded.
        SECURITY_SYSCALLS_INTERCEPT_BPF_DEVICES: bool =
            flag("security.syscalls.intercept.bpf.devices", "false").since("container_syscall_intercept_bpf_devices"),
        /// Handles the system calls mknod and mknodat (allows a limited set of device nodes).
        SECURITY_SYSCALLS_INTERCEPT_MKNOD: bool =
            flag("security.syscalls.intercept.mknod", "false").since("container_syscall_intercept"),
        /// Handles the system call mount.
        SECURITY_SYSCALLS_INTERCEPT_MOUNT: bool =
            flag("security.syscalls.intercept.mount", "false").since("container_syscall_intercept_mount"),
        /// Comma-separated list of file systems that are safe to mount for processes in the instance.
        SECURITY_SYSCALLS_INTERCEPT_MOUNT_ALLOWED: String = Key::new("security.syscalls.intercept.mount.allowed")
            .live().only(Condition::Container).restricted_by(LOW_LEVEL)
            .since("container_syscall_intercept_mount"),
        /// Which mounts to redirect to FUSE programs (e.g. ext4=fuse2fs).
        SECURITY_SYSCALLS_INTERCEPT_MOUNT_FUSE: String = Key::new("security.syscalls.intercept.mount.fuse")
            .live().only(Condition::Container).restricted_by(LOW_LEVEL).check(fuse_pairs).not_yet()
            .since("container_syscall_intercept_mount_fuse"),
        /// Whether to shift the owners of what is mounted by interception.
        SECURITY_SYSCALLS_INTERCEPT_MOUNT_SHIFT: bool =
            flag("security.syscalls.intercept.mount.shift", "false").live().since("container_syscall_intercept_mount"),
        /// Handles the system call sched_setscheduler.
        SECURITY_SYSCALLS_INTERCEPT_SCHED_SETSCHEDULER: bool =
            flag("security.syscalls.intercept.sched_setscheduler", "false").not_yet(),
        /// Handles the system call setxattr (allows a limited set of restricted attributes).
        SECURITY_SYSCALLS_INTERCEPT_SETXATTR: bool =
            flag("security.syscalls.intercept.setxattr", "false").since("container_syscall_intercept"),
    ]
}

const fn list(name: &'static str) -> Key<Blob> {
    Key::new(name).only(Condition::Container).restricted_by(LOW_LEVEL).since("container_syscall_filtering")
}

const fn flag(name: &'static str, default: &'static str) -> Key<bool> {
    Key::new(name)
        .default(default)
        .only(Condition::Container)
        .restricted_by(LOW_LEVEL)
        .since("container_syscall_filtering")
}

/// Pairs of a file system and a program, with commas between.
fn fuse_pairs(value: &str) -> Result<(), ValueError> {
    let is_pair = |pair: &str| {
        pair.split_once('=').is_some_and(|(kind, program)| !kind.is_empty() && !program.is_empty())
    };
    if value.is_empty() || value.split(',').all(is_pair) {
        return Ok(());
    }
    Err(ValueError(format!(
        "security.syscalls.intercept.mount.fuse is not of the form 'filesystem=fuse-binary': {value}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_file_systems() {
        for good in ["", "ext4=fuse2fs", "ext4=fuse2fs,ntfs=ntfs-3g"] {
            assert!(fuse_pairs(good).is_ok(), "{good}");
        }
        for bad in ["ext4", "=x", "ext4=", "ext4=fuse2fs,"] {
            assert!(fuse_pairs(bad).unwrap_err().0.ends_with(&format!(": {bad}")), "{bad}");
        }
    }
}
