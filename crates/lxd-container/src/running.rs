//! A running container, known by the descriptors of its two processes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use lxd_types::helper::ContainerRef;
use lxd_types::{Error, Kind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A running container: its init and its monitor. Cheap to clone; keep one per instance in the daemon's memory, so that
/// "does it run" is one `poll` (a microsecond) and nothing is ever asked by pid.
#[derive(Clone, Debug)]
pub struct Running {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    container: ContainerRef,
    init: i32,
    init_fd: OwnedFd,
    monitor: i32,
    monitor_fd: OwnedFd,
    pid_namespace: u64,
}

impl Running {
    /// Opens both processes; the monitor must be the parent of init.
    pub(crate) fn new(container: ContainerRef, init: i32, monitor: i32) -> io::Result<Self> {
        let init_fd = lxd_sys::process::pidfd(init)?;
        let monitor_fd = lxd_sys::process::pidfd(monitor)?;
        let namespaces = lxd_sys::namespace::pid_namespaces(init)?;
        let pid_namespace = namespaces.first().copied().unwrap_or_default();
        // Only now is it sure that the numbers were not of other processes when the descriptors were opened.
        if lxd_sys::process::parent_of(init)? != monitor {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(Self { inner: Arc::new(Inner { container, init, init_fd, monitor, monitor_fd, pid_namespace }) })
    }

    /// How liblxc finds it.
    pub fn container(&self) -> &ContainerRef {
        &self.inner.container
    }

    /// The pid of init in the daemon's pid namespace.
    pub fn init(&self) -> i32 {
        self.inner.init
    }

    /// The pid of the monitor.
    pub fn monitor(&self) -> i32 {
        self.inner.monitor
    }

    /// The pidfd of init, to enter its namespaces.
    pub fn init_fd(&self) -> BorrowedFd<'_> {
        self.inner.init_fd.as_fd()
    }

    /// The inode of its pid namespace: who is in it is in the container.
    pub fn pid_namespace(&self) -> u64 {
        self.inner.pid_namespace
    }

    /// Whether init lives.
    pub fn alive(&self) -> bool {
        !ended(&self.inner.init_fd)
    }

    /// Whether the monitor is gone: nothing of the container is left.
    pub fn gone(&self) -> bool {
        ended(&self.inner.monitor_fd)
    }

    /// Sends a signal to init.
    ///
    /// # Errors
    /// `ESRCH` when it has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        lxd_sys::process::signal(&self.inner.init_fd, signal)
    }

    /// A watch for the end of the container. Needs the async runtime.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn watch(&self) -> Result<Watch> {
        Watch::of(&self.inner.monitor_fd)
    }

    /// A watch for the end of init: nothing runs inside any more, but its monitor still cleans up. Needs the async runtime.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn watch_init(&self) -> Result<Watch> {
        Watch::of(&self.inner.init_fd)
    }
}

/// Waits for the end of a process of a container.
#[derive(Debug)]
pub struct Watch {
    fd: AsyncFd<OwnedFd>,
}

impl Watch {
    fn of(pidfd: &OwnedFd) -> Result<Self> {
        let failed = |error| Error::with_source(Kind::Internal, "Failed to watch the container", error);
        let fd = pidfd.try_clone().map_err(failed)?;
        // The successor of this function is unsafe because other types may close their descriptor early; an `OwnedFd` that we
        // never take out again cannot.
        #[expect(deprecated)]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE).map_err(failed)?;
        Ok(Self { fd })
    }

    /// Returns when the process has ended. May be cancelled and awaited again.
    pub async fn ended(&self) {
        // An error here means that the runtime shuts down: nobody will act on the answer.
        while let Ok(mut guard) = self.fd.readable().await {
            if ended(self.fd.get_ref()) {
                return;
            }
            guard.clear_ready();
        }
    }
}

fn ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}
