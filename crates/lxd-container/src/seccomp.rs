//! The seccomp profile of a container: the file that `lxc.seccomp.profile` names. Pure.

use lxd_types::{Error, Result};

/// What the profile depends on: the `security.syscalls.*` keys and `raw.seccomp`.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `security.syscalls.deny_default`: refuse what can change the kernel.
    pub deny_default: bool,
    /// `security.syscalls.deny_compat`: refuse the compatibility calls of `x86_64`.
    pub deny_compat: bool,
    /// `security.syscalls.deny`: lines of `NAME` or `NAME errno N` …, in liblxc's form.
    pub deny: String,
    /// `security.syscalls.allow`: lines of names; everything else is refused. The other lists do not count then.
    pub allow: String,
    /// Which calls the daemon answers.
    pub intercept: Intercept,
    /// `raw.seccomp`: replaces everything.
    pub raw: String,
}

/// `security.syscalls.intercept.*`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Intercept {
    /// `mknod`.
    pub mknod: bool,
    /// `sched_setscheduler`.
    pub sched_setscheduler: bool,
    /// `setxattr`.
    pub setxattr: bool,
    /// `mount`.
    pub mount: bool,
    /// `bpf`.
    pub bpf: bool,
}

impl Intercept {
    /// Whether the profile needs the daemon's seccomp socket.
    pub fn any(self) -> bool {
        self.mknod || self.sched_setscheduler || self.setxattr || self.mount || self.bpf
    }
}

const DENY_DEFAULT: &str = "\
reject_force_umount  # comment this to allow umount -f;  not recommended
[all]
kexec_load errno 38
open_by_handle_at errno 38
init_module errno 38
finit_module errno 38
delete_module errno 38
";

/// A container may not add filters that would hide calls from ours (new listener, or a flag that lets a tracer decide).
const PROTECT_NOTIFY: &str = "\
seccomp errno 22 [1,2146435072,SCMP_CMP_MASKED_EQ,2146435072]
seccomp errno 22 [1,8,SCMP_CMP_MASKED_EQ,8]
";

/// Only character and block devices: other nodes the kernel makes itself.
const MKNOD: &str = "\
mknod notify [1,8192,SCMP_CMP_MASKED_EQ,61440]
mknod notify [1,24576,SCMP_CMP_MASKED_EQ,61440]
mknodat notify [2,8192,SCMP_CMP_MASKED_EQ,61440]
mknodat notify [2,24576,SCMP_CMP_MASKED_EQ,61440]
";

const SCHED_SETSCHEDULER: &str = "sched_setscheduler notify\n";

/// Attributes of one byte: `trusted.overlay.opaque`.
const SETXATTR: &str = "setxattr notify [3,1,SCMP_CMP_EQ]\n";

/// New mounts (no remount, bind, move, propagation); the new mount API is refused, as its calls cannot be answered.
const MOUNT: &str = "\
mount notify [3,0,SCMP_CMP_MASKED_EQ,18446744070422410016]
fsopen errno 38
fsconfig errno 38
fsinfo errno 38
fsmount errno 38
fspick errno 38
open_tree errno 38
move_mount errno 38
";

/// With interception, `openat2` would let paths escape the inspection.
const OPENAT2: &str = "openat2 errno 38\n";

/// Loading, attaching and detaching programs.
const BPF: &str = "\
bpf notify [0,5,SCMP_CMP_EQ]
bpf notify [0,8,SCMP_CMP_EQ]
bpf notify [0,9,SCMP_CMP_EQ]
";

