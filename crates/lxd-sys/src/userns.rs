//! User namespaces that exist only for their id map: what an id-mapped mount takes its map from.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use lxd_types::idmap::{IdKind, IdMap};

/// A user namespace with an id map and no process in it.
#[derive(Debug)]
pub struct UserNamespace {
    fd: OwnedFd,
}

impl UserNamespace {
    /// Makes a user namespace with this map, which must not be empty. Needs root.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL` for a map that the kernel refuses (overlaps, more than 340 lines).
    pub fn new(map: &IdMap) -> io::Result<Self> {
        let child = Child::clone_into_new_user_namespace()?;
        for (kind, file) in [(IdKind::Uid, "uid_map"), (IdKind::Gid, "gid_map")] {
            std::fs::write(format!("/proc/{}/{file}", child.pid), map_lines(map, kind))?;
        }
        Ok(Self { fd: crate::namespace::open(child.pid, "user")? })
    }
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The lines of `/proc/PID/uid_map` or `gid_map`: inside, host, count.
pub fn map_lines(map: &IdMap, kind: IdKind) -> String {
    let entries = map.entries().iter().filter(|entry| entry.kind == kind);
    entries.map(|entry| format!("{} {} {}\n", entry.inside, entry.host, entry.count)).collect()
}

/// A process that only waits to be killed, as the owner of a namespace.
struct Child {
    pid: i32,
    pidfd: OwnedFd,
}

impl Child {
    fn clone_into_new_user_namespace() -> io::Result<Self> {
        let mut pidfd: c_int = -1;
        let flags = libc::CLONE_NEWUSER | libc::CLONE_PIDFD;
        // SAFETY: without CLONE_VM this is a fork: the child has a copy of our memory and touches none of it but its own
        // stack; it makes two system calls and never returns. Arguments of the raw call in the order of the kernel:
        // flags, stack (null: the same), where to put the pidfd, and two that are not used.
        let pid = unsafe {
            let none = std::ptr::null_mut::<libc::c_void>();
            raw_clone(flags as libc::c_ulong, none, &raw mut pidfd, none, 0)
        };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid == 0 {
            wait_to_be_killed();
        }
        // SAFETY: the kernel stored a new descriptor there.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Self { pid: pid as i32, pidfd })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has no exit signal and nobody else waits for it: kill and take its remains (`__WALL` for the missing
        // signal). Both can fail only if it is gone.
        let _ = crate::process::signal(&self.pidfd, libc::SIGKILL);
        // SAFETY: a null status is allowed.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL) };
    }
}

/// The child's whole life.
fn wait_to_be_killed() -> ! {
    // SAFETY: two system calls without pointers; no library state is used (another thread may have held any lock when we
    // were copied).
    unsafe {
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        loop {
            libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0);
        }
    }
}

/// `clone` with the argument order of this architecture.
///
/// # Safety
/// As a fork without the C library's knowledge: the child may only make system calls.
unsafe fn raw_clone(
    flags: libc::c_ulong,
    stack: *mut libc::c_void,
    pidfd: *mut c_int,
    child_tid: *mut libc::c_void,
    tls: libc::c_ulong,
) -> libc::c_long {
    // SAFETY: the caller's.
    unsafe {
        #[cfg(target_arch = "s390x")]
        return libc::syscall(libc::SYS_clone, stack, flags, pidfd, child_tid, tls);
        #[cfg(not(target_arch = "s390x"))]
        libc::syscall(libc::SYS_clone, flags, stack, pidfd, child_tid, tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_its_map() {
        let map = IdMap::range(100_000, 65_536).unwrap();
        let namespace = UserNamespace::new(&map).unwrap();
        assert!(rustix::fs::fstat(&namespace).is_ok());
        assert_eq!(map_lines(&map, IdKind::Gid), "0 100000 65536\n");
    }
}
