//! Waiting until something about the host's devices changes: files come or go in directories, or the kernel or udev says so.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Groups of events: the kernel's own, and udev's, which come when its notes are written.
const GROUPS: u32 = 1 | 2;

/// Changes of the host's devices.
#[derive(Debug)]
pub struct DeviceEvents {
    files: AsyncFd<OwnedFd>,
    events: AsyncFd<OwnedFd>,
    watched: BTreeMap<PathBuf, i32>,
}

impl DeviceEvents {
    /// Watches the kernel's events and no directory.
    ///
    /// # Errors
    /// The kernel gives no descriptors.
    // The successor of `AsyncFd::with_interest` is unsafe because other types may close their descriptor early; an
    // `OwnedFd` that is never taken out again cannot.
    #[expect(deprecated)]
    pub fn new() -> io::Result<Self> {
        let files = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let events =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        rustix::net::bind(&events, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self {
            files: AsyncFd::with_interest(files, Interest::READABLE)?,
            events: AsyncFd::with_interest(events, Interest::READABLE)?,
            watched: BTreeMap::new(),
        })
    }

    /// Watches exactly these directories from now on; of one that is not there the nearest one above it.
    ///
    /// # Errors
    /// The kernel has no watches left.
    pub fn watch(&mut self, directories: impl IntoIterator<Item = PathBuf>) -> io::Result<()> {
        let wanted: Vec<PathBuf> = directories.into_iter().filter_map(|path| existing(&path)).collect();
        let gone: Vec<PathBuf> = self.watched.keys().filter(|path| !wanted.contains(path)).cloned().collect();
        for path in gone {
            if let Some(watch) = self.watched.remove(&path) {
                // It is gone by itself when the directory is.
                let _ = inotify::remove_watch(self.files.get_ref(), watch);
            }
        }
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
        for path in wanted {
            match inotify::add_watch(self.files.get_ref(), &path, flags | WatchFlags::DELETE_SELF) {
                Ok(watch) => drop(self.watched.insert(path, watch)),
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for the next change; several that came together are one.
    ///
    /// # Errors
    /// As the system calls.
    pub async fn next(&mut self) -> io::Result<()> {
        tokio::select! {
            ready = self.files.readable() => ready?.retain_ready(),
            ready = self.events.readable() => ready?.retain_ready(),
        }
        drain(&self.files, |fd| {
            let mut space = [MaybeUninit::<u8>::uninit(); 4096];
            inotify::Reader::new(fd, &mut space).next().map(drop)
        })
        .await?;
        drain(&self.events, |fd| {
            let mut space = [0_u8; 8192];
            match rustix::net::recv(fd, &mut space, RecvFlags::empty()) {
                // Some were lost: that is a change, too.
                Err(rustix::io::Errno::NOBUFS) => Ok(()),
                other => other.map(drop),
            }
        })
        .await
    }
}

/// Reads until nothing is left.
async fn drain(fd: &AsyncFd<OwnedFd>, read: impl Fn(&OwnedFd) -> rustix::io::Result<()>) -> io::Result<()> {
    loop {
        match read(fd.get_ref()) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Nothing is left: the next wait has to wait.
    if let Some(ready) = futures_util::FutureExt::now_or_never(fd.readable()) {
        ready?.clear_ready();
    }
    Ok(())
}

/// The path, or the nearest directory above it that is there.
fn existing(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|path| path.is_dir()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_that_come_and_go_are_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let mut events = DeviceEvents::new().unwrap();
        let below = temp.path().join("a/b");
        events.watch([below.clone()]).unwrap();
        std::fs::create_dir_all(&below).unwrap();
        events.next().await.unwrap();
        events.watch([below.clone()]).unwrap();
        std::fs::write(below.join("x"), "").unwrap();
        events.next().await.unwrap();
        events.watch([]).unwrap();
        assert!(events.watched.is_empty());
    }
}
