//! What a data directory holds from the first start on (manual 3.6.3, "Startup"). Modes are at least as strict as
//! the reference's (security.md R11).

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Directories below `LXD_DIR` and their modes; parents come first.
const DIRECTORIES: &[(&str, u32)] = &[
    ("", 0o711),
    ("backups", 0o700),
    ("backups/custom", 0o700),
    ("backups/instances", 0o700),
    ("cache", 0o700),
    ("containers", 0o711),
    ("database", 0o700),
    ("devices", 0o711),
    ("devlxd", 0o755),
    ("disks", 0o700),
    ("images", 0o700),
    ("logs", 0o700),
    ("networks", 0o711),
    ("security", 0o700),
    ("security/apparmor", 0o700),
    ("security/apparmor/cache", 0o700),
    ("security/apparmor/profiles", 0o700),
    ("security/seccomp", 0o700),
    ("shmounts", 0o711),
    ("snapshots", 0o700),
    ("storage-pools", 0o711),
    ("virtual-machines", 0o711),
    ("virtual-machines-snapshots", 0o700),
];

/// Directories that may be symbolic links to volumes (`storage.images_volume`, `storage.backups_volume`): what they lead to
/// is perhaps not mounted yet, and has its modes already.
const MOVABLE: [&str; 2] = ["backups", "images"];

/// Makes what is missing, and sets the modes of what is there.
///
/// # Errors
/// A directory cannot be made, or something else has its name.
pub fn make(root: &Path) -> Result<()> {
    if let Some(parent) = root.parent() {
        std::fs::create_dir_all(parent).context(format!("Failed to create {}", parent.display()))?;
    }
    for (name, mode) in DIRECTORIES {
        let top = name.split('/').next().unwrap_or_default();
        if MOVABLE.contains(&top) && root.join(top).is_symlink() {
            continue;
        }
        let path = if name.is_empty() { root.to_owned() } else { root.join(name) };
        one(&path, *mode).context(format!("Failed to create {}", path.display()))?;
    }
    Ok(())
}

/// Takes the data directory for this process; it is free again when the result is dropped or the process ends, however
/// it ends. The socket alone cannot tell: a daemon that is ending has none any more, but still writes.
///
/// # Errors
/// `Conflict` when another daemon has it.
pub fn take(root: &Path) -> Result<OwnedFd> {
    let path = root.join("database");
    let dir: OwnedFd = File::open(&path).context(format!("Failed to open {}", path.display()))?.into();
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(dir),
        Err(Errno::WOULDBLOCK) => Err(Error::conflict(format!(
            "LXD is already running, or still ending, in {}: wait for its end, or set LXD_DIR to another directory",
            root.display()
        ))),
        Err(error) => Err(io::Error::from(error)).context(format!("Failed to lock {}", path.display())),
    }
}

fn one(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_dir() && !path.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if path.metadata()?.permissions().mode() & 0o7777 != mode {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path()).unwrap();
        let first = take(dir.path()).unwrap();
        assert!(take(dir.path()).unwrap_err().to_string().starts_with("LXD is already running"));
        drop(first);
        take(dir.path()).unwrap();
    }

    #[test]
    fn modes_are_set_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/lxd");
        make(&root).unwrap();
        std::fs::set_permissions(root.join("images"), Permissions::from_mode(0o777)).unwrap();
        make(&root).unwrap();
        for (name, mode) in DIRECTORIES {
            let found = std::fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, *mode, "{name}");
        }
    }
}
