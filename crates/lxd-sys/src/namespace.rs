//! Working inside the namespaces of another process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub use rustix::thread::ThreadNameSpaceType as Namespaces;

/// Enters namespaces of the process of a pidfd, with the calling thread. A user or mount namespace can be entered only by
/// a process with one thread.
///
/// # Errors
/// As `setns`.
pub fn enter(pidfd: impl AsFd, which: Namespaces) -> io::Result<()> {
    Ok(rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), which)?)
}

/// Enters the namespace of a descriptor of `/proc/PID/ns/X` (or a bind mount of one), with the calling thread.
///
/// # Errors
/// As `setns`.
pub fn enter_fd(namespace: impl AsFd) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), None)?)
}

/// Opens `/proc/PID/ns/NAME`.
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn open(pid: i32, name: &str) -> io::Result<OwnedFd> {
    Ok(std::fs::File::open(Path::new("/proc").join(pid.to_string()).join("ns").join(name))?.into())
}

/// The pid namespaces that the process is in, by inode: its own first, then those around it, up to the caller's.
///
/// # Errors
/// `NotFound` when there is no such process.
pub fn pid_namespaces(pid: i32) -> io::Result<Vec<u64>> {
    let mut space = open(pid, "pid")?;
    let mut all = Vec::new();
    loop {
        all.push(rustix::fs::fstat(&space)?.st_ino);
        match parent(&space) {
            Ok(next) => space = next,
            // The next one is not the caller's to see.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

/// The namespace around a pid or user namespace.
fn parent(space: &OwnedFd) -> io::Result<OwnedFd> {
    use std::os::fd::{AsRawFd, FromRawFd};
    /// `_IO(0xb7, 2)`
    const NS_GET_PARENT: libc::c_ulong = 0xb702;
    // SAFETY: this request takes no argument and returns a new descriptor.
    let fd = unsafe { libc::ioctl(space.as_fd().as_raw_fd(), NS_GET_PARENT as _) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs `work` in a thread of its own that has entered the network namespace of `pidfd`'s process, and waits for it. The
/// caller's thread stays where it is. Sockets that `work` opens belong to that namespace wherever they are used later,
/// so return a socket rather than staying in there. Blocking.
///
/// # Errors
/// As `setns`; what `work` answers is inside.
pub fn in_network_of<T: Send>(pidfd: impl AsFd + Sync, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, || {
            enter(&pidfd, Namespaces::NETWORK)?;
            Ok(work())
        })?;
        // A panic of `work` goes on here, as if it had been called directly.
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Leaves shared namespaces for new ones, with the calling process (one thread). `flags` are `CLONE_NEW…` numbers.
///
/// # Errors
/// As `unshare`.
pub fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: namespaces change what names mean, not memory; CLONE_FILES (the one flag that could break I/O safety of
    // other threads) is refused.
    let status = unsafe { libc::unshare(flags & !libc::CLONE_FILES) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
