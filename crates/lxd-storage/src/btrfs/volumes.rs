//! Volumes of a `btrfs` pool.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use lxd_sys::{Dir, btrfs};
use lxd_types::names::SnapshotName;
use lxd_types::{Error, Kind, Result};
use rustix::fs::IFlags;

use super::{BtrfsPool, snapshots, tree};
use crate::blocking::{blocking, io_error};
use crate::driver::{Filler, Mounted, PoolSpec, Quota, Volumes};
use crate::folder::{self, DISK, not_found, open, taken, there};
use crate::volume::{Content, Origin, VolumeKind, VolumeRef};

#[async_trait]
impl Volumes for BtrfsPool {
    async fn create(&self, volume: &VolumeRef, size: Option<u64>, fill: Option<Filler>) -> Result<()> {
        let (spec, wanted) = (self.spec.clone(), volume.clone());
        let dir = Arc::new(blocking(move || make(&spec, &wanted, size)).await?);
        let filled = match fill {
            Some(fill) => fill(dir.clone()).await,
            None => Ok(()),
        };
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || {
            let done = filled.and_then(|()| folder::dress(&dir, &volume));
            drop(dir);
            or_remove(&spec, &volume, done)
        })
        .await
    }

    async fn delete(&self, volume: &VolumeRef) -> Result<()> {
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            if !there(&root, &volume)? && folder::snapshot_names(&root, &volume)?.is_empty() {
                // What was coming from a backup may be there.
                return snapshots::settle(&root, &volume).and(Err(not_found(&volume)));
            }
            remove(&root, &volume)
        })
        .await
    }

    async fn rename(&self, volume: &VolumeRef, to: &VolumeRef) -> Result<()> {
        let (spec, old, new) = (self.spec.clone(), volume.clone(), to.clone());
        blocking(move || folder::rename(&Self::root(&spec)?, &old, &new)).await
    }

    async fn copy(&self, from: &Origin, to: &VolumeRef, wanted: &[SnapshotName]) -> Result<()> {
        let (spec, from, to, wanted) = (self.spec.clone(), from.clone(), to.clone(), wanted.to_vec());
        blocking(move || {
            let root = Self::root(&spec)?;
            if there(&root, &to)? {
                return Err(taken());
            }
            let source = match &from {
                Origin::Volume(volume) => open(&root, volume)?,
                Origin::Snapshot(snapshot) => folder::open_snapshot(&root, snapshot)?,
            };
            let done = tree::snapshot(&source, &root, &to.path(), false)
                .map_err(|error| io_error(error, format!("Failed to copy \"{}\" to \"{to}\"", from.volume())))
                .and_then(|()| folder::dress(&open(&root, &to)?, &to))
                .and_then(|()| snapshots::copy_all(&root, from.volume(), &to, &wanted));
            or_remove(&spec, &to, done)
        })
        .await
    }

    async fn mount(&self, volume: &VolumeRef) -> Result<Mounted> {
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || {
            let dir = open(&Self::root(&spec)?, &volume)?;
            Ok(Mounted { dir: Arc::new(dir), path: spec.mount_path().join(volume.path()) })
        })
        .await
    }

    async fn unmount(&self, _volume: &VolumeRef) -> Result<()> {
        Ok(()) // Subvolumes are there while the pool is.
    }

    async fn exists(&self, volume: &VolumeRef) -> Result<bool> {
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || there(&Self::root(&spec)?, &volume)).await
    }

    async fn list(&self, kind: VolumeKind) -> Result<Vec<String>> {
        let spec = self.spec.clone();
        blocking(move || folder::volume_names(&Self::root(&spec)?, kind)).await
    }

    async fn resize(&self, volume: &VolumeRef, size: Option<u64>) -> Result<Quota> {
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            let dir = open(&root, &volume)?;
            match (volume.content, size) {
                (Content::Block, Some(size)) => folder::grow_disk(&dir, size)?,
                (Content::Block, None) => {}
                (Content::Filesystem, size) => limit(&root, &dir, &volume, size)?,
            }
            Ok(Quota::Enforced)
        })
        .await
    }

    async fn usage(&self, volume: &VolumeRef) -> Result<u64> {
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            let dir = open(&root, &volume)?;
            if volume.content == Content::Block {
                return folder::disk_usage(&dir);
            }
            counted(&root, &dir).map(|group| group.referenced)
        })
        .await
    }
}

