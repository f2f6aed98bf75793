//! The lay-out that drivers with directories share: one directory per volume type, volumes and folders of snapshots in
//! them, all reached by descriptors below the pool's own.

use std::io;
use std::path::Path;

use lxd_sys::Dir;
use lxd_types::{Error, Kind, Result};

use crate::blocking::io_error;
use crate::driver::PoolSpec;
use crate::volume::{SnapshotRef, VolumeKind, VolumeRef};

/// The disk image of a volume with block content.
pub const DISK: &str = "root.img";

/// Size of a block volume when none is given (manual 3.2.8: 10GB; the reference takes 10GiB).
pub(crate) const DEFAULT_BLOCK_SIZE: u64 = 10 << 30;

/// Where volumes stand that are being restored; there only while one is.
pub(crate) const RESTORING: &str = "restoring";

/// The directories of a pool with their modes (security rule R11; as the reference makes them).
const LAYOUT: [(&str, u32); 8] = [
    ("buckets", 0o711),
    ("containers", 0o711),
    ("containers-snapshots", 0o711),
    ("custom", 0o700),
    ("custom-snapshots", 0o700),
    ("images", 0o700),
    ("virtual-machines", 0o700),
    ("virtual-machines-snapshots", 0o700),
];

/// The pool's directory, anew for each use: a pool that was mounted meanwhile is the one that counts.
pub(crate) fn root(spec: &PoolSpec) -> Result<Dir> {
    Dir::open(spec.mount_path()).map_err(|error| unavailable(spec, error))
}

pub(crate) fn unavailable(spec: &PoolSpec, error: io::Error) -> Error {
    let text = format!("Storage pool \"{}\" is not available ({})", spec.name, spec.source.display());
    Error::with_source(Kind::Unavailable, text, error)
}

/// Makes the directories that are missing and corrects the modes of those that are there.
pub(crate) fn lay_out(root: &Dir) -> Result<()> {
    for (name, mode) in LAYOUT {
        root.mkdir_all(name, mode)
            .and_then(|()| root.chmod(name, mode))
            .map_err(|error| io_error(error, format!("Failed to create \"{name}\" in the storage pool")))?;
        // File systems without this hint refuse it, and do without.
        let _ = root.open_dir(name).and_then(|dir| dir.spread_subdirectories());
    }
    Ok(())
}

/// Refuses what is no pool.
pub(crate) fn require_layout(spec: &PoolSpec, root: &Dir) -> Result<()> {
    for name in ["containers", "custom", "images"] {
        let kind = root.kind(name).map_err(|error| unavailable(spec, error))?;
        if kind != Some(lxd_sys::dir::FileKind::Dir) {
            return Err(unavailable(spec, io::Error::other("the source holds no storage pool")));
        }
    }
    Ok(())
}

/// Removes what is empty of the lay-out after a failed create.
pub(crate) fn take_back_layout(root: &Dir) {
    for (name, _) in LAYOUT {
        let _ = root.remove_dir(name);
    }
}

/// Removes the lay-out. Data that is left in it is not ours to delete: the error says where it is.
pub(crate) fn remove_layout(spec: &PoolSpec, root: &Dir) -> Result<()> {
    refuse_leftovers(spec, root)?;
    // With no volume left there is nothing that could be restored.
    for part in LAYOUT.iter().map(|(part, _)| *part).chain([RESTORING]) {
        match root.remove_dir(part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(error, format!("Failed to remove \"{part}\" of the storage pool")));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn refuse_leftovers(spec: &PoolSpec, root: &Dir) -> Result<()> {
    for (part, _) in LAYOUT {
        let entries = match root.read_dir(part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| io_error(error, format!("Failed to read \"{part}\"")))?,
        };
        if let Some(entry) = entries.first() {
            return Err(Error::conflict(format!(
                "The storage pool still holds data that the database does not know: \"{}/{part}/{}\" \
                 (see \"lxd recover\", or remove it by hand)",
                spec.mount_path().display(),
                entry.name.to_string_lossy()
            )));
        }
    }
    Ok(())
}

/// Gives a filled volume its final owner and mode. That of a custom volume has its mode from the beginning: it belongs to
/// the users of the volume, and a copy keeps what they made of it.
pub(crate) fn dress(dir: &Dir, volume: &VolumeRef) -> Result<()> {
    if volume.kind == VolumeKind::Custom {
        return Ok(());
    }
    dir.chown(".", 0, 0)
        .and_then(|()| dir.chmod(".", volume.mode()))
        .map_err(|error| io_error(error, format!("Failed to set the mode of volume \"{volume}\"")))
}

/// Makes the disk of a block volume larger.
pub(crate) fn grow_disk(dir: &Dir, size: u64) -> Result<()> {
    let failed = |error| io_error(error, "Failed to resize the disk");
    let disk = dir.open_file_rw(DISK).map_err(failed)?;
    if disk.metadata().map_err(failed)?.len() > size {
        return Err(Error::internal("Block volumes cannot be shrunk: Cannot be shrunk"));
    }
    disk.set_len(size).map_err(failed)
}

/// Bytes that the disk of a block volume takes.
pub(crate) fn disk_usage(dir: &Dir) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let disk = dir.open_file(DISK).and_then(|disk| disk.metadata());
    Ok(disk.map_err(|error| io_error(error, "Failed to read the usage of the disk"))?.blocks() * 512)
}

