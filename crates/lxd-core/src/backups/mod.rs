//! Backups of instances and custom volumes (manual 3.4.1, API extension `custom_volume_backup`). A backup is one archive in the
//! form of servers in the field: `backup/index.yaml`, then the snapshots, then what is backed up.

mod archive;
mod change;
mod create;
mod import;

use std::fs::File;

use lxd_api::instance::InstanceBackup;
use lxd_api::storage_volume::StoragePoolVolumeBackup;
use lxd_auth::Permit;
use lxd_db::{Tx, backups as rows};
use lxd_storage::VolumeKind;
use lxd_sys::Dir;
use lxd_types::names::{BackupName, ProjectName};
use lxd_types::{Error, Kind, Result};

pub use change::{delete, expire, rename};
pub(crate) use change::{settle, undo_create};
pub(crate) use create::{Held, Material};
pub use create::{Request, create};
pub(crate) use import::{Owners, Received, fill};
pub use import::{read_index, receive};
pub use lxd_db::backups::Backup;

use crate::instances::{self, InstanceKey};
use crate::lifecycle::Lifecycle;
use crate::storage_volumes::{self, VolumeKey};
use crate::{SharedCore, Undo, with_project};

/// How often a folder is made again that another action removed as empty.
const TRIES: usize = 16;

/// What a backup is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Owner {
    /// An instance.
    Instance(InstanceKey),
    /// A custom volume, in the project that owns it.
    Volume(VolumeKey),
}

impl Owner {
    /// A custom volume as a request names it.
    ///
    /// # Errors
    /// Another type of volume, no such project.
    pub async fn volume(core: &SharedCore, key: VolumeKey) -> Result<Self> {
        if key.kind != VolumeKind::Custom {
            return Err(Error::bad_request(format!("Invalid storage volume type \"{}\"", key.kind)));
        }
        let project = crate::projects::owner_name(core, &key.project, "storage.volumes").await?.parse()?;
        Ok(Self::Volume(VolumeKey { project, ..key }))
    }

    fn project(&self) -> &ProjectName {
        match self {
            Self::Instance(key) => &key.project,
            Self::Volume(key) => &key.project,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Instance(key) => key.name.as_str(),
            Self::Volume(key) => key.name.as_str(),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Instance(key) => key.url(),
            Self::Volume(key) => key.url(),
        }
    }

    /// The folder below `backups`.
    fn folder(&self) -> String {
        match self {
            Self::Instance(key) => format!("instances/{}", key.storage_name()),
            Self::Volume(key) => format!("custom/{}/{}", key.pool, key.volume().storage_name()),
        }
    }

    /// The row that backups belong to.
    fn row(&self, tx: &Tx<'_>) -> Result<rows::Of> {
        Ok(match self {
            Self::Instance(key) => rows::Of::Instance(instances::load(tx, key)?.row.id),
            Self::Volume(key) => rows::Of::Volume(storage_volumes::id(tx, key)?),
        })
    }

    /// The journal's entry that removes a backup whose making does not end.
    fn forget(&self, backup: &BackupName, created: chrono::DateTime<chrono::Utc>) -> Undo {
        let name = backup.clone();
        match self {
            Self::Instance(key) => {
                let (project, instance) = (key.project.clone(), key.name.clone());
                Undo::ForgetBackup { project, instance, name, created }
            }
            Self::Volume(key) => {
                Undo::ForgetVolumeBackup { pool: key.pool.clone(), volume: key.volume(), name, created }
            }
        }
    }

    /// The journal's entry that makes file and row agree.
    fn settling(&self, old: &BackupName, new: &BackupName) -> Undo {
        let (old, new) = (old.clone(), new.clone());
        match self {
            Self::Instance(key) => {
                let (project, instance) = (key.project.clone(), key.name.clone());
                Undo::SettleBackup { project, instance, old, new }
            }
            Self::Volume(key) => {
                Undo::SettleVolumeBackup { pool: key.pool.clone(), volume: key.volume(), old, new }
            }
        }
    }
}

