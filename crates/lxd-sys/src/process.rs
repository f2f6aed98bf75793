//! Processes by descriptor: a pidfd cannot name another process later, as a number can.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

/// A pidfd of the process `pid`: readable (poll) when it has ended. It is in no other process's place as long as the caller
/// knows by other means that `pid` was right when this was called.
///
/// # Errors
/// `ESRCH` when there is no such process.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// The process that opened the other end of a connected unix socket.
#[derive(Debug)]
pub struct Peer {
    /// Its number in the caller's pid namespace; another process may have it when this one has ended.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
}

impl Peer {
    /// Whether it lives: what was read under its number before is its own then.
    pub fn alive(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready == 0)
    }
}

/// Who connected to a unix socket, as the kernel noted it then. Kernels before 6.5 give only a number: a process that
/// has ended by now cannot be told there from one that got its number since.
///
/// # Errors
/// `ESRCH` when it has ended or is not visible from here.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    let pid = rustix::net::sockopt::socket_peercred(&socket)?.pid.as_raw_nonzero().get();
    if pid <= 0 {
        return Err(gone());
    }
    let pidfd = match peer_pidfd(&socket) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => pidfd(pid)?,
        other => other.map_err(|_| gone())?,
    };
    Ok(Peer { pid, pidfd })
}

fn peer_pidfd(socket: &impl AsFd) -> io::Result<OwnedFd> {
    use std::os::fd::{AsRawFd, FromRawFd};
    /// Not in the libc crate of every release yet; the same on all architectures that use the generic numbers.
    const SO_PEERPIDFD: i32 = 77;
    let mut fd: i32 = -1;
    let mut length: libc::socklen_t = 4;
    // SAFETY: the kernel writes at most `length` bytes, the size of `fd`.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut length,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends signal number `signal` to the process of a pidfd. Any number that the kernel knows (real-time ones too).
///
/// # Errors
/// `ESRCH` when it has ended, `EINVAL` for a wrong number.
pub fn signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let fd = pidfd.as_fd().as_raw_fd();
    let none = std::ptr::null_mut::<libc::siginfo_t>();
    // SAFETY: numbers and a null pointer ("as kill does").
    let status = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The pid of the parent of `pid`, from `/proc/PID/stat`.
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn parent_of(pid: i32) -> io::Result<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may contain anything, the last parenthesis ends it.
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// When a process started, in ticks since boot; with its number it names a process for good.
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn start_time(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may contain anything; the 20th field behind it is wanted.
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Which signals a process blocks, ignores and catches, as bit masks (bit n-1 for signal n).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SignalMasks {
    /// `SigBlk`: signals that wait (systemd reads them from a signalfd).
    pub blocked: u64,
    /// `SigIgn`.
    pub ignored: u64,
    /// `SigCgt`.
    pub caught: u64,
}

impl SignalMasks {
    /// Whether the process does something of its own with the signal. Init of a pid namespace never gets a signal that it
    /// does not handle, so one that comes too early is lost.
    pub fn handles(self, signal: i32) -> bool {
        let bit = 1_u64.checked_shl(u32::try_from(signal - 1).unwrap_or(64)).unwrap_or(0);
        (self.blocked | self.caught) & bit != 0
    }
}

/// The signal masks of a process.
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn signal_masks(pid: i32) -> io::Result<SignalMasks> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0)
    };
    Ok(SignalMasks { blocked: mask("SigBlk:"), ignored: mask("SigIgn:"), caught: mask("SigCgt:") })
}

/// Ends this process when its parent ends (the parent must still be `parent`).
///
/// # Errors
/// `ESRCH` when the parent is gone already.
pub fn die_with_parent(parent: i32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    match rustix::process::getppid() {
        Some(now) if now.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Limits address space, file size, CPU seconds and number of open files of this process; lower ones stay.
///
/// # Errors
/// As `setrlimit`.
pub fn limit(memory: Option<u64>, file_size: Option<u64>, cpu_seconds: Option<u64>) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = [
        (Resource::As, memory),
        (Resource::Fsize, file_size),
        (Resource::Cpu, cpu_seconds),
        (Resource::Core, Some(0)),
    ];
    for (resource, value) in wanted {
        let Some(value) = value else { continue };
        let hard = getrlimit(resource).maximum.map_or(value, |hard| hard.min(value));
        setrlimit(resource, Rlimit { current: Some(hard), maximum: Some(hard) })?;
    }
    Ok(())
}

/// Marks all descriptors from `first` on close-on-exec.
///
/// # Errors
/// As `close_range`.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: sets a flag on descriptors; nobody relies on the flag being absent.
    let status = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets the effective user and group of the calling thread; the real and saved ones stay, so that root comes back with
/// `set_effective_ids(0, 0)`. Supplementary groups are given up for good.
///
/// # Errors
/// As `setresuid`.
pub fn set_effective_ids(uid: u32, gid: u32) -> io::Result<()> {
    use rustix::thread::{Gid, Uid};
    // Back to root first: only root may choose any group.
    rustix::thread::set_thread_res_uid(None, Uid::from_raw(0), None)?;
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(None, Gid::from_raw(gid), None)?;
    Ok(rustix::thread::set_thread_res_uid(None, Uid::from_raw(uid), None)?)
}

/// Becomes another user and group for good, without supplementary groups and without a way back. Only for a process with
/// one thread.
///
/// # Errors
/// As `setresuid`.
pub fn set_ids(uid: u32, gid: u32) -> io::Result<()> {
    use rustix::thread::{Gid, Uid};
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(Some(gid), Some(gid), Some(gid))?;
    Ok(rustix::thread::set_thread_res_uid(Some(uid), Some(uid), Some(uid))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_and_signals() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(parent_of(pid).unwrap(), i32::try_from(std::process::id()).unwrap());
        assert!(!signal_masks(pid).unwrap().handles(37));
        let fd = pidfd(pid).unwrap();
        signal(&fd, libc::SIGKILL).unwrap();
        child.wait().unwrap();
        assert_eq!(signal(&fd, 0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
