//! Snapshots in a `dir` pool: copies of the volume's directory (content shared where the file system can) below
//! `TYPE-snapshots/VOLUME/`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use lxd_sys::{Dir, mount};
use lxd_types::names::SnapshotName;
use lxd_types::{Error, Kind, Result};

use super::place::RESTORING;
use super::{DirPool, volumes};
use crate::blocking::{blocking, io_error};
use crate::driver::{Mounted, Snapshots};
use crate::tree;
use crate::volume::{SnapshotRef, VolumeRef};

#[async_trait]
impl Snapshots for DirPool {
    async fn create_snapshot(&self, snapshot: &SnapshotRef) -> Result<()> {
        let (spec, snapshot) = (self.spec.clone(), snapshot.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            let source = volumes::open(&root, &snapshot.volume)?;
            make(&root, &source, &snapshot)
        })
        .await
    }

    async fn delete_snapshot(&self, snapshot: &SnapshotRef) -> Result<()> {
        let (spec, snapshot) = (self.spec.clone(), snapshot.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            if !there(&root, &snapshot)? {
                return Err(not_found(&snapshot));
            }
            remove(&root, &snapshot)?;
            remove_folder(&root, &snapshot.volume)
        })
        .await
    }

    async fn rename_snapshot(&self, snapshot: &SnapshotRef, name: &SnapshotName) -> Result<()> {
        let (spec, old, new) = (self.spec.clone(), snapshot.clone(), snapshot.volume.snapshot(name));
        blocking(move || {
            Self::root(&spec)?.rename_new(old.path(), new.path()).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => not_found(&old),
                io::ErrorKind::AlreadyExists => taken(),
                _ => io_error(error, format!("Failed to rename snapshot \"{old}\" to \"{new}\"")),
            })
        })
        .await
    }

    async fn mount_snapshot(&self, snapshot: &SnapshotRef) -> Result<Mounted> {
        let (spec, snapshot) = (self.spec.clone(), snapshot.clone());
        blocking(move || {
            let dir = read_only(&open(&Self::root(&spec)?, &snapshot)?)
                .map_err(|error| io_error(error, format!("Failed to mount snapshot \"{snapshot}\"")))?;
            Ok(Mounted { dir: Arc::new(dir), path: spec.mount_path().join(snapshot.path()) })
        })
        .await
    }

    async fn unmount_snapshot(&self, _snapshot: &SnapshotRef) -> Result<()> {
        Ok(()) // The mount ends with its descriptor.
    }

    async fn restore_snapshot(&self, snapshot: &SnapshotRef) -> Result<()> {
        let (spec, snapshot) = (self.spec.clone(), snapshot.clone());
        blocking(move || restore(&Self::root(&spec)?, &snapshot)).await
    }

    async fn list_snapshots(&self, volume: &VolumeRef) -> Result<Vec<String>> {
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || names(&Self::root(&spec)?, &volume)).await
    }

    async fn settle(&self, volume: &VolumeRef) -> Result<()> {
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || settle(&Self::root(&spec)?, &volume)).await
    }

    async fn snapshot_usage(&self, _snapshot: &SnapshotRef) -> Result<u64> {
        // Counting would mean to walk the tree; the reference answers the same.
        Err(Error::internal("Not supported"))
    }
}

/// Copies an open directory to the place of a snapshot.
fn make(root: &Dir, source: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    let folder = snapshot.volume.snapshots_path();
    let failed = |error| io_error(error, format!("Failed to create snapshot \"{snapshot}\""));
    match root.mkdir(&folder, 0o700) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    root.mkdir(snapshot.path(), 0o700).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(),
        _ => failed(error),
    })?;
    let copied = root
        .open_dir(snapshot.path())
        .map_err(failed)
        .and_then(|target| tree::copy(source, &target).map(drop));
    if copied.is_err() {
        remove(root, snapshot)?;
        remove_folder(root, &snapshot.volume)?;
    }
    copied
}

/// Copies the named snapshots of a volume to another volume.
pub(super) fn copy_all(root: &Dir, from: &VolumeRef, to: &VolumeRef, wanted: &[SnapshotName]) -> Result<()> {
    for name in wanted {
        make(root, &open(root, &from.snapshot(name))?, &to.snapshot(name))?;
    }
    Ok(())
}

