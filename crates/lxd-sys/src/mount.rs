//! The new mount API: mounts as descriptors, which are put somewhere when they are finished.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use lxd_types::idmap::IdMap;
pub use rustix::mount::{MountFlags, UnmountFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use crate::{Dir, UserNamespace};

/// When a mount writes times of access.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccessTimes {
    /// Now and then, as the kernel does by itself.
    Relative,
    /// At each access.
    Strict,
    /// Never.
    Never,
}

/// What is changed on a mount; see `mount_setattr(2)`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Attributes {
    /// Not writable through this mount.
    pub read_only: bool,
    /// No set-user-id programs.
    pub no_suid: bool,
    /// Device nodes do not work.
    pub no_dev: bool,
    /// Programs cannot be executed.
    pub no_exec: bool,
    /// When times of access are written; as it was when missing.
    pub access_times: Option<AccessTimes>,
    /// No times of access of directories.
    pub no_dir_access_times: bool,
    /// Make it private (no propagation) whatever it was.
    pub private: bool,
    /// What is mounted at its origin later appears in it, and never the other way.
    pub slave: bool,
    /// Also every mount below.
    pub recursive: bool,
}

/// A copy of the mount that holds `path` below `dir`, with `path` as its root, not yet mounted anywhere. `recursive` takes
/// the mounts below along.
///
/// # Errors
/// As `openat2` and `open_tree`.
pub fn clone_tree(dir: &Dir, path: impl AsRef<Path>, recursive: bool) -> io::Result<OwnedFd> {
    let at = dir.open_raw(path, crate::dir::OFlags::PATH, 0)?;
    clone_fd(at, recursive)
}

/// As [`clone_tree`] for a file or directory that is open already.
///
/// # Errors
/// As `open_tree`.
pub fn clone_fd(at: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(at, "", flags)?)
}