pub(crate) fn there(root: &Dir, volume: &VolumeRef) -> Result<bool> {
    root.exists(volume.path())
        .map_err(|error| io_error(error, format!("Failed to look for volume \"{volume}\"")))
}

pub(crate) fn open(root: &Dir, volume: &VolumeRef) -> Result<Dir> {
    root.open_dir(volume.path()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_found(volume),
        _ => io_error(error, format!("Failed to open volume \"{volume}\"")),
    })
}

/// Storage names of the volumes of a type, sorted.
pub(crate) fn volume_names(root: &Dir, kind: VolumeKind) -> Result<Vec<String>> {
    let entries = root
        .read_dir(kind.directory())
        .map_err(|error| io_error(error, format!("Failed to list volumes of type \"{kind}\"")))?;
    Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect())
}

/// Renames a volume and the folder of its snapshots; one that stopped in between is finished.
pub(crate) fn rename(root: &Dir, old: &VolumeRef, new: &VolumeRef) -> Result<()> {
    match root.rename_new(old.path(), new.path()) {
        // The first half was done before; only the snapshots are left to be renamed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !there(root, new)? || snapshot_names(root, old)?.is_empty() {
                return Err(not_found(old));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken()),
        other => other
            .map_err(|error| io_error(error, format!("Failed to rename volume \"{old}\" to \"{new}\"")))?,
    }
    match root.rename_new(old.snapshots_path(), new.snapshots_path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(error, format!("Failed to rename the snapshots of \"{old}\"")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn rename_snapshot(root: &Dir, old: &SnapshotRef, new: &SnapshotRef) -> Result<()> {
    root.rename_new(old.path(), new.path()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => snapshot_not_found(old),
        io::ErrorKind::AlreadyExists => snapshot_taken(),
        _ => io_error(error, format!("Failed to rename snapshot \"{old}\" to \"{new}\"")),
    })
}

/// Names of the volume's snapshots, sorted.
pub(crate) fn snapshot_names(root: &Dir, volume: &VolumeRef) -> Result<Vec<String>> {
    match root.read_dir(volume.snapshots_path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error(error, format!("Failed to list the snapshots of \"{volume}\""))),
        Ok(entries) => Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect()),
    }
}

pub(crate) fn snapshot_there(root: &Dir, snapshot: &SnapshotRef) -> Result<bool> {
    match root.exists(snapshot.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => {
            other.map_err(|error| io_error(error, format!("Failed to look for snapshot \"{snapshot}\"")))
        }
    }
}

pub(crate) fn open_snapshot(root: &Dir, snapshot: &SnapshotRef) -> Result<Dir> {
    root.open_dir(snapshot.path()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => snapshot_not_found(snapshot),
        _ => io_error(error, format!("Failed to open snapshot \"{snapshot}\"")),
    })
}

/// Makes the folder of a volume's snapshots.
pub(crate) fn make_snapshot_folder(root: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    match root.mkdir(snapshot.volume.snapshots_path(), 0o700) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(io_error(error, format!("Failed to create snapshot \"{snapshot}\"")))
        }
        _ => Ok(()),
    }
}

/// Removes the folder of a volume's snapshots once it is empty.
pub(crate) fn remove_snapshot_folder(root: &Dir, volume: &VolumeRef) -> Result<()> {
    remove_if_empty(root, Path::new(&volume.snapshots_path()))
        .map_err(|error| io_error(error, format!("Failed to remove the folder of snapshots of \"{volume}\"")))
}

pub(crate) fn remove_if_empty(root: &Dir, path: &Path) -> io::Result<()> {
    match root.remove_dir(path) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Where a volume's new content is put together.
pub(crate) fn sibling(volume: &VolumeRef) -> String {
    format!("{RESTORING}/{}-{}", volume.kind.directory(), volume.storage_name())
}

pub(crate) fn not_found(volume: &VolumeRef) -> Error {
    Error::not_found(format!("Storage volume \"{volume}\" is missing in the storage pool"))
}

pub(crate) fn taken() -> Error {
    Error::conflict("Volume by that name already exists")
}

pub(crate) fn snapshot_not_found(snapshot: &SnapshotRef) -> Error {
    Error::not_found(format!("Snapshot \"{snapshot}\" is missing in the storage pool"))
}

pub(crate) fn snapshot_taken() -> Error {
    Error::conflict("Snapshot by that name already exists")
}
