//! Metadata of what is below a directory: never through a symbolic link.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, IFlags, Mode, OFlags, Stat, Uid, XattrFlags};

use super::{Dir, FileKind};

impl Dir {
    /// `lstat`: of the link itself where it is one. `"."` gives this directory.
    ///
    /// # Errors
    /// As the system call.
    pub fn stat(&self, path: impl AsRef<Path>) -> io::Result<Stat> {
        let fd = self.open_raw(path, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        Ok(rustix::fs::fstat(fd)?)
    }

    /// Asks the file system to put the subdirectories far apart, as they have nothing to do with each other (`chattr +T`;
    /// ext4 otherwise fills one block group after the other).
    ///
    /// # Errors
    /// Other file systems refuse it.
    pub fn spread_subdirectories(&self) -> io::Result<()> {
        let flags = rustix::fs::ioctl_getflags(self)?;
        if flags.contains(IFlags::TOPDIR) {
            return Ok(());
        }
        Ok(rustix::fs::ioctl_setflags(self, flags | IFlags::TOPDIR)?)
    }

    /// The kind of what is at `path`, or none when nothing is there.
    ///
    /// # Errors
    /// Everything but `NotFound`.
    pub fn kind(&self, path: impl AsRef<Path>) -> io::Result<Option<FileKind>> {
        let path = path.as_ref();
        let found = match self.parent(path) {
            Ok((parent, name)) => rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok(Some(self.stat_kind(path)?));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match found {
            Ok(stat) => Ok(Some(FileKind::of_mode(stat.st_mode))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether anything (a dangling symbolic link too) is at `path`.
    ///
    /// # Errors
    /// Everything but `NotFound`.
    pub fn exists(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        Ok(self.kind(path)?.is_some())
    }

    /// The text of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL` when it is not one.
    pub fn read_link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let (parent, name) = self.parent(path.as_ref())?;
        let text = rustix::fs::readlinkat(&parent, name, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(text.into_bytes())))
    }

    /// Changes the owner, of a symbolic link itself too.
    ///
    /// # Errors
    /// As the system call.
    pub fn chown(&self, path: impl AsRef<Path>, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        match self.parent(path.as_ref()) {
            Ok((parent, name)) => {
                Ok(rustix::fs::chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
            }
            Err(_) => {
                let fd = self.open_raw(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
                Ok(rustix::fs::fchown(fd, Some(uid), Some(gid))?)
            }
        }
    }

    /// Changes the mode of a file or directory (not of a symbolic link, which is refused).
    ///
    /// # Errors
    /// As the system call.
    pub fn chmod(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        let fd = self.open_raw(path, OFlags::PATH, 0)?;
        // An O_PATH descriptor cannot be fchmod'ed; its /proc entry can, and names exactly this file.
        rustix::fs::chmod(proc_path(&fd), Mode::from_raw_mode(mode & 0o7777))?;
        Ok(())
    }

    /// Sets an extended attribute of a file or directory.
    ///
    /// # Errors
    /// As the system call.
    pub fn set_xattr(&self, path: impl AsRef<Path>, name: &str, value: &[u8]) -> io::Result<()> {
        let fd = self.open_raw(path, OFlags::PATH, 0)?;
        Ok(rustix::fs::setxattr(proc_path(&fd), name, value, XattrFlags::empty())?)
    }

    /// Reads an extended attribute; none when it is not set.
    ///
    /// # Errors
    /// As the system call.
    pub fn xattr(&self, path: impl AsRef<Path>, name: &str) -> io::Result<Option<Vec<u8>>> {
        let fd = self.open_raw(path, OFlags::PATH, 0)?;
        let mut value = vec![0_u8; 64 << 10];
        match rustix::fs::getxattr(proc_path(&fd), name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                Ok(Some(value))
            }
            Err(rustix::io::Errno::NODATA) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes free for root and bytes in all of the file system that holds this directory.
    ///
    /// # Errors
    /// As `fstatfs`; may hang on a dead network file system.
    pub fn space(&self) -> io::Result<Space> {
        let fs = rustix::fs::fstatvfs(self.as_fd())?;
        Ok(Space {
            total: fs.f_blocks * fs.f_frsize,
            free: fs.f_bfree * fs.f_frsize,
            inodes_total: fs.f_files,
            inodes_free: fs.f_ffree,
        })
    }

    fn stat_kind(&self, path: &Path) -> io::Result<FileKind> {
        Ok(FileKind::of_mode(self.stat(path)?.st_mode))
    }
}

/// What a file system has and has left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Space {
    /// Size in bytes.
    pub total: u64,
    /// Free bytes, those reserved for root included.
    pub free: u64,
    /// Number of inodes (0 where the file system has no fixed number).
    pub inodes_total: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// `/proc/self/fd/N` of a descriptor.
pub(super) fn proc_path(fd: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    let mut path = PathBuf::from("/proc/self/fd");
    path.push(OsStr::new(&fd.as_raw_fd().to_string()));
    path
}