/// Mounts the file system of an open block device, not yet anywhere.
///
/// # Errors
/// `InvalidInput` when the device holds no file system of this kind (or does not know an option), and as the system calls.
pub fn filesystem(
    device: impl AsFd,
    kind: &str,
    read_only: bool,
    options: &[(String, Option<String>)],
) -> io::Result<OwnedFd> {
    use rustix::mount::{self, FsMountFlags, FsOpenFlags, MountAttrFlags};
    let fs = mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What was opened is what is mounted, whatever its path means by now.
    let source = format!("/proc/self/fd/{}", device.as_fd().as_raw_fd());
    mount::fsconfig_set_string(&fs, "source", source)?;
    if read_only {
        mount::fsconfig_set_flag(&fs, "ro")?;
    }
    for (name, value) in options {
        match value {
            Some(value) => mount::fsconfig_set_string(&fs, name, value)?,
            None => mount::fsconfig_set_flag(&fs, name)?,
        }
    }
    mount::fsconfig_create(&fs)?;
    Ok(mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// Puts a detached mount over what `target` (an open file or directory, `O_PATH` is enough) names.
///
/// # Errors
/// As `move_mount`.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// Changes a mount, detached or not.
///
/// # Errors
/// As `mount_setattr`.
pub fn set_attributes(mount: impl AsFd, what: Attributes) -> io::Result<()> {
    let mut set = 0;
    for (wanted, bit) in [
        (what.read_only, libc::MOUNT_ATTR_RDONLY),
        (what.no_suid, libc::MOUNT_ATTR_NOSUID),
        (what.no_dev, libc::MOUNT_ATTR_NODEV),
        (what.no_exec, libc::MOUNT_ATTR_NOEXEC),
        (what.access_times == Some(AccessTimes::Never), libc::MOUNT_ATTR_NOATIME),
        (what.access_times == Some(AccessTimes::Strict), libc::MOUNT_ATTR_STRICTATIME),
        (what.no_dir_access_times, libc::MOUNT_ATTR_NODIRATIME),
    ] {
        set |= if wanted { bit } else { 0 };
    }
    let propagation = match (what.private, what.slave) {
        (true, _) => libc::MS_PRIVATE,
        (false, true) => libc::MS_SLAVE,
        (false, false) => 0,
    };
    // These are one number, not flags: it must be cleared to be set.
    let clear = what.access_times.map_or(0, |_| libc::MOUNT_ATTR__ATIME);
    let attr = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    setattr(mount, attr, what.recursive)
}

/// Makes a detached mount show its owners through an id map: `inside` ids on disk appear as the host ids of `map`, so
/// that a container with this map sees them as they are on disk.
///
/// # Errors
/// `EINVAL` when the file system cannot do it, or the mount is attached already.
pub fn set_idmap(mount: impl AsFd, namespace: &UserNamespace, recursive: bool) -> io::Result<()> {
    set_idmap_of(mount, namespace.as_fd(), recursive)
}

/// As [`set_idmap`], with the map that a user namespace (`/proc/PID/ns/user`) has.
///
/// # Errors
/// As there.
pub fn set_idmap_of(mount: impl AsFd, namespace: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    // A descriptor is never negative.
    let userns_fd = namespace.as_raw_fd().unsigned_abs().into();
    let attr = libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd };
    setattr(mount, attr, recursive)
}

fn setattr(mount: impl AsFd, attr: libc::mount_attr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let fd = mount.as_fd().as_raw_fd();
    // SAFETY: an empty C string, and a structure of the size that is given.
    let status = unsafe {
        let size = size_of::<libc::mount_attr>();
        libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw const attr, size)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the file system of `dir` can be mounted with an id map on this kernel. Tries it (with a map that is not empty:
/// newer kernels refuse an empty one); nothing stays mounted.
pub fn idmap_supported(dir: &Dir) -> bool {
    let try_it = || -> io::Result<()> {
        let map = IdMap::range(100_000, 65_536).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let tree = clone_tree(dir, ".", false)?;
        set_idmap(&tree, &UserNamespace::new(&map)?, false)
    };
    try_it().is_ok()
}

/// Bind-mounts `source` (below `source_dir`) over `target` (below `target_dir`), neither path leaving its directory.
///
/// # Errors
/// As the system calls.
pub fn bind(
    source_dir: &Dir,
    source: impl AsRef<Path>,
    target_dir: &Dir,
    target: impl AsRef<Path>,
    what: Attributes,
) -> io::Result<()> {
    let tree = clone_tree(source_dir, source, what.recursive)?;
    set_attributes(&tree, what)?;
    attach(&tree, target_dir.open_raw(target, crate::dir::OFlags::PATH, 0)?)
}

/// Unmounts what is mounted over `path` below `dir`, lazily when `lazy`. Not mounted (`EINVAL`) is an error.
///
/// # Errors
/// As `umount2`.
pub fn unmount(dir: &Dir, path: impl AsRef<Path>, lazy: bool) -> io::Result<()> {
    let fd = dir.open_raw(path, crate::dir::OFlags::PATH, 0)?;
    let mut flags = UnmountFlags::empty();
    if lazy {
        flags |= UnmountFlags::DETACH;
    }
    // Our own descriptor would keep the mount busy, so only its path goes on; with NOFOLLOW the last component cannot
    // have become a link, and what is above it is what the descriptor's link names now.
    let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    drop(fd);
    Ok(rustix::mount::unmount(path, flags | UnmountFlags::NOFOLLOW)?)
}

/// Leaves the mount namespace, and those of `spaces` (`CLONE_NEW…` numbers), for new ones in which `dir` is the root and nothing of
/// the old tree can be reached by path. The working directory is the new root. Only in a process with one thread, and one
/// that gives up `CAP_SYS_CHROOT` and `CAP_SYS_ADMIN` afterwards.
///
/// # Errors
/// As the system calls.
pub fn become_root(dir: impl AsFd, spaces: i32) -> io::Result<()> {
    // Before leaving: a mount of another namespace cannot be copied.
    let tree = clone_fd(&dir, false)?;
    crate::namespace::unshare(spaces | libc::CLONE_NEWNS)?;
    keep_to_ourselves()?;
    attach(&tree, rustix::fs::open("/", crate::dir::OFlags::PATH, crate::dir::Mode::empty())?)?;
    rustix::process::fchdir(&tree)?;
    // Old and new root at the same place: the old one then lies on top and is taken off.
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => rustix::mount::unmount(".", UnmountFlags::DETACH)?,
        // In a container the mount below the root may be shared, and nobody can reach it to change that. The old root
        // then stays, covered by the new one.
        Err(rustix::io::Errno::INVAL) => rustix::process::chroot(".")?,
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::process::chdir("/")?)
}

/// As [`become_root`], but with a view of the old tree in which everything is read-only but `dir`, which appears at `place`.
///
/// # Errors
/// As the system calls.
pub fn read_only_but(dir: impl AsFd, place: &str, spaces: i32) -> io::Result<()> {
    let tree = clone_fd(&dir, false)?;
    read_only(spaces)?;
    attach(&tree, rustix::fs::open(place, crate::dir::OFlags::PATH, crate::dir::Mode::empty())?)?;
    Ok(rustix::process::chdir("/")?)
}

/// A mount namespace and others (`spaces`) of its own for this process, in which everything is read-only.
///
/// # Errors
/// As the system calls.
pub fn read_only(spaces: i32) -> io::Result<()> {
    crate::namespace::unshare(spaces | libc::CLONE_NEWNS)?;
    keep_to_ourselves()?;
    let root = rustix::fs::open("/", crate::dir::OFlags::PATH, crate::dir::Mode::empty())?;
    set_attributes(&root, Attributes { read_only: true, recursive: true, ..Attributes::default() })
}

/// No mount of this namespace shows elsewhere.
pub(crate) fn keep_to_ourselves() -> io::Result<()> {
    use rustix::mount::MountPropagationFlags;
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn an_idmapped_bind_mount_shows_mapped_owners() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        if !idmap_supported(&dir) {
            return;
        }
        dir.mkdir("source", 0o755).unwrap();
        dir.create("source/f", 0o644).unwrap();
        dir.mkdir("target", 0o755).unwrap();
        let tree = clone_tree(&dir, "source", false).unwrap();
        let map = IdMap::range(100_000, 65_536).unwrap();
        set_idmap(&tree, &UserNamespace::new(&map).unwrap(), false).unwrap();
        attach(&tree, dir.open_raw("target", crate::dir::OFlags::PATH, 0).unwrap()).unwrap();
        assert_eq!(std::fs::metadata(temp.path().join("target/f")).unwrap().uid(), 100_000);
        unmount(&dir, "target", false).or_else(|_| unmount(&dir, "target", true)).unwrap();
        assert!(dir.read_dir("target").unwrap().is_empty());
    }
}
