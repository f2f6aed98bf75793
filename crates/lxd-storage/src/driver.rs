//! What a pool driver offers: three traits that fit on a screen.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use lxd_host::runner::{Cmd, Runner};
use lxd_sys::Dir;
use lxd_task::lane::Lane;
use lxd_types::names::{PoolName, SnapshotName};
use lxd_types::{Config, Error, Result};
use serde::Serialize;

use crate::btrfs::BtrfsPool;
use crate::dir::DirPool;
use crate::volume::{Origin, SnapshotRef, VolumeKind, VolumeRef};

/// Fills a new volume: gets the volume's directory (unpacks an image into it, copies another volume, …).
pub type Filler = Box<dyn FnOnce(Arc<Dir>) -> Filling + Send>;

/// The work of a [`Filler`].
pub type Filling = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Makes a [`Filler`] of an async closure.
pub fn fill_with<W>(fill: impl FnOnce(Arc<Dir>) -> W + Send + 'static) -> Filler
where
    W: Future<Output = Result<()>> + Send + 'static,
{
    Box::new(move |dir| Box::pin(fill(dir)))
}

/// A volume that can be used: its directory and the path under which mounts name it.
#[derive(Clone, Debug)]
pub struct Mounted {
    /// The volume's directory. All access to its content goes through it.
    pub dir: Arc<Dir>,
    /// Its path below `LXD_DIR`, for mount entries and messages.
    pub path: PathBuf,
}

/// Space of a pool, as `GET /1.0/storage-pools/{pool}/resources` tells it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PoolResources {
    /// Bytes used.
    pub space_used: u64,
    /// Bytes in all.
    pub space_total: u64,
    /// Inodes used.
    pub inodes_used: u64,
    /// Inodes in all.
    pub inodes_total: u64,
}

/// What became of a wished size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quota {
    /// The size is enforced from now on.
    Enforced,
    /// This pool cannot limit sizes; the wish is only recorded.
    NotEnforced,
}

/// Volumes of one pool. Every method may be repeated after a crash: what is half made is removed by
/// [`Volumes::delete`]. Copies between pools: [`crate::transfer`].
#[async_trait]
pub trait Volumes: Send + Sync {
    /// Makes a volume and fills it; nothing is left when that fails.
    ///
    /// # Errors
    /// `Conflict` when it exists, what the filler returns, I/O errors.
    async fn create(&self, volume: &VolumeRef, size: Option<u64>, fill: Option<Filler>) -> Result<()>;

    /// Removes a volume with all that is in it, and with its snapshots.
    ///
    /// # Errors
    /// `NotFound`, I/O errors.
    async fn delete(&self, volume: &VolumeRef) -> Result<()>;

    /// Gives a volume, with its snapshots, another name, in the same or in another project. One that was interrupted is
    /// finished by calling it again, or taken back by the opposite call.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`.
    async fn rename(&self, volume: &VolumeRef, to: &VolumeRef) -> Result<()>;

    /// Makes `to` as a copy of `from`, both in this pool, with owners, modes, times, links and attributes, and with
    /// these snapshots of the volume (named as there).
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, I/O errors; nothing is left then.
    async fn copy(&self, from: &Origin, to: &VolumeRef, snapshots: &[SnapshotName]) -> Result<()>;

    /// Makes the volume's content reachable; may be called again while it is.
    ///
    /// # Errors
    /// `NotFound`.
    async fn mount(&self, volume: &VolumeRef) -> Result<Mounted>;

    /// Ends what [`Volumes::mount`] began.
    ///
    /// # Errors
    /// `Busy` when something still uses it.
    async fn unmount(&self, volume: &VolumeRef) -> Result<()>;

    /// Whether the volume is there.
    ///
    /// # Errors
    /// I/O errors.
    async fn exists(&self, volume: &VolumeRef) -> Result<bool>;

    /// Storage names of all volumes of a type, sorted.
    ///
    /// # Errors
    /// I/O errors.
    async fn list(&self, kind: VolumeKind) -> Result<Vec<String>>;

    /// Limits the size in bytes (none: no limit).
    ///
    /// # Errors
    /// `NotFound`.
    async fn resize(&self, volume: &VolumeRef, size: Option<u64>) -> Result<Quota>;

    /// Bytes that the volume takes.
    ///
    /// # Errors
    /// `NotImplemented` ("Not supported") where the driver does not count.
    async fn usage(&self, volume: &VolumeRef) -> Result<u64>;
}