/// What happened to a backup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    Created,
    Renamed,
    Deleted,
    Retrieved,
}

/// Names a backup as a request does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackupKey {
    /// What it is of.
    pub owner: Owner,
    /// The backup's own name; what is no name does not exist.
    pub name: String,
}

impl BackupKey {
    /// The URL without project.
    pub fn url(&self) -> String {
        format!("{}/backups/{}", self.owner.url(), self.name)
    }

    /// The file's name in the folder of its owner.
    ///
    /// # Errors
    /// It is no name.
    fn file(&self) -> Result<BackupName> {
        self.name.parse().map_err(Error::from)
    }

    fn event(&self, permit: &Permit, what: Event) -> Lifecycle {
        let action = match (&self.owner, what) {
            (Owner::Instance(_), Event::Created) => "instance-backup-created",
            (Owner::Instance(_), Event::Renamed) => "instance-backup-renamed",
            (Owner::Instance(_), Event::Deleted) => "instance-backup-deleted",
            (Owner::Instance(_), Event::Retrieved) => "instance-backup-retrieved",
            (Owner::Volume(_), Event::Created) => "storage-volume-backup-created",
            (Owner::Volume(_), Event::Renamed) => "storage-volume-backup-renamed",
            (Owner::Volume(_), Event::Deleted) => "storage-volume-backup-deleted",
            (Owner::Volume(_), Event::Retrieved) => "storage-volume-backup-retrieved",
        };
        let event = Lifecycle::new(action, self.url()).in_project(permit.project());
        match (&self.owner, what) {
            (Owner::Volume(key), Event::Created) => event.with("type", key.kind.as_str()),
            _ => event,
        }
    }
}

/// The backups of an instance or volume.
///
/// # Errors
/// There is no such thing.
pub async fn list(core: &SharedCore, owner: &Owner) -> Result<Vec<rows::Backup>> {
    let owner = owner.clone();
    core.db.read(move |tx| rows::list(tx, owner.row(tx)?)).await
}

/// Their URLs.
///
/// # Errors
/// There is no such thing.
pub async fn urls(core: &SharedCore, permit: &Permit, owner: &Owner) -> Result<Vec<String>> {
    let found = list(core, owner).await?;
    let url = |backup: rows::Backup| {
        let key = BackupKey { owner: owner.clone(), name: backup.name };
        with_project(&key.url(), permit.project())
    };
    Ok(found.into_iter().map(url).collect())
}

/// One backup.
///
/// # Errors
/// Not found.
pub async fn get(core: &SharedCore, key: &BackupKey) -> Result<rows::Backup> {
    let wanted = key.clone();
    core.db.read(move |tx| find(tx, &wanted).map(|found| found.1)).await
}

/// The open archive and its size.
///
/// # Errors
/// Not found.
pub async fn open(core: &SharedCore, permit: &Permit, key: &BackupKey) -> Result<(File, u64)> {
    get(core, key).await?;
    let name = key.file()?;
    let opened = in_folder(core, &key.owner, move |folder| {
        let file = folder.open_file(name.as_str())?;
        let size = file.metadata()?.len();
        Ok((file, size))
    });
    let opened = opened.await?;
    core.tell(permit.caller(), key.event(permit, Event::Retrieved));
    Ok(opened)
}

/// A backup of an instance as the API shows it.
pub fn of_instance(row: rows::Backup) -> InstanceBackup {
    InstanceBackup {
        name: row.name,
        created_at: row.created.into(),
        expires_at: row.expiry.map(Into::into).unwrap_or_default(),
        instance_only: row.alone,
        container_only: row.alone,
        optimized_storage: row.optimized,
    }
}

/// A backup of a volume as the API shows it.
pub fn of_volume(row: rows::Backup) -> StoragePoolVolumeBackup {
    StoragePoolVolumeBackup {
        name: row.name,
        created_at: row.created.into(),
        expires_at: row.expiry.map(Into::into).unwrap_or_default(),
        volume_only: row.alone,
        optimized_storage: row.optimized,
    }
}

