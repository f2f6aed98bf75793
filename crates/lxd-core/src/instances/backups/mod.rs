//! Backups of instances: `/1.0/instances/{name}/backups` (manual 3.4.1). A backup is one archive in the form of servers in
//! the field: `backup/index.yaml`, `backup/container` and `backup/snapshots/NAME`.

mod create;
pub mod expire;
mod manage;

use lxd_api::instance::InstanceBackup;
use lxd_db::{Tx, instance_backups as rows};
use lxd_sys::Dir;
use lxd_types::names::BackupName;
use lxd_types::{Error, Kind, Result};

pub use create::create;
pub use manage::{delete, get, list, open, rename, urls};
pub(crate) use manage::{settle, undo_create};

use super::{InstanceKey, load};
use crate::SharedCore;

/// The directory of all backups below `LXD_DIR`.
const FOLDER: &str = "backups/instances";

/// Names a backup as a request does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackupKey {
    /// The instance.
    pub instance: InstanceKey,
    /// The backup's own name; what is no name does not exist.
    pub name: String,
}

impl BackupKey {
    /// The URL without project.
    pub fn url(&self) -> String {
        format!("{}/backups/{}", self.instance.url(), self.name)
    }

    /// The file's name in the folder of the instance.
    ///
    /// # Errors
    /// It is no name.
    fn file(&self) -> Result<BackupName> {
        self.name.parse().map_err(Error::from)
    }
}

/// What a backup is called until it is whole.
fn draft(name: &BackupName) -> String {
    format!(".{name}.part")
}

fn find(tx: &Tx<'_>, key: &BackupKey) -> Result<rows::Backup> {
    let instance = load(tx, &key.instance)?.row.id;
    rows::get(tx, instance, &key.name).map_err(|error| error.context("Load backup from database"))
}

fn view(row: rows::Backup) -> InstanceBackup {
    InstanceBackup {
        name: row.name,
        created_at: row.created.into(),
        expires_at: row.expiry.map(Into::into).unwrap_or_default(),
        instance_only: row.instance_only,
        container_only: row.instance_only,
        optimized_storage: row.optimized,
    }
}

/// Does something with the folder of an instance's backups.
async fn in_folder<T: Send + 'static>(
    core: &SharedCore,
    key: &InstanceKey,
    work: impl FnOnce(Dir) -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let (root, name) = (core.paths.root().join(FOLDER), key.storage_name());
    tokio::task::spawn_blocking(move || {
        let all = Dir::open(root)?;
        match all.mkdir(&name, 0o700) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let done = work(all.open_dir(&name)?);
        // It stays only while there is something in it.
        let _ = all.remove_dir(&name);
        done
    })
    .await
    .map_err(|panic| Error::internal(panic.to_string()))?
    .map_err(|error| Error::with_source(Kind::Internal, "Failed to work on the backups", error))
}
