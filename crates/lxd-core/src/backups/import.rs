//! Reading backups. The archive is foreign input: its index goes through the same rules as a request, its files are unpacked by the
//! confined helper.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use lxd_image::read_member;
use lxd_instance::backup_yaml::{self, Index};
use lxd_storage::{Content, DISK, IncomingPart, Pool, VolumeRef, fill_with};
use lxd_sys::Dir;
use lxd_task::OpHandle;
use lxd_types::helper::{Format, Unpack, UnpackLimits, Unpacked};
use lxd_types::names::SnapshotName;
use lxd_types::{Error, IdMap, Kind, Result};
use tokio::io::AsyncWriteExt;

use super::archive::{not_optimized, places};
use crate::SharedCore;

/// The file with the facts about a backup.
const INDEX: &str = "backup/index.yaml";

/// The folder of everything in a backup.
const TOP: &str = "backup";

/// A backup that was received.
#[derive(Debug)]
pub(crate) struct Received {
    /// Has no name on disk: it goes with the daemon, however that ends.
    pub file: File,
    /// The snapshots that it has, oldest first.
    pub snapshots: Vec<SnapshotName>,
    /// The driver whose own form it has.
    pub optimized: Option<String>,
    owners: Owners,
}

/// By which maps the host that packed a backup shifted the owners of its files.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// In each snapshot, in their order.
    pub snapshots: Vec<IdMap>,
    /// In what was backed up.
    pub whole: IdMap,
}

impl Received {
    /// A backup with its index.
    pub fn new(file: File, snapshots: Vec<SnapshotName>, index: &Index) -> Self {
        let optimized = index.optimized.then(|| index.backend.clone());
        Self { file, snapshots, optimized, owners: Owners::default() }
    }

    /// The same with owners that were shifted: those of the inside are restored.
    ///
    /// # Errors
    /// It is in the form of a driver, in which no owner can be changed.
    pub fn shifted(self, owners: Owners) -> Result<Self> {
        let is_shifted = owners.snapshots.iter().chain([&owners.whole]).any(|map| !map.is_empty());
        if self.optimized.is_some() && is_shifted {
            return Err(Error::not_implemented(
                "The files of this optimized backup have the owners of another host's id map, which is not supported yet: make one that is not optimized",
            ));
        }
        Ok(Self { owners, ..self })
    }

    /// Refuses a backup that another driver made for itself.
    ///
    /// # Errors
    /// The driver differs.
    pub fn check_driver(&self, driver: &str) -> Result<()> {
        match &self.optimized {
            Some(own) if own != driver => Err(Error::bad_request(format!(
                "Optimized backup storage driver {own:?} differs from the target storage pool driver {driver:?}"
            ))),
            _ => Ok(()),
        }
    }
}

