//! Replacing a file so that a reader, or the next start after a power loss, sees the old or the new one.

use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::{BENEATH, Dir, open_beneath};
use std::os::fd::AsFd;

impl Dir {
    /// Writes `content` to `path`: temporary file beside it, fsync, rename, fsync of the directory. The mode is
    /// exactly `mode`; the owner is the caller. An existing file (or symbolic link) is replaced, not written.
    ///
    /// # Errors
    /// As the system calls; the temporary file is removed then.
    pub fn write_atomic(&self, path: impl AsRef<Path>, content: &[u8], mode: u32) -> io::Result<()> {
        self.replace(path.as_ref(), content, mode, Durable::Yes)
    }

    /// As [`Dir::write_atomic`] without fsync: for run-time files that are made anew after a reboot.
    ///
    /// # Errors
    /// As the system calls.
    pub fn write_replace(&self, path: impl AsRef<Path>, content: &[u8], mode: u32) -> io::Result<()> {
        self.replace(path.as_ref(), content, mode, Durable::No)
    }

    fn replace(&self, path: &Path, content: &[u8], mode: u32, durable: Durable) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let temporary = temporary_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let fd = open_beneath(parent.as_fd(), Path::new(&temporary), flags, 0o600, BENEATH)?;
        let mut file = std::fs::File::from(fd);
        let written = (|| {
            file.write_all(content)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
            if durable == Durable::Yes {
                file.sync_data()?;
            }
            rustix::fs::renameat(&parent, &*temporary, &parent, name)?;
            if durable == Durable::Yes {
                // `parent` is O_PATH and cannot be synced itself.
                let dir = open_beneath(parent.as_fd(), Path::new("."), OFlags::DIRECTORY, 0, BENEATH)?;
                rustix::fs::fsync(dir)?;
            }
            Ok(())
        })();
        if written.is_err() {
            // The first error is the interesting one; the leftover has a name that nobody looks for.
            let _ = rustix::fs::unlinkat(&parent, &*temporary, AtFlags::empty());
        }
        written
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Durable {
    Yes,
    No,
}

/// A name that is free in practice: `.tmp-` with pid and a counter; `O_EXCL` guards the rest.
fn temporary_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.subsec_nanos());
    format!(".tmp-{}-{}-{nanos:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
