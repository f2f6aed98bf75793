//! Copies of volumes inside a pool or between two, and refreshing a copy.

use std::sync::Arc;

use lxd_sys::Dir;
use lxd_types::Result;
use lxd_types::names::SnapshotName;

use crate::blocking::blocking;
use crate::driver::{Mounted, Pool, fill_with};
use crate::tree;
use crate::volume::{Content, Origin, VolumeRef};

/// Makes `to` in the pool `target` as a copy of `from` in the pool `source`, with these snapshots of its volume, in the
/// order of their making. What a snapshot shares with its volume is shared in the copy where the driver can.
///
/// # Errors
/// `NotFound`, `Conflict`, I/O errors; nothing is left then.
pub async fn copy(
    source: &Arc<dyn Pool>,
    from: &Origin,
    target: &Arc<dyn Pool>,
    to: &VolumeRef,
    snapshots: &[SnapshotName],
) -> Result<()> {
    if source.spec() == target.spec() {
        return target.copy(from, to, snapshots).await;
    }
    // The disk of a block volume comes with the content.
    let made = to.clone().with_content(Content::Filesystem);
    let first = match snapshots.first() {
        Some(name) => Origin::Snapshot(from.volume().snapshot(name)),
        None => from.clone(),
    };
    let (pool, origin) = (source.clone(), first);
    let fill = fill_with(move |dir: Arc<Dir>| async move {
        let content = mount(&pool, &origin).await?;
        let copied = blocking(move || tree::copy(&content.dir, &dir).map(drop)).await;
        copied.and(unmount(&pool, &origin).await)
    });
    target.create(&made, None, Some(fill)).await?;
    if snapshots.is_empty() {
        return Ok(());
    }
    let done = async {
        target.create_snapshot(&to.snapshot(&snapshots[0])).await?;
        refresh(source, from, target, to, &snapshots[1..]).await
    };
    let done = done.await;
    if done.is_err() {
        target.delete(to).await?;
    }
    done
}

/// Makes the volume `to` equal to `from`, writing only what differs, after it got the `missing` snapshots of the volume
/// of `from` (in the order of their making). What fails in between is made good by calling it again.
///
/// # Errors
/// `NotFound`, I/O errors.
pub async fn refresh(
    source: &Arc<dyn Pool>,
    from: &Origin,
    target: &Arc<dyn Pool>,
    to: &VolumeRef,
    missing: &[SnapshotName],
) -> Result<()> {
    for name in missing {
        content(source, &Origin::Snapshot(from.volume().snapshot(name)), target, to).await?;
        target.create_snapshot(&to.snapshot(name)).await?;
    }
    content(source, from, target, to).await
}

/// Makes the content of `to` equal to that of `from`.
async fn content(
    source: &Arc<dyn Pool>,
    from: &Origin,
    target: &Arc<dyn Pool>,
    to: &VolumeRef,
) -> Result<()> {
    let (new, old) = (mount(source, from).await?, target.mount(to).await?);
    let done = blocking(move || tree::refresh(&new.dir, &old.dir).map(drop)).await;
    let ended = target.unmount(to).await.and(unmount(source, from).await);
    done.and(ended)
}

/// Makes the content of a volume or snapshot reachable.
///
/// # Errors
/// `NotFound`.
pub async fn mount(pool: &Arc<dyn Pool>, origin: &Origin) -> Result<Mounted> {
    match origin {
        Origin::Volume(volume) => pool.mount(volume).await,
        Origin::Snapshot(snapshot) => pool.mount_snapshot(snapshot).await,
    }
}

/// Ends what [`mount`] began.
///
/// # Errors
/// `Busy`.
pub async fn unmount(pool: &Arc<dyn Pool>, origin: &Origin) -> Result<()> {
    match origin {
        Origin::Volume(volume) => pool.unmount(volume).await,
        Origin::Snapshot(snapshot) => pool.unmount_snapshot(snapshot).await,
    }
}
