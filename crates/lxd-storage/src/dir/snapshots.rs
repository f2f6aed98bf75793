//! Snapshots in a `dir` pool: copies of the volume's directory (content shared where the file system can) below
//! `TYPE-snapshots/VOLUME/`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use lxd_sys::{Dir, mount};
use lxd_types::names::SnapshotName;
use lxd_types::{Error, Result};

use super::{DirPool, volumes};
use crate::blocking::{blocking, io_error};
use crate::driver::{Filler, Mounted, Snapshots};
use crate::folder::{self, RESTORING, open_snapshot, sibling};
use crate::tree;
use crate::volume::{SnapshotRef, VolumeRef};

#[async_trait]
impl Snapshots for DirPool {
    async fn create_snapshot(&self, snapshot: &SnapshotRef) -> Result<()> {
        let (spec, snapshot) = (self.spec.clone(), snapshot.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            let source = folder::open(&root, &snapshot.volume)?;
            make(&root, &source, &snapshot)
        })
        .await
    }

    async fn delete_snapshot(&self, snapshot: &SnapshotRef) -> Result<()> {
        let (spec, snapshot) = (self.spec.clone(), snapshot.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            if !folder::snapshot_there(&root, &snapshot)? {
                return Err(folder::snapshot_not_found(&snapshot));
            }
            remove(&root, &snapshot)?;
            folder::remove_snapshot_folder(&root, &snapshot.volume)
        })
        .await
    }

    async fn rename_snapshot(&self, snapshot: &SnapshotRef, name: &SnapshotName) -> Result<()> {
        let (spec, old, new) = (self.spec.clone(), snapshot.clone(), snapshot.volume.snapshot(name));
        blocking(move || folder::rename_snapshot(&Self::root(&spec)?, &old, &new)).await
    }

    async fn mount_snapshot(&self, snapshot: &SnapshotRef) -> Result<Mounted> {
        let (spec, snapshot) = (self.spec.clone(), snapshot.clone());
        blocking(move || {
            let dir = read_only(&open_snapshot(&Self::root(&spec)?, &snapshot)?)
                .map_err(|error| io_error(error, format!("Failed to mount snapshot \"{snapshot}\"")))?;
            Ok(Mounted { dir: Arc::new(dir), path: spec.mount_path().join(snapshot.path()) })
        })
        .await
    }

    async fn change_snapshot(&self, snapshot: &SnapshotRef, work: Filler) -> Result<()> {
        let (spec, wanted) = (self.spec.clone(), snapshot.clone());
        let dir = blocking(move || open_snapshot(&Self::root(&spec)?, &wanted)).await?;
        work(Arc::new(dir)).await
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
        blocking(move || folder::snapshot_names(&Self::root(&spec)?, &volume)).await
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
    let failed = |error| io_error(error, format!("Failed to create snapshot \"{snapshot}\""));
    folder::make_snapshot_folder(root, snapshot)?;
    root.mkdir(snapshot.path(), 0o700).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => folder::snapshot_taken(),
        _ => failed(error),
    })?;
    let copied = root
        .open_dir(snapshot.path())
        .map_err(failed)
        .and_then(|target| tree::copy(source, &target).map(drop));
    if copied.is_err() {
        remove(root, snapshot)?;
        folder::remove_snapshot_folder(root, &snapshot.volume)?;
    }
    copied
}

/// Copies the named snapshots of a volume to another volume.
pub(super) fn copy_all(root: &Dir, from: &VolumeRef, to: &VolumeRef, wanted: &[SnapshotName]) -> Result<()> {
    for name in wanted {
        make(root, &open_snapshot(root, &from.snapshot(name))?, &to.snapshot(name))?;
    }
    Ok(())
}

/// Fills a sibling of the volume from the snapshot, with what did not change of the volume, and swaps the two in one step.
fn restore(root: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    let volume = &snapshot.volume;
    let failed = |error| io_error(error, format!("Failed to restore snapshot \"{snapshot}\""));
    let source = open_snapshot(root, snapshot)?;
    let present = folder::open(root, volume)?;
    settle(root, volume)?;
    let place = sibling(volume);
    root.mkdir_all(RESTORING, 0o700).and_then(|()| root.mkdir(&place, 0o700)).map_err(failed)?;
    let swapped = root
        .open_dir(&place)
        .map_err(failed)
        .and_then(|target| tree::rebuild(&source, &present, &target).map(drop))
        .and_then(|()| root.exchange(&place, volume.path()).map_err(failed));
    let settled = settle(root, volume);
    swapped.and(settled)
}

/// Removes what a restore left beside the volume.
pub(super) fn settle(root: &Dir, volume: &VolumeRef) -> Result<()> {
    let failed = |error| io_error(error, format!("Failed to remove what a restore of \"{volume}\" left"));
    if !root.exists(RESTORING).map_err(failed)? {
        return Ok(());
    }
    root.remove_tree(sibling(volume)).map_err(failed)?;
    folder::remove_if_empty(root, Path::new(RESTORING)).map_err(failed)
}

/// Removes every snapshot of a volume.
pub(super) fn remove_all(root: &Dir, volume: &VolumeRef) -> Result<()> {
    volumes::remove_volume(root, &volume.snapshots_path())
        .map_err(|error| io_error(error, format!("Failed to remove the snapshots of \"{volume}\"")))
}

fn remove(root: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    volumes::remove_volume(root, &snapshot.path())
        .map_err(|error| io_error(error, format!("Failed to remove snapshot \"{snapshot}\"")))
}

/// The same directory through a mount of its own that cannot be written.
fn read_only(dir: &Dir) -> io::Result<Dir> {
    let tree = mount::clone_fd(dir, false)?;
    let read_only = mount::Attributes { read_only: true, ..mount::Attributes::default() };
    mount::set_attributes(&tree, read_only)?;
    Dir::from_fd(tree).open_dir(".")
}
