//! New mounts of file systems, made step by step (`fsopen`), for somebody who could not make them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::mount::{
    OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::Dir;
use crate::mount::{attach, keep_to_ourselves};

/// A file system to be mounted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FileSystem {
    /// Its type: `ext4`.
    pub kind: String,
    /// What is mounted: the path of a device, or what the type wants.
    pub source: String,
    /// Options of the type and of the superblock: a name alone, or with a value.
    pub options: Vec<(String, Option<String>)>,
    /// Attributes of the mount (`MOUNT_ATTR_…` numbers).
    pub attributes: u32,
}

impl FileSystem {
    /// The mount, not yet visible anywhere. Paths are looked up from the root of this process.
    ///
    /// # Errors
    /// As `fsopen`, `fsconfig` and `fsmount`; `ENODEV` for a type that the kernel does not have.
    pub fn mount(&self) -> io::Result<OwnedFd> {
        let context = fsopen(self.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
        if !self.source.is_empty() {
            fsconfig_set_string(&context, "source", self.source.as_str())?;
        }
        for (name, value) in &self.options {
            match value {
                Some(value) => fsconfig_set_string(&context, name.as_str(), value.as_str())?,
                None => fsconfig_set_flag(&context, name.as_str())?,
            }
        }
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::from_bits_retain(self.attributes);
        Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
    }
}

/// Leaves the mount namespace for a new one with an empty directory in memory as its root: no path leads anywhere but to what
/// is made there. Only in a process with one thread.
///
/// # Errors
/// As the system calls.
pub fn empty_root() -> io::Result<Dir> {
    let root = FileSystem { kind: "tmpfs".to_owned(), ..FileSystem::default() }.mount()?;
    crate::namespace::unshare(libc::CLONE_NEWNS)?;
    keep_to_ourselves()?;
    attach(&root, rustix::fs::open("/", crate::dir::OFlags::PATH, crate::dir::Mode::empty())?)?;
    rustix::process::fchdir(&root)?;
    rustix::process::chroot(".")?;
    Ok(Dir::from_fd(root))
}

/// A copy of a mount whose attributes ("no devices" above all) nobody but the host's root can take away any more, not even the
/// root of the container that gets it. Only in a process with one thread; it ends in other namespaces than before and with
/// hardly any rights, so use [`crate::fork::in_copy`].
///
/// # Errors
/// As the system calls.
pub fn locked(mount: impl AsFd) -> io::Result<OwnedFd> {
    crate::namespace::unshare(libc::CLONE_NEWNS)?;
    keep_to_ourselves()?;
    attach(&mount, rustix::fs::open("/", crate::dir::OFlags::PATH, crate::dir::Mode::empty())?)?;
    rustix::process::fchdir(&mount)?;
    // Who is not at the root of the mount namespace may make no user namespace.
    rustix::process::chroot(".")?;
    // The kernel locks what is copied into the mount namespace of another user namespace. The working directory moves along
    // with the copy.
    crate::namespace::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(rustix::mount::open_tree(rustix::fs::CWD, "", flags)?)
}
