//! What a data directory holds from the first start on (manual 3.6.3, "Startup"). Modes are at least as strict as
//! the reference's (security.md R11).

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use lxd_types::Result;
use lxd_types::error::Context;

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

/// Makes what is missing, and sets the modes of what is there.
///
/// # Errors
/// A directory cannot be made, or something else has its name.
pub fn make(root: &Path) -> Result<()> {
    if let Some(parent) = root.parent() {
        std::fs::create_dir_all(parent).context(format!("Failed to create {}", parent.display()))?;
    }
    for (name, mode) in DIRECTORIES {
        let path = if name.is_empty() { root.to_owned() } else { root.join(name) };
        one(&path, *mode).context(format!("Failed to create {}", path.display()))?;
    }
    Ok(())
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
