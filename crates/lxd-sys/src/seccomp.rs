//! A system-call filter for our own helpers before they read foreign input: what they never need is refused.

use std::io;

/// Calls that no helper needs while it unpacks: mounts and namespaces, other processes, kernel and keys, network, new ways into
/// the kernel.
const NEVER: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
];

/// Starting programs.
const EXEC: &[libc::c_long] = &[libc::SYS_execve, libc::SYS_execveat];

/// Whether a filtered process may still start programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Programs {
    /// Yes.
    Allowed,
    /// No.
    Refused,
}

/// Refuses (with `EPERM`) what an unpacking helper never needs, for this thread and all it starts. Needs "no new privileges" or
/// `CAP_SYS_ADMIN`; see [`crate::caps::keep_only`].
///
/// # Errors
/// As `seccomp`.
pub fn refuse_dangerous(programs: Programs) -> io::Result<()> {
    let exec = if programs == Programs::Refused { EXEC } else { &[] };
    let numbers: Vec<u32> =
        NEVER.iter().chain(exec).filter_map(|number| u32::try_from(*number).ok()).collect();
    install(&program(&numbers))
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0000 | libc::EPERM as u32;
const KILL: u32 = 0x8000_0000;

/// Calls of x86's third word size carry this bit.
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;
#[cfg(target_arch = "powerpc64")]
const ARCHITECTURE: u32 = if cfg!(target_endian = "little") { 0xc000_0015 } else { 0x8000_0015 };
#[cfg(target_arch = "s390x")]
const ARCHITECTURE: u32 = 0x8000_0016;

/// The filter: another architecture kills, x32 and the given numbers are refused, the rest is allowed.
fn program(numbers: &[u32]) -> Vec<libc::sock_filter> {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = vec![
        step(LOAD, 0, 0, 4),
        step(EQUAL, 1, 0, ARCHITECTURE),
        step(RETURN, 0, 0, KILL),
        step(LOAD, 0, 0, 0),
        step(AT_LEAST, 0, 1, X32),
        step(RETURN, 0, 0, REFUSE),
    ];
    for number in numbers {
        steps.push(step(EQUAL, 0, 1, *number));
        steps.push(step(RETURN, 0, 0, REFUSE));
    }
    steps.push(step(RETURN, 0, 0, ALLOW));
    steps
}

fn install(steps: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(steps.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: steps.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which lives until the call returns; it reads `len` steps of it only.
    let status = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_calls_fail_and_others_work() {
        // In a thread of its own: a filter cannot be taken off.
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            refuse_dangerous(Programs::Refused).unwrap();
            let error = std::os::unix::net::UnixStream::pair().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            assert!(std::fs::read_dir("/").is_ok());
        })
        .join()
        .unwrap();
    }
}