/// Makes the volume's subvolume, writable for the filler.
fn make(spec: &PoolSpec, volume: &VolumeRef, size: Option<u64>) -> Result<Dir> {
    let root = BtrfsPool::root(spec)?;
    tree::create(&root, &volume.path()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(),
        _ => io_error(error, format!("Failed to create volume \"{volume}\"")),
    })?;
    let made = open(&root, volume).and_then(|dir| {
        let mode = if volume.kind == VolumeKind::Custom { volume.mode() } else { 0o700 };
        dir.chmod(".", mode).map_err(|error| io_error(error, "Failed to set the mode of the volume"))?;
        if volume.content == Content::Block {
            make_disk(&dir, volume, size)?;
        } else if size.is_some() {
            limit(&root, &dir, volume, size)?;
        }
        Ok(dir)
    });
    match made {
        Ok(dir) => Ok(dir),
        Err(error) => or_remove(spec, volume, Err(error)).and(Err(not_found(volume))),
    }
}

/// The disk of a block volume. It is written in place: as copies of what changes it would take twice its size.
fn make_disk(dir: &Dir, volume: &VolumeRef, size: Option<u64>) -> Result<()> {
    let failed = |error| io_error(error, format!("Failed to create the disk of volume \"{volume}\""));
    let disk = dir.create_new(DISK, 0o600).map_err(failed)?;
    let flags = rustix::fs::ioctl_getflags(&disk).unwrap_or(IFlags::empty());
    if let Err(error) = rustix::fs::ioctl_setflags(&disk, flags | IFlags::NOCOW) {
        tracing::warn!(%volume, %error, "the disk is copied on write");
    }
    disk.set_len(size.unwrap_or(folder::DEFAULT_BLOCK_SIZE)).map_err(failed)
}

/// Removes what could not be finished; the first error is the one to report.
fn or_remove(spec: &PoolSpec, volume: &VolumeRef, done: Result<()>) -> Result<()> {
    if done.is_err()
        && let Err(left) = BtrfsPool::root(spec).and_then(|root| remove(&root, volume))
    {
        tracing::error!(%volume, error = %left.chain(), "failed to remove an unfinished volume");
    }
    done
}

/// Removes a volume with its snapshots. Those go first: while the volume is there, a repeated call finds it.
pub(super) fn remove(root: &Dir, volume: &VolumeRef) -> Result<()> {
    snapshots::remove_all(root, volume)?;
    snapshots::settle(root, volume)?;
    tree::remove(root, &volume.path())
        .map_err(|error| io_error(error, format!("Failed to remove volume \"{volume}\"")))
}

/// Limits what the subvolume may have.
pub(super) fn limit(root: &Dir, dir: &Dir, volume: &VolumeRef, size: Option<u64>) -> Result<()> {
    let failed = |error| io_error(error, format!("Failed to limit the size of volume \"{volume}\""));
    let id = btrfs::id(dir).map_err(failed)?;
    let present = btrfs::qgroup(root, id).map_err(failed)?;
    match (size, present) {
        (None, None) => return Ok(()),
        (Some(_), None) => btrfs::enable_quota(root).map_err(failed)?,
        (Some(size), Some(group)) if group.referenced > size => {
            return Err(Error::bad_request(format!(
                "Volume \"{volume}\" cannot be limited to {size} bytes: it has {} bytes",
                group.referenced
            )));
        }
        _ => {}
    }
    btrfs::set_limit(root, id, size).map_err(failed)
}

/// What the quota group counts.
pub(super) fn counted(root: &Dir, dir: &Dir) -> Result<btrfs::Qgroup> {
    let failed = |error| io_error(error, "Failed to read the usage of the volume");
    let group = btrfs::qgroup(root, btrfs::id(dir).map_err(failed)?).map_err(failed)?;
    // Without quota groups nothing is counted, as with the reference.
    group.ok_or_else(|| Error::new(Kind::Internal, "Not supported"))
}
