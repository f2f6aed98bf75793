//! Snapshots in a `btrfs` pool: read-only subvolumes below `TYPE-snapshots/VOLUME/`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use lxd_sys::{Dir, btrfs};
use lxd_types::Result;
use lxd_types::names::SnapshotName;

use super::{BtrfsPool, streams, tree, volumes};
use crate::blocking::{blocking, io_error};
use crate::driver::{Filler, Mounted, Snapshots};
use crate::folder::{self, RESTORING, open_snapshot, sibling};
use crate::volume::{SnapshotRef, VolumeRef};

fn set_read_only(dir: &Dir, read_only: bool) -> Result<()> {
    lxd_sys::btrfs::set_read_only(dir, read_only)
        .map_err(|error| io_error(error, "Failed to change whether a snapshot can be written to"))
}

#[async_trait]
impl Snapshots for BtrfsPool {
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
            let dir = open_snapshot(&Self::root(&spec)?, &snapshot)?;
            Ok(Mounted { dir: Arc::new(dir), path: spec.mount_path().join(snapshot.path()) })
        })
        .await
    }

    async fn change_snapshot(&self, snapshot: &SnapshotRef, work: Filler) -> Result<()> {
        let (spec, wanted) = (self.spec.clone(), snapshot.clone());
        let dir = blocking(move || {
            let dir = open_snapshot(&Self::root(&spec)?, &wanted)?;
            set_read_only(&dir, false)?;
            Ok(Arc::new(dir))
        });
        let dir = dir.await?;
        let done = work(dir.clone()).await;
        blocking(move || set_read_only(&dir, true)).await?;
        done
    }

    async fn unmount_snapshot(&self, _snapshot: &SnapshotRef) -> Result<()> {
        Ok(()) // Subvolumes are there while the pool is.
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

    async fn snapshot_usage(&self, snapshot: &SnapshotRef) -> Result<u64> {
        let (spec, snapshot) = (self.spec.clone(), snapshot.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            let dir = open_snapshot(&root, &snapshot)?;
            volumes::counted(&root, &dir).map(|group| group.exclusive)
        })
        .await
    }
}

/// Makes a read-only snapshot of an open subvolume.
fn make(root: &Dir, source: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    folder::make_snapshot_folder(root, snapshot)?;
    if folder::snapshot_there(root, snapshot)? {
        return Err(folder::snapshot_taken());
    }
    let made = tree::snapshot(source, root, &snapshot.path(), true)
        .map_err(|error| io_error(error, format!("Failed to create snapshot \"{snapshot}\"")));
    if made.is_err() {
        remove(root, snapshot)?;
        folder::remove_snapshot_folder(root, &snapshot.volume)?;
    }
    made
}

/// Copies the named snapshots of a volume to another volume.
pub(super) fn copy_all(root: &Dir, from: &VolumeRef, to: &VolumeRef, wanted: &[SnapshotName]) -> Result<()> {
    for name in wanted {
        make(root, &open_snapshot(root, &from.snapshot(name))?, &to.snapshot(name))?;
    }
    Ok(())
}

/// Makes a writable snapshot of the snapshot beside the volume and swaps the two in one step. The volume keeps its limit.
fn restore(root: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    let volume = &snapshot.volume;
    let failed = |error| io_error(error, format!("Failed to restore snapshot \"{snapshot}\""));
    let source = open_snapshot(root, snapshot)?;
    let old = folder::open(root, volume)?;
    settle(root, volume)?;
    let place = sibling(volume);
    root.mkdir_all(RESTORING, 0o700).map_err(failed)?;
    let swapped = tree::snapshot(&source, root, &place, false).map_err(failed).and_then(|()| {
        let new = root.open_dir(&place).map_err(failed)?;
        let group = btrfs::qgroup(root, btrfs::id(&old).map_err(failed)?).map_err(failed)?;
        if let Some(limit) = group.and_then(|group| group.limit) {
            btrfs::set_limit(root, btrfs::id(&new).map_err(failed)?, Some(limit)).map_err(failed)?;
        }
        root.exchange(&place, volume.path()).map_err(failed)
    });
    drop(old);
    let settled = settle(root, volume);
    swapped.and(settled)
}

/// Removes what a restore left beside the volume.
pub(super) fn settle(root: &Dir, volume: &VolumeRef) -> Result<()> {
    let failed = |error| io_error(error, format!("Failed to remove what a restore of \"{volume}\" left"));
    if !root.exists(RESTORING).map_err(failed)? {
        return Ok(());
    }
    streams::clean(root, &sibling(volume)).map_err(failed)?;
    folder::remove_if_empty(root, Path::new(RESTORING)).map_err(failed)
}

/// Removes every snapshot of a volume.
pub(super) fn remove_all(root: &Dir, volume: &VolumeRef) -> Result<()> {
    for name in folder::snapshot_names(root, volume)? {
        let path = format!("{}/{name}", volume.snapshots_path());
        tree::remove(root, &path)
            .map_err(|error| io_error(error, format!("Failed to remove snapshot \"{volume}/{name}\"")))?;
    }
    folder::remove_snapshot_folder(root, volume)
}

fn remove(root: &Dir, snapshot: &SnapshotRef) -> Result<()> {
    tree::remove(root, &snapshot.path())
        .map_err(|error: io::Error| io_error(error, format!("Failed to remove snapshot \"{snapshot}\"")))
}
