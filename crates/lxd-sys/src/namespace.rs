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