/// What a backup is called until it is whole.
fn draft(name: &BackupName) -> String {
    format!(".{name}.part")
}

fn find(tx: &Tx<'_>, key: &BackupKey) -> Result<(rows::Of, rows::Backup)> {
    let of = key.owner.row(tx)?;
    let found = rows::get(tx, of, &key.name);
    let row = match key.owner {
        Owner::Instance(_) => found.map_err(|error| error.context("Load backup from database"))?,
        Owner::Volume(_) => found?,
    };
    Ok((of, row))
}

/// Does something with the folder of the backups of an instance or volume.
async fn in_folder<T: Send + 'static>(
    core: &SharedCore,
    owner: &Owner,
    work: impl FnOnce(Dir) -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let _inside = core.backup_store.enter().await;
    let (root, path) = (core.paths.backups(), owner.folder());
    let done = tokio::task::spawn_blocking(move || {
        let all = Dir::open(root)?;
        let done = work(folder(&all, &path)?);
        // They stay only while there is something in them.
        let _ = all.remove_dir(&path);
        if let Some((pool, _)) = path.strip_prefix("custom/").and_then(|rest| rest.split_once('/')) {
            let _ = all.remove_dir(format!("custom/{pool}"));
        }
        done
    });
    done.await
        .map_err(|panic| Error::internal(panic.to_string()))?
        .map_err(|error| Error::with_source(Kind::Internal, "Failed to work on the backups", error))
}

/// Opens a folder, which is made when it is missing.
fn folder(all: &Dir, path: &str) -> std::io::Result<Dir> {
    for _ in 1..TRIES {
        match all.mkdir_all(path, 0o700).and_then(|()| all.open_dir(path)) {
            // Somebody else's action was done with it in this moment.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => return other,
        }
    }
    all.mkdir_all(path, 0o700)?;
    all.open_dir(path)
}

/// The folders of a volume's backups go with it to its new place.
///
/// # Errors
/// The file system refuses it.
pub(crate) async fn carry(core: &crate::Core, old: &VolumeKey, new: &VolumeKey) -> Result<()> {
    let _inside = core.backup_store.enter().await;
    let [old, new] = [old, new].map(|key| Owner::Volume(key.clone()).folder());
    let root = core.paths.backups();
    let done = tokio::task::spawn_blocking(move || {
        let all = Dir::open(root)?;
        if !all.exists(&old).or_else(missing)? {
            return Ok(());
        }
        let above = |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_owned());
        if let Some(above) = above(&new) {
            all.mkdir_all(&above, 0o700)?;
        }
        all.rename_new(&old, &new)?;
        if let Some(above) = above(&old) {
            let _ = all.remove_dir(above);
        }
        Ok(())
    });
    done.await.map_err(|panic| Error::internal(panic.to_string()))?.map_err(|error: std::io::Error| {
        Error::with_source(Kind::Internal, "Failed to move the backups", error)
    })
}

/// Removes the backups of a volume that is gone.
///
/// # Errors
/// The file system refuses it.
pub(crate) async fn remove_all(core: &crate::Core, volume: &VolumeKey) -> Result<()> {
    let _inside = core.backup_store.enter().await;
    let (root, path) = (core.paths.backups(), Owner::Volume(volume.clone()).folder());
    let done = tokio::task::spawn_blocking(move || {
        let all = Dir::open(root)?;
        if all.exists(&path).or_else(missing)? {
            all.remove_tree(&path)?;
            if let Some((above, _)) = path.rsplit_once('/') {
                let _ = all.remove_dir(above);
            }
        }
        Ok(())
    });
    done.await.map_err(|panic| Error::internal(panic.to_string()))?.map_err(|error: std::io::Error| {
        Error::with_source(Kind::Internal, "Failed to remove the backups", error)
    })
}

/// A folder above that is missing is as good as the folder missing.
fn missing(error: std::io::Error) -> std::io::Result<bool> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(false) } else { Err(error) }
}
