//! Files below a directory descriptor, never by a path that a tenant can bend.
//!
//! [`Dir`] is a descriptor of a directory. Every name given to its methods is resolved by `openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`: a `..` that leaves the directory, an absolute
//! path and *any* symbolic link on the way (the last component included) are refused, so the content of an image,
//! a container or a backup cannot lead the daemon elsewhere (security rule R1).
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use lxd_sys::Dir;
//! let pool = Dir::open("/var/lib/lxd/storage-pools/default")?; // a path that only root controls
//! pool.mkdir_all("containers/c1", 0o711)?;
//! let volume = pool.open_dir("containers/c1")?;
//! volume.write_atomic("backup.yaml", b"container: {}\n", 0o400)?;
//! let text = volume.read_limited("backup.yaml", 1 << 20)?; // at most 1 MiB, else an error
//! volume.rename("old", "new")?;
//! pool.remove_tree("containers/c1")?;
//! # Ok(())
//! # }
//! ```
//!
//! Errors are plain `std::io::Error`s of the system call: `ELOOP` (a symbolic link was in the way), `EXDEV`
//! ([`std::io::ErrorKind::CrossesDevices`], the path leaves the directory), `NotFound`, `AlreadyExists` and so on.
//! All calls block: use them in `spawn_blocking` when the tree may be large or the disk slow.

mod atomic;
mod attr;
mod read;
mod tree;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

pub use read::{Entry, FileKind};
pub use rustix::fs::{Mode, OFlags, ResolveFlags, Stat};

/// How paths are resolved below a [`Dir`].
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A directory that stays the same whatever happens to its path; see the module's text.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

