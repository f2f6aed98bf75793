//! Snapshots of custom volumes (`/1.0/storage-pools/{pool}/volumes/{type}/{name}/snapshots`).

mod change;
mod create;
mod get;
mod restore;
mod schedule;

use chrono::{DateTime, Utc};
use lxd_api::Timestamp;
use lxd_auth::Permit;
use lxd_db::{Tx, storage_volumes};
use lxd_storage::SnapshotRef;
use lxd_types::Result;
use lxd_types::names::SnapshotName;

use super::{Found, VolumeKey, find, not_found};

pub(super) use change::remove;
pub use change::{delete, rename, undo_rename, update};
pub use create::{create, undo_create};
pub use get::{get, list, names};
pub use restore::{restore, settle};
pub use schedule::{at_startup, remove_expired, take_scheduled};

/// Names a snapshot as a request does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnapshotKey {
    /// The volume.
    pub volume: VolumeKey,
    /// The snapshot's own name.
    pub name: SnapshotName,
}

impl SnapshotKey {
    /// The parts of a URL.
    ///
    /// # Errors
    /// A part is no name; such a snapshot does not exist.
    pub fn parse(permit: &Permit, pool: &str, kind: &str, volume: &str, name: &str) -> Result<Self> {
        let volume = VolumeKey::parse(permit, pool, kind, volume)?;
        Ok(Self { volume, name: name.parse().map_err(|_| not_found())? })
    }

    /// The URL without project.
    pub fn url(&self) -> String {
        format!("{}/snapshots/{}", self.volume.url(), self.name)
    }
}

/// What the database knows of a snapshot, its volume and pool.
#[derive(Clone, Debug)]
struct FoundSnapshot {
    of: Found,
    row: storage_volumes::Snapshot,
}

impl FoundSnapshot {
    /// The snapshot for its driver.
    fn reference(&self) -> Result<SnapshotRef> {
        Ok(self.of.volume()?.snapshot(&self.row.name.parse()?))
    }
}

/// The zero time of the API is never.
fn expiry_of(at: &Timestamp) -> Option<DateTime<Utc>> {
    (!at.is_never()).then(|| at.0.to_utc())
}

fn find_snapshot(tx: &Tx<'_>, key: &SnapshotKey) -> Result<FoundSnapshot> {
    let of = find(tx, &key.volume)?;
    let row = storage_volumes::get_snapshot(tx, of.row.id, key.name.as_str())?;
    Ok(FoundSnapshot { of, row })
}