/// Snapshots of the volumes of one pool. As for [`Volumes`], every method may be repeated.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// Keeps the volume as it is now. The caller stops writers (freezes the instance) where that matters.
    ///
    /// # Errors
    /// `NotFound` (the volume), `Conflict` (the snapshot is there), I/O errors; nothing is left then.
    async fn create_snapshot(&self, snapshot: &SnapshotRef) -> Result<()>;

    /// Removes a snapshot, also a half made one.
    ///
    /// # Errors
    /// `NotFound`, I/O errors.
    async fn delete_snapshot(&self, snapshot: &SnapshotRef) -> Result<()>;

    /// Gives a snapshot another name.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`.
    async fn rename_snapshot(&self, snapshot: &SnapshotRef, name: &SnapshotName) -> Result<()>;

    /// Makes the snapshot's content reachable for reading; nothing can be written through [`Mounted::dir`].
    ///
    /// # Errors
    /// `NotFound`.
    async fn mount_snapshot(&self, snapshot: &SnapshotRef) -> Result<Mounted>;

    /// Lets `work` change a snapshot in place, which nobody else may: its content stays what it was.
    ///
    /// # Errors
    /// `NotFound`, what `work` returns.
    async fn change_snapshot(&self, snapshot: &SnapshotRef, work: Filler) -> Result<()>;

    /// Ends what [`Snapshots::mount_snapshot`] began.
    ///
    /// # Errors
    /// `Busy` when something still uses it.
    async fn unmount_snapshot(&self, snapshot: &SnapshotRef) -> Result<()>;

    /// Makes the volume as the snapshot is. Either it is done wholly or the volume is as before; it is repeated after
    /// a crash. Nothing may use the volume.
    ///
    /// # Errors
    /// `NotFound`, I/O errors.
    async fn restore_snapshot(&self, snapshot: &SnapshotRef) -> Result<()>;

    /// Names of the volume's snapshots, sorted.
    ///
    /// # Errors
    /// I/O errors.
    async fn list_snapshots(&self, volume: &VolumeRef) -> Result<Vec<String>>;

    /// Removes what an interrupted restore left beside the volume.
    ///
    /// # Errors
    /// I/O errors.
    async fn settle(&self, volume: &VolumeRef) -> Result<()>;

    /// Bytes that the snapshot takes.
    ///
    /// # Errors
    /// `NotImplemented` ("Not supported") where the driver does not count.
    async fn snapshot_usage(&self, snapshot: &SnapshotRef) -> Result<u64>;
}

/// A snapshot that goes into a backup.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutgoingPart {
    /// Where it stands in the archive, without the ending.
    pub place: String,
    /// Its name; empty for what stands for the volume itself.
    pub name: String,
    /// The snapshot.
    pub snapshot: SnapshotRef,
}

/// A part of a volume that comes from a backup.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IncomingPart {
    /// Where it stands in the unpacked archive, without the ending.
    pub place: String,
    /// The snapshot that it becomes; the volume itself when there is none.
    pub snapshot: Option<SnapshotName>,
}

/// Writes a stream into a file; blocks.
pub type Sender = Box<dyn FnOnce(&File) -> std::io::Result<()> + Send>;

/// One stream on its way out.
pub struct Stream {
    /// The name of its file in the archive.
    pub name: String,
    /// Writes it.
    pub send: Sender,
}

/// What the header of a backup says of one stream (the form is that of servers in the field).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Subvolume {
    /// Path below the volume.
    pub path: String,
    /// The snapshot that it belongs to, or empty.
    pub snapshot: String,
    /// Whether it is read-only.
    pub readonly: bool,
    /// Its id on the file system that it comes from.
    pub uuid: String,
}

/// All streams of a volume.
#[derive(Default)]
pub struct Outgoing {
    /// The header.
    pub subvolumes: Vec<Subvolume>,
    /// In the order in which they are to be received.
    pub streams: Vec<Stream>,
}

/// Volumes in a form that only the same driver reads, for backups.
#[async_trait]
pub trait Streams: Send + Sync {
    /// The streams of snapshots of one volume, the oldest first.
    ///
    /// # Errors
    /// `NotFound`, I/O errors.
    async fn outgoing(&self, parts: &[OutgoingPart]) -> Result<Outgoing>;

    /// Makes a volume with its snapshots of streams; `unpack` puts their files into a directory. Nothing is left when that
    /// fails.
    ///
    /// # Errors
    /// `Conflict` when it exists, what `unpack` returns, a damaged stream.
    async fn incoming(&self, volume: &VolumeRef, parts: &[IncomingPart], unpack: Filler) -> Result<()>;
}

/// The pool itself.
#[async_trait]
pub trait Pool: Volumes + Snapshots {
    /// What it was opened with.
    fn spec(&self) -> &PoolSpec;

    /// Whether images are kept as volumes, of which instances are copied at no cost.
    fn keeps_images(&self) -> bool {
        false
    }

    /// The driver's own form of volumes, where it has one.
    fn streams(&self) -> Option<&dyn Streams> {
        None
    }

    /// Makes the pool's place and lay-out; `spec.config` was made by [`PoolDriver::plan`].
    ///
    /// # Errors
    /// Texts of the reference for sources that cannot be used; nothing is left then.
    async fn create_pool(&self) -> Result<()>;

    /// Removes the pool's own directories.
    ///
    /// # Errors
    /// `Conflict` when volumes are left in it: their data is never deleted with the pool.
    async fn delete_pool(&self) -> Result<()>;