impl Dir {
    /// Opens a directory by a path that only root controls (`LXD_DIR/…`); symbolic links in it are followed, but
    /// not in its last component.
    ///
    /// # Errors
    /// `NotFound`, `ENOTDIR` (also for a symbolic link), permission errors.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        Ok(Self { fd: rustix::fs::open(path.as_ref(), flags, Mode::empty())? })
    }

    /// Takes a descriptor that is known to be a directory (received over a socket, from `open_tree`, …).
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// A second descriptor of the same directory.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()? })
    }

    /// `/proc/self/fd/N`: a path for programs and calls of *this process* that want one. It stays valid as long as
    /// this value lives; never hand it to a program that runs later or elsewhere without passing the descriptor.
    pub fn proc_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// Opens a directory below this one (`"."` opens it anew).
    ///
    /// # Errors
    /// `ENOTDIR`, `ELOOP`, `NotFound`.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { fd: self.open_raw(path, OFlags::DIRECTORY | OFlags::RDONLY, 0)? })
    }

    /// Opens a regular file for reading. Devices, pipes and sockets are refused (`EINVAL`), so that a hostile
    /// tree can neither block us nor make us touch hardware.
    ///
    /// # Errors
    /// As the system call; `EINVAL` when it is not a regular file.
    pub fn open_file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.regular(self.open_raw(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, 0)?)
    }

    /// Opens an existing regular file for reading and writing.
    ///
    /// # Errors
    /// As [`Dir::open_file`].
    pub fn open_file_rw(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.regular(self.open_raw(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY, 0)?)
    }

    /// Opens a regular file for appending, creating it with `mode`.
    ///
    /// # Errors
    /// As [`Dir::open_file`].
    pub fn append(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.regular(self.open_raw(path, flags, mode)?)
    }

    /// Creates or truncates a regular file with `mode` (the umask applies to a new file).
    ///
    /// # Errors
    /// As [`Dir::open_file`].
    pub fn create(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.regular(self.open_raw(path, flags, mode)?)?;
        file.set_len(0)?; // Only now is it known to be a regular file.
        Ok(file)
    }

    /// Creates a file that must not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, and as the system call.
    pub fn create_new(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(self.open_raw(path, flags, mode)?))
    }

    /// Opens with flags of your own (always `O_CLOEXEC`), resolved as everywhere in this type.
    ///
    /// # Errors
    /// As `openat2`.
    pub fn open_raw(&self, path: impl AsRef<Path>, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        open_beneath(self.fd.as_fd(), path.as_ref(), flags, mode, BENEATH)
    }

    /// Opens something through links that stay below this directory; one that leads out is refused (`RESOLVE_BENEATH`).
    /// For sources of disks that a tenant may arrange himself.
    ///
    /// # Errors
    /// I/O errors; `CrossesDevices` for what leads out.
    pub fn open_beneath(&self, path: impl AsRef<Path>, flags: OFlags) -> io::Result<OwnedFd> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        open_beneath(self.fd.as_fd(), path.as_ref(), flags, 0, how)
    }

    /// Opens a path as the *container* sees it: symbolic links are followed, but this directory is `/` for them
    /// (`RESOLVE_IN_ROOT`). For the files API, where `/etc/mtab` may be a link inside the container.
    ///
    /// # Errors
    /// As `openat2`.
    pub fn open_in_root(&self, path: impl AsRef<Path>, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        open_beneath(self.fd.as_fd(), path.as_ref(), flags, mode, how)
    }

    /// Makes a directory; the mode is set exactly (whatever the umask).
    ///
    /// # Errors
    /// `AlreadyExists`, and as the system call.
    pub fn mkdir(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode & 0o777))?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let made = open_beneath(parent.as_fd(), Path::new(name), flags, 0, BENEATH)?;
        rustix::fs::fchmod(&made, Mode::from_raw_mode(mode & 0o7777))?;
        Ok(())
    }

    /// Makes a directory and those above it where they are missing; existing ones keep their mode. New ones get
    /// `mode`.
    ///
    /// # Errors
    /// As the system call; `ENOTDIR` when something that is not a directory is in the way.
    pub fn mkdir_all(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        let path = path.as_ref();
        let mut here = PathBuf::new();
        for part in path.components() {
            match part {
                Component::CurDir => continue,
                Component::Normal(name) => here.push(name),
                _ => return Err(io::Error::from_raw_os_error(libc::EXDEV)),
            }
            match self.mkdir(&here, mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
        self.open_raw(path_or_dot(path), OFlags::DIRECTORY | OFlags::PATH, 0).map(drop)
    }

    /// Renames within this directory, replacing a file (or empty directory) at `to`.
    ///
    /// # Errors
    /// As the system call.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.rename_to(from, self, to)
    }

    /// Renames to another directory of the same file system, replacing what is there.
    ///
    /// # Errors
    /// As the system call.
    pub fn rename_to(&self, from: impl AsRef<Path>, dir: &Dir, to: impl AsRef<Path>) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(from.as_ref())?;
        let (to_parent, to_name) = dir.parent(to.as_ref())?;
        Ok(rustix::fs::renameat(&from_parent, from_name, &to_parent, to_name)?)
    }

    /// Renames only when nothing is at `to`.
    ///
    /// # Errors
    /// `AlreadyExists`, and as the system call.
    pub fn rename_new(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(from.as_ref())?;
        let (to_parent, to_name) = self.parent(to.as_ref())?;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(&from_parent, from_name, &to_parent, to_name, flags)?)
    }

    /// Swaps what is at two paths, in one step.
    ///
    /// # Errors
    /// As the system call.
    pub fn exchange(&self, one: impl AsRef<Path>, other: impl AsRef<Path>) -> io::Result<()> {
        let (one_parent, one_name) = self.parent(one.as_ref())?;
        let (other_parent, other_name) = self.parent(other.as_ref())?;
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        Ok(rustix::fs::renameat_with(&one_parent, one_name, &other_parent, other_name, flags)?)
    }

    /// Makes a device node that nobody but the owner may use yet.
    ///
    /// # Errors
    /// As `mknodat`.
    pub fn make_node(
        &self,
        name: impl AsRef<Path>,
        block: bool,
        (major, minor): (u32, u32),
    ) -> io::Result<()> {
        use rustix::fs::{FileType, Mode, makedev, mknodat};
        let (parent, name) = self.parent(name.as_ref())?;
        let kind = if block { FileType::BlockDevice } else { FileType::CharacterDevice };
        Ok(mknodat(&parent, name, kind, Mode::RUSR | Mode::WUSR, makedev(major, minor))?)
    }

    /// Removes a file, symbolic link, device node, socket (not a directory).
    ///
    /// # Errors
    /// As the system call.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        Ok(rustix::fs::unlinkat(&parent, name, rustix::fs::AtFlags::empty())?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `DirectoryNotEmpty`, and as the system call.
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        Ok(rustix::fs::unlinkat(&parent, name, rustix::fs::AtFlags::REMOVEDIR)?)
    }

    /// Makes a symbolic link at `path` with the text `target` (which is not resolved).
    ///
    /// # Errors
    /// `AlreadyExists`, and as the system call.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = self.parent(path.as_ref())?;
        Ok(rustix::fs::symlinkat(target.as_ref(), &parent, name)?)
    }

    /// Makes a hard link at `path` to the file at `existing`, both below this directory.
    ///
    /// # Errors
    /// As the system call.
    pub fn hard_link(&self, existing: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(existing.as_ref())?;
        let (to_parent, to_name) = self.parent(path.as_ref())?;
        let flags = rustix::fs::AtFlags::empty();
        Ok(rustix::fs::linkat(&from_parent, from_name, &to_parent, to_name, flags)?)
    }

    /// Writes what is cached of this directory's entries to disk (after a rename that must survive power loss).
    ///
    /// # Errors
    /// `EIO`.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// The directory that holds `path`'s last component, and that component. The last one may be anything but
    /// `.`, `..` and empty.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let name = match path.components().next_back() {
            Some(Component::Normal(name)) => name,
            _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        let above = path.parent().map_or(Path::new("."), path_or_dot);
        Ok((self.open_raw(above, OFlags::DIRECTORY | OFlags::PATH, 0)?, name))
    }

    /// Refuses what is not a regular file and takes `O_NONBLOCK` off again.
    fn regular(&self, fd: OwnedFd) -> io::Result<File> {
        let stat = rustix::fs::fstat(&fd)?;
        if FileKind::of_mode(stat.st_mode) != FileKind::File {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK)?;
        Ok(File::from(fd))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.fd
    }
}

/// An empty relative path means the directory itself.
fn path_or_dot(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// `openat2`, again when the kernel could not be sure about a `..` because of a rename elsewhere.
pub(crate) fn open_beneath(
    fd: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: u32,
    how: ResolveFlags,
) -> io::Result<OwnedFd> {
    // The kernel refuses a mode without O_CREAT or O_TMPFILE.
    let creates = flags.intersects(OFlags::CREATE | OFlags::TMPFILE);
    let mode = if creates { Mode::from_raw_mode(mode & 0o7777) } else { Mode::empty() };
    for _ in 0..64 {
        match rustix::fs::openat2(fd, path_or_dot(path), flags | OFlags::CLOEXEC, mode, how) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

#[cfg(test)]
mod tests;