/// Names of the kernel's compatibility entry points, in the reference's order.
const COMPAT: &[&str] = &[
    "compat_sys_rt_sigaction",
    "stub_x32_rt_sigreturn",
    "compat_sys_ioctl",
    "compat_sys_readv",
    "compat_sys_writev",
    "compat_sys_recvfrom",
    "compat_sys_sendmsg",
    "compat_sys_recvmsg",
    "stub_x32_execve",
    "compat_sys_ptrace",
    "compat_sys_rt_sigpending",
    "compat_sys_rt_sigtimedwait",
    "compat_sys_rt_sigqueueinfo",
    "compat_sys_sigaltstack",
    "compat_sys_timer_create",
    "compat_sys_mq_notify",
    "compat_sys_kexec_load",
    "compat_sys_waitid",
    "compat_sys_set_robust_list",
    "compat_sys_get_robust_list",
    "compat_sys_vmsplice",
    "compat_sys_move_pages",
    "compat_sys_preadv64",
    "compat_sys_pwritev64",
    "compat_sys_rt_tgsigqueueinfo",
    "compat_sys_recvmmsg",
    "compat_sys_sendmmsg",
    "compat_sys_process_vm_readv",
    "compat_sys_process_vm_writev",
    "compat_sys_setsockopt",
    "compat_sys_getsockopt",
    "compat_sys_io_setup",
    "compat_sys_io_submit",
    "stub_x32_execveat",
];

/// The text of the profile, or none when there is nothing to filter. `x86_64` says whether the kernel is that.
///
/// # Errors
/// A line of a list that begins a section.
pub fn profile(policy: &Policy, x86_64: bool) -> Result<Option<String>> {
    if !policy.raw.is_empty() {
        return Ok(Some(policy.raw.clone()));
    }
    if !policy.allow.is_empty() {
        return Ok(Some(format!("2\nallowlist\n[all]\n{}", checked(&policy.allow)?)));
    }
    let compat = policy.deny_compat && x86_64;
    if !policy.deny_default && !compat && policy.deny.is_empty() && !policy.intercept.any() {
        return Ok(None);
    }
    let mut text = String::from("2\ndenylist\n[all]\n");
    if policy.deny_default {
        text.push_str(DENY_DEFAULT);
    }
    intercepted(policy.intercept, &mut text);
    if compat {
        text.push_str("[x86_64]\n");
        for name in COMPAT {
            text.push_str(name);
            text.push_str(" errno 38\n");
        }
    }
    text.push_str(&checked(&policy.deny)?);
    Ok(Some(text))
}

fn intercepted(what: Intercept, text: &mut String) {
    let parts = [
        (what.any(), PROTECT_NOTIFY),
        (what.mknod, MKNOD),
        (what.sched_setscheduler, SCHED_SETSCHEDULER),
        (what.setxattr, SETXATTR),
        (what.mount, MOUNT),
        (what.mount, OPENAT2),
        (what.bpf, BPF),
    ];
    for (_, part) in parts.iter().filter(|(wanted, _)| *wanted) {
        text.push_str(part);
    }
}

/// Lines of the user; a section line would change the meaning of what follows.
fn checked(lines: &str) -> Result<String> {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('[') || line.contains('\0') {
            return Err(Error::bad_request(format!("Invalid system call {line:?}")));
        }
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_is_that_of_the_reference() {
        let policy = Policy { deny_default: true, ..Policy::default() };
        let text = profile(&policy, true).unwrap().unwrap();
        assert_eq!(text, format!("2\ndenylist\n[all]\n{DENY_DEFAULT}"));
        assert_eq!(profile(&Policy::default(), true).unwrap(), None);
    }

    #[test]
    fn lists() {
        let policy = Policy { allow: "read\nwrite".into(), ..Policy::default() };
        assert_eq!(profile(&policy, true).unwrap().unwrap(), "2\nallowlist\n[all]\nread\nwrite\n");
        let policy = Policy { deny: "mount\n[x86]\n".into(), ..Policy::default() };
        assert!(profile(&policy, true).is_err());
        let policy = Policy { deny_compat: true, ..Policy::default() };
        assert_eq!(profile(&policy, false).unwrap(), None);
        assert!(profile(&policy, true).unwrap().unwrap().ends_with("stub_x32_execveat errno 38\n"));
    }

    #[test]
    fn interception() {
        let intercept = Intercept { setxattr: true, ..Intercept::default() };
        let policy = Policy { intercept, ..Policy::default() };
        let text = profile(&policy, true).unwrap().unwrap();
        assert_eq!(text, format!("2\ndenylist\n[all]\n{PROTECT_NOTIFY}{SETXATTR}"));
    }
}