    /// Makes the pool usable (after a start of the daemon); may be called again.
    ///
    /// # Errors
    /// `Unavailable` with the reason.
    async fn mount_pool(&self) -> Result<()>;

    /// Makes a pool reachable that is there but not in use, and changes nothing in it. Answers whether it was not reachable
    /// before: then [`Pool::unmount_pool`] leaves it again.
    ///
    /// # Errors
    /// `Unavailable`: the source is not there, or no pool.
    async fn adopt_pool(&self) -> Result<bool>;

    /// Ends what [`Pool::adopt_pool`] began.
    ///
    /// # Errors
    /// `Busy` when something uses it.
    async fn unmount_pool(&self) -> Result<()>;

    /// Makes the pool larger.
    ///
    /// # Errors
    /// It has no size of its own; it would become smaller.
    async fn resize_pool(&self, _size: u64) -> Result<()> {
        Err(Error::bad_request("The size of this storage pool cannot be changed"))
    }

    /// Whether its place can be opened.
    ///
    /// # Errors
    /// `Unavailable`: it is not there, or its file system does not answer in time.
    async fn check(&self) -> Result<()>;

    /// Applies changed mount options to the mount that is there.
    ///
    /// # Errors
    /// The file system does not know them.
    async fn remount(&self) -> Result<()> {
        Ok(())
    }

    /// Space used and there.
    ///
    /// # Errors
    /// `Unavailable` when the file system does not answer in time.
    async fn resources(&self) -> Result<PoolResources>;
}

/// What makes a pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolSpec {
    /// Its name.
    pub name: PoolName,
    /// `LXD_DIR`.
    pub lxd_dir: PathBuf,
    /// The value of the key `source`.
    pub source: PathBuf,
    /// All its keys.
    pub config: Config,
}

impl PoolSpec {
    /// Where the pool is reachable: `LXD_DIR/storage-pools/NAME`.
    pub fn mount_path(&self) -> PathBuf {
        self.lxd_dir.join("storage-pools").join(self.name.as_str())
    }
}

/// A driver by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PoolDriver {
    /// Plain directories.
    Dir,
    /// Subvolumes of btrfs.
    Btrfs,
}

impl PoolDriver {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Btrfs => "btrfs",
        }
    }

    /// The keys of a new pool: those that the user gave, with the `source` (and `size`) that they mean.
    ///
    /// # Errors
    /// The source cannot be used.
    pub fn plan(self, lxd_dir: &Path, name: &PoolName, mut config: Config) -> Result<Config> {
        config.retain(|_, value| !value.is_empty());
        match self {
            Self::Btrfs => crate::btrfs::plan(lxd_dir, name, config),
            Self::Dir => {
                let own = lxd_dir.join("storage-pools").join(name.as_str());
                config.entry("source".to_owned()).or_insert_with(|| own.to_string_lossy().into_owned());
                Ok(config)
            }
        }
    }
}

/// A driver as `GET /1.0` tells it (`storage_supported_drivers`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Driver {
    /// Its name.
    pub name: &'static str,
    /// Version of what does the work.
    pub version: String,
    /// Whether volumes live on another machine.
    pub remote: bool,
}

/// The drivers that work on this host.
pub async fn available(runner: &dyn Runner) -> Vec<Driver> {
    let mut found = Vec::new();
    let kernel = tokio::fs::read_to_string("/proc/filesystems").await.unwrap_or_default();
    if kernel.lines().any(|line| line.trim() == "btrfs")
        && let Ok(output) = runner.run(Cmd::new("mkfs.btrfs").arg("--version")).await
    {
        let text = output.text();
        let version = text.split_whitespace().last().unwrap_or_default().trim_start_matches('v').to_owned();
        found.push(Driver { name: "btrfs", version, remote: false });
    }
    found.push(Driver { name: "dir", version: "1".to_owned(), remote: false });
    found
}

/// The driver that a pool asks for.
///
/// # Errors
/// `NotImplemented` for drivers of the manual that this version lacks, `Internal` (as the reference) for unknown ones.
pub fn driver_by_name(name: &str) -> Result<PoolDriver> {
    match name {
        "dir" => Ok(PoolDriver::Dir),
        "btrfs" => Ok(PoolDriver::Btrfs),
        "" => Err(Error::bad_request("No driver provided")),
        "zfs" | "lvm" | "ceph" | "cephfs" | "cephobject" => {
            Err(Error::not_implemented(format!("Storage driver \"{name}\" is not supported yet")))
        }
        // The reference's answer, status included.
        _ => Err(Error::internal("Unknown driver")),
    }
}

/// The pool of a driver; touches nothing yet. Whoever opens a pool again gives the same lane.
pub fn open_pool(driver: PoolDriver, spec: PoolSpec, runner: Arc<dyn Runner>, lane: Lane) -> Arc<dyn Pool> {
    match driver {
        PoolDriver::Dir => Arc::new(DirPool::new(spec, lane)),
        PoolDriver::Btrfs => Arc::new(BtrfsPool::new(spec, runner, lane)),
    }
}
