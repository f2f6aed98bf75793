//! Volumes of a `dir` pool.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use lxd_sys::Dir;
use lxd_types::names::SnapshotName;
use lxd_types::{Error, Result};

use super::{DirPool, snapshots};
use crate::blocking::{blocking, io_error};
use crate::driver::{Filler, Mounted, PoolSpec, Quota, Volumes};
use crate::folder::{self, DISK, not_found, open, taken, there};
use crate::tree;
use crate::volume::{Content, Origin, VolumeKind, VolumeRef};

#[async_trait]
impl Volumes for DirPool {
    async fn create(&self, volume: &VolumeRef, size: Option<u64>, fill: Option<Filler>) -> Result<()> {
        let (spec, wanted) = (self.spec.clone(), volume.clone());
        let dir = Arc::new(blocking(move || make(&spec, &wanted, size)).await?);
        let filled = match fill {
            Some(fill) => fill(dir.clone()).await,
            None => Ok(()),
        };
        let (spec, wanted) = (self.spec.clone(), volume.clone());
        blocking(move || finish(&spec, &wanted, &dir, filled)).await
    }

    async fn delete(&self, volume: &VolumeRef) -> Result<()> {
        let (spec, volume) = (self.spec.clone(), volume.clone());
        blocking(move || {
            let root = Self::root(&spec)?;
            if !there(&root, &volume)? && folder::snapshot_names(&root, &volume)?.is_empty() {
                return Err(not_found(&volume));
            }
            // Snapshots first: while the volume is there, a repeated call finds it.
            snapshots::remove_all(&root, &volume)?;
            snapshots::settle(&root, &volume)?;
            remove_volume(&root, &volume.path())
                .map_err(|error| io_error(error, format!("Failed to remove volume \"{volume}\"")))
        })
        .await
    }

    async fn rename(&self, volume: &VolumeRef, to: &VolumeRef) -> Result<()> {
        let (spec, old, new) = (self.spec.clone(), volume.clone(), to.clone());
        blocking(move || folder::rename(&Self::root(&spec)?, &old, &new)).await
    }

    async fn copy(&self, from: &Origin, to: &VolumeRef, wanted: &[SnapshotName]) -> Result<()> {
        let (spec, origin) = (self.spec.clone(), from.clone());
        // The disk of a block volume comes with the copy.
        let made = to.clone().with_content(Content::Filesystem);
        let fill = crate::fill_with(move |target: Arc<Dir>| async move {
            blocking(move || {
                let source = match &origin {
                    Origin::Volume(volume) => open(&Self::root(&spec)?, volume)?,
                    Origin::Snapshot(snapshot) => folder::open_snapshot(&Self::root(&spec)?, snapshot)?,
                };
                tree::copy(&source, &target).map(drop)
            })
            .await
        });
        self.create(&made, None, Some(fill)).await?;
        let (spec, origin, target) = (self.spec.clone(), from.volume().clone(), to.clone());
        let wanted = wanted.to_vec();
        let copied =
            blocking(move || snapshots::copy_all(&Self::root(&spec)?, &origin, &target, &wanted)).await;
        if copied.is_err() {
            self.delete(to).await?;
        }
        copied
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
        Ok(()) // Directories need no mount.
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
            let dir = open(&Self::root(&spec)?, &volume)?;
            match (volume.content, size) {
                (Content::Block, Some(size)) => folder::grow_disk(&dir, size).map(|()| Quota::Enforced),
                (_, None) => Ok(Quota::Enforced),
                (Content::Filesystem, Some(_)) => Ok(Quota::NotEnforced),
            }
        })
        .await
    }

    async fn usage(&self, volume: &VolumeRef) -> Result<u64> {
        if volume.content == Content::Block {
            let (spec, volume) = (self.spec.clone(), volume.clone());
            return blocking(move || folder::disk_usage(&open(&Self::root(&spec)?, &volume)?)).await;
        }
        // Counting would mean to walk the tree; the reference answers the same.
        Err(Error::internal("Not supported"))
    }
}

/// Makes the volume's directory, writable for the filler; that of a custom volume with its mode from the beginning.
fn make(spec: &PoolSpec, volume: &VolumeRef, size: Option<u64>) -> Result<Dir> {
    let root = DirPool::root(spec)?;
    let mode = if volume.kind == VolumeKind::Custom { volume.mode() } else { 0o700 };
    root.mkdir(volume.path(), mode).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(),
        _ => io_error(error, format!("Failed to create volume \"{volume}\"")),
    })?;
    let dir = open(&root, volume)?;
    if volume.content == Content::Block {
        let size = size.unwrap_or(folder::DEFAULT_BLOCK_SIZE);
        let made = dir.create_new(DISK, 0o600).and_then(|disk| disk.set_len(size));
        made.map_err(|error| io_error(error, format!("Failed to create the disk of volume \"{volume}\"")))?;
    } else if size.is_some() {
        tracing::warn!(pool = %spec.name, %volume, "the size is not enforced: no project quotas in this pool");
    }
    Ok(dir)
}

/// Sets the final mode of a filled volume, or removes what could not be filled.
fn finish(spec: &PoolSpec, volume: &VolumeRef, dir: &Dir, filled: Result<()>) -> Result<()> {
    let done = filled.and_then(|()| folder::dress(dir, volume));
    if let Err(error) = done {
        let removed = DirPool::root(spec).and_then(|root| {
            remove_volume(&root, &volume.path()).map_err(|error| io_error(error, "Failed to remove it"))
        });
        if let Err(left) = removed {
            tracing::error!(%volume, error = %left.chain(), "failed to remove an unfinished volume");
        }
        return Err(error);
    }
    Ok(())
}

/// How often the removal of a volume is tried while somebody still writes into it (the helper of a daemon that was
/// killed, in its last moments).
const REMOVALS: u32 = 50;

/// Removes a volume's directory. Blocks.
pub(super) fn remove_volume(root: &Dir, path: &str) -> std::io::Result<()> {
    for _ in 1..REMOVALS {
        match root.remove_tree(path) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            other => return other,
        }
    }
    root.remove_tree(path)
}