/// Fills a sibling of the volume from the snapshot and swaps the two in one step.
fn restore(root: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    let volume = &snapshot.volume;
    let failed = |error| io_error(error, format!("Failed to restore snapshot \"{snapshot}\""));
    let source = open(root, snapshot)?;
    if !volumes::there(root, volume)? {
        return Err(volumes::not_found(volume));
    }
    settle(root, volume)?;
    let place = sibling(volume);
    root.mkdir_all(RESTORING, 0o700).and_then(|()| root.mkdir(&place, 0o700)).map_err(failed)?;
    let swapped = root
        .open_dir(&place)
        .map_err(failed)
        .and_then(|target| {
            tree::copy(&source, &target)?;
            // The old content must not be gone after a power cut before the new one is on disk.
            rustix::fs::syncfs(&target).map_err(|error| failed(error.into()))
        })
        .and_then(|()| root.exchange(&place, volume.path()).map_err(failed));
    let settled = settle(root, volume);
    swapped.and(settled)
}

/// Where a volume's new content is put together.
fn sibling(volume: &VolumeRef) -> String {
    format!("{RESTORING}/{}-{}", volume.kind.directory(), volume.storage_name())
}

/// Removes what a restore left beside the volume.
pub(super) fn settle(root: &Dir, volume: &VolumeRef) -> Result<()> {
    let failed = |error| io_error(error, format!("Failed to remove what a restore of \"{volume}\" left"));
    if !root.exists(RESTORING).map_err(failed)? {
        return Ok(());
    }
    root.remove_tree(sibling(volume)).map_err(failed)?;
    remove_if_empty(root, Path::new(RESTORING)).map_err(failed)
}

/// Whether the volume has a snapshot.
pub(super) fn any(root: &Dir, volume: &VolumeRef) -> Result<bool> {
    Ok(!names(root, volume)?.is_empty())
}

fn names(root: &Dir, volume: &VolumeRef) -> Result<Vec<String>> {
    match root.read_dir(volume.snapshots_path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error(error, format!("Failed to list the snapshots of \"{volume}\""))),
        Ok(entries) => Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect()),
    }
}

/// Removes every snapshot of a volume.
pub(super) fn remove_all(root: &Dir, volume: &VolumeRef) -> Result<()> {
    volumes::remove_volume(root, &volume.snapshots_path())
        .map_err(|error| io_error(error, format!("Failed to remove the snapshots of \"{volume}\"")))
}

/// Gives the folder of a volume's snapshots the volume's new name; none may be there.
pub(super) fn rename_all(root: &Dir, old: &VolumeRef, new: &VolumeRef) -> Result<()> {
    match root.rename_new(old.snapshots_path(), new.snapshots_path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(error, format!("Failed to rename the snapshots of \"{old}\"")))
        }
        _ => Ok(()),
    }
}

fn remove(root: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    volumes::remove_volume(root, &snapshot.path())
        .map_err(|error| io_error(error, format!("Failed to remove snapshot \"{snapshot}\"")))
}

/// Removes the folder of a volume's snapshots once it is empty.
fn remove_folder(root: &Dir, volume: &VolumeRef) -> Result<()> {
    remove_if_empty(root, Path::new(&volume.snapshots_path()))
        .map_err(|error| io_error(error, format!("Failed to remove the folder of snapshots of \"{volume}\"")))
}

fn remove_if_empty(root: &Dir, path: &Path) -> io::Result<()> {
    match root.remove_dir(path) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn there(root: &Dir, snapshot: &SnapshotRef) -> Result<bool> {
    match root.exists(snapshot.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => {
            other.map_err(|error| io_error(error, format!("Failed to look for snapshot \"{snapshot}\"")))
        }
    }
}

/// The snapshot's directory.
pub(super) fn open(root: &Dir, snapshot: &SnapshotRef) -> Result<Dir> {
    root.open_dir(snapshot.path()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_found(snapshot),
        _ => io_error(error, format!("Failed to open snapshot \"{snapshot}\"")),
    })
}

/// The same directory through a mount of its own that cannot be written.
fn read_only(dir: &Dir) -> io::Result<Dir> {
    let tree = mount::clone_fd(dir, false)?;
    let read_only = mount::Attributes { read_only: true, ..mount::Attributes::default() };
    mount::set_attributes(&tree, read_only)?;
    Dir::from_fd(tree).open_dir(".")
}

fn not_found(snapshot: &SnapshotRef) -> Error {
    Error::not_found(format!("Snapshot \"{snapshot}\" is missing in the storage pool"))
}

fn taken() -> Error {
    Error::new(Kind::Conflict, "Snapshot by that name already exists")
}
