//! A second process of a small program, for what needs other rights than the first keeps.

use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work` in a copy of this process, with a socket to it, and reads from the other end with `listen`. The copy ends with
/// `work`, or with this process; it is waited for.
///
/// Only for processes with one thread: others may hold locks that nobody would let go in the copy.
///
/// # Errors
/// This process has more threads, or cannot be copied; else what `listen` answers.
pub fn in_copy<T>(
    work: impl FnOnce(&UnixStream),
    listen: impl FnOnce(&UnixStream) -> io::Result<T>,
) -> io::Result<T> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("A process with several threads cannot be copied"));
    }
    let (ours, theirs) = UnixStream::pair()?;
    let parent = std::process::id().cast_signed();
    // SAFETY: this process has one thread, so the copy is whole: no lock is held by a thread that is missing in it.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        drop(ours);
        let done = catch_unwind(AssertUnwindSafe(|| {
            if crate::process::die_with_parent(parent).is_ok() {
                work(&theirs);
            }
        }));
        // SAFETY: ends this process at once; nothing of the original's (exit handlers, buffers) is run twice.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    drop(theirs);
    let heard = listen(&ours);
    drop(ours);
    // SAFETY: a null status is allowed. The child is ours and not waited for anywhere else.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    heard
}