/// Receives a backup.
///
/// # Errors
/// The client went away, or the disk is full.
pub async fn receive(
    core: &SharedCore,
    mut body: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
) -> Result<File> {
    let failed = |error| Error::with_source(Kind::Internal, "Failed to receive the backup", error);
    let folder = core.paths.backups();
    let file = tokio::task::spawn_blocking(move || {
        use lxd_sys::dir::OFlags;
        Dir::open(folder)?.open_raw(".", OFlags::TMPFILE | OFlags::RDWR, 0o600).map(File::from)
    });
    let file = file.await.map_err(|panic| Error::internal(panic.to_string()))?.map_err(failed)?;
    let mut file = tokio::fs::File::from_std(file);
    while let Some(block) = body.next().await {
        file.write_all(&block.map_err(failed)?).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(file.into_std().await)
}

/// The facts about a received backup.
///
/// # Errors
/// It is no backup.
pub async fn read_index(file: File) -> Result<(File, Index)> {
    tokio::task::spawn_blocking(move || read(file))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        // The reference's answer, status included.
        .map_err(|error| error.with_kind(Kind::Internal))
}

fn read(mut file: File) -> Result<(File, Index)> {
    let rewound = file.seek(SeekFrom::Start(0));
    rewound.map_err(|error| Error::with_source(Kind::Internal, "Failed to read the backup", error))?;
    let text = read_member(&mut file, INDEX, backup_yaml::LIMIT)?;
    let text = text.ok_or_else(|| Error::bad_request(format!("Backup is missing {INDEX:?}")))?;
    let index: Index = lxd_image::parse_yaml(&text)?;
    Ok((file, index))
}

/// Makes the volume: unpacks the snapshots, oldest first, each into the volume of which it is then made, and at last what was
/// backed up.
///
/// # Errors
/// The archive is damaged or hostile, or the storage fails.
pub(crate) async fn fill(
    core: &SharedCore,
    op: &OpHandle,
    backup: &Received,
    pool: &Arc<dyn Pool>,
    volume: &VolumeRef,
    size: Option<u64>,
) -> Result<()> {
    let (whole, snapshots) = places(volume);
    if backup.optimized.is_some() {
        receive_streams(core, op, backup, pool, volume).await?;
        return resize(pool, volume, size).await;
    }
    let mut made = false;
    for (at, name) in backup.snapshots.iter().enumerate() {
        let owners = backup.owners.snapshots.get(at).cloned().unwrap_or_default();
        let part = part(core, op, backup, volume, format!("{snapshots}/{name}"), owners)?;
        replace(pool, volume, part, made).await?;
        pool.create_snapshot(&volume.snapshot(name)).await?;
        made = true;
    }
    replace(
        pool,
        volume,
        part(core, op, backup, volume, whole.to_owned(), backup.owners.whole.clone())?,
        made,
    )
    .await?;
    resize(pool, volume, size).await
}

async fn resize(pool: &Arc<dyn Pool>, volume: &VolumeRef, size: Option<u64>) -> Result<()> {
    if size.is_some() {
        pool.resize(volume, size).await?;
    }
    Ok(())
}

/// Lets the driver read its own form.
async fn receive_streams(
    core: &SharedCore,
    op: &OpHandle,
    backup: &Received,
    pool: &Arc<dyn Pool>,
    volume: &VolumeRef,
) -> Result<()> {
    let streams = pool.streams().ok_or_else(not_optimized)?;
    let (whole, snapshots) = places(volume);
    let below = |place: &str| place.trim_start_matches(TOP).trim_start_matches('/').to_owned();
    let of = |name: &SnapshotName| IncomingPart {
        place: format!("{}/{name}", below(snapshots)),
        snapshot: Some(name.clone()),
    };
    let mut parts: Vec<IncomingPart> = backup.snapshots.iter().map(of).collect();
    parts.push(IncomingPart { place: below(whole), snapshot: None });
    let part = part(core, op, backup, volume, TOP.to_owned(), IdMap::default())?;
    let unpack =
        fill_with(move |dir: Arc<Dir>| async move { part.run(&dir, TOP.to_owned(), Vec::new()).await });
    streams.incoming(volume, &parts, unpack).await
}

/// A part of an archive that will be unpacked.
struct Part {
    core: SharedCore,
    op: OpHandle,
    archive: File,
    content: Content,
    place: String,
    /// By which map the owners of its files are shifted.
    owners: IdMap,
}

fn part(
    core: &SharedCore,
    op: &OpHandle,
    backup: &Received,
    of: &VolumeRef,
    place: String,
    owners: IdMap,
) -> Result<Part> {
    // A descriptor of its own: each reader begins at the beginning.
    let archive = File::open(format!("/proc/self/fd/{}", backup.file.as_raw_fd()))
        .map_err(|error| Error::with_source(Kind::Internal, "Failed to open the backup", error))?;
    Ok(Part { core: core.clone(), op: op.clone(), archive, content: of.content, place, owners })
}

/// Makes a part of the archive the content of the volume, which may be there already.
async fn replace(pool: &Arc<dyn Pool>, volume: &VolumeRef, part: Part, made: bool) -> Result<()> {
    if made {
        let mounted = pool.mount(volume).await?;
        let dir = mounted.dir.clone();
        on_disk("Failed to clear the volume", move || dir.clear()).await?;
        let done = part.unpack(mounted.dir).await;
        return done.and(pool.unmount(volume).await);
    }
    // The disk of a block volume comes with the content.
    let made = volume.clone().with_content(Content::Filesystem);
    pool.create(&made, None, Some(fill_with(move |dir: Arc<Dir>| part.unpack(dir)))).await
}

impl Part {
    async fn unpack(self, target: Arc<Dir>) -> Result<()> {
        match self.content {
            Content::Filesystem => {
                let place = self.place.clone();
                self.run(&target, place, Vec::new()).await
            }
            Content::Block => {
                let file = format!("{}.img", self.place);
                let (above, name) = file.rsplit_once('/').unwrap_or(("", &file));
                let (above, name) = (above.to_owned(), name.to_owned());
                self.run(&target, above, vec![file.clone()]).await?;
                on_disk("Failed to name the disk", move || {
                    target.rename(&*name, DISK)?;
                    match target.open_file(DISK)?.metadata()?.is_file() {
                        true => Ok(()),
                        false => Err(std::io::Error::other("it is no file")),
                    }
                })
                .await
            }
        }
    }

    async fn run(&self, target: &Dir, strip: String, only: Vec<String>) -> Result<()> {
        let limits = UnpackLimits::default();
        let owners = self.owners.clone();
        let (format, stop_early) = (Format::Detect, false);
        let job = Unpack { format, strip, only, stop_early, owners, devices: true, limits };
        let fds = [self.archive.as_fd(), target.as_fd()];
        let mut helper = self.core.helper()?.start("unpack", &job, &fds, None).await?;
        // Leaving this function kills the helper: that is how a cancelled operation ends it.
        tokio::select! {
            () = self.op.cancelled() => self.op.check(),
            done = helper.answer::<Unpacked>() => match done {
                Ok(unpacked) if unpacked.entries == 0 => {
                    Err(Error::bad_request("The backup lacks files"))
                }
                other => other.map(drop).map_err(|error| error.context("Failed to unpack the backup")),
            },
        }
    }
}

async fn on_disk(
    what: &'static str,
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> Result<()> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        .map_err(|error| Error::with_source(Kind::Internal, what, error))
}
