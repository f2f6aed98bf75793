//! `GET …/snapshots` and one of them.

use lxd_api::Timestamp;
use lxd_api::storage_volume::StorageVolumeSnapshot;
use lxd_db::storage_volumes;
use lxd_storage::Content;
use lxd_types::{Kind, Result};

use super::{SnapshotKey, find_snapshot};
use crate::Core;
use crate::storage_volumes::{VolumeKey, content, find};

/// The snapshots of a volume in the order of their making. A volume that is not there has none, as the reference says.
async fn rows(core: &Core, key: &VolumeKey) -> Result<Vec<(storage_volumes::Snapshot, Content)>> {
    let key = key.clone();
    core.db
        .read(move |tx| {
            lxd_db::storage_pools::require(tx, key.pool.as_str())?;
            let found = match find(tx, &key) {
                Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
                other => other?,
            };
            let content = content(&found.row);
            let rows = storage_volumes::snapshots(tx, found.row.id)?;
            Ok(rows.into_iter().map(|row| (row, content)).collect())
        })
        .await
}

/// The names of a volume's snapshots.
///
/// # Errors
/// "Storage pool not found".
pub async fn names(core: &Core, key: &VolumeKey) -> Result<Vec<String>> {
    Ok(rows(core, key).await?.into_iter().map(|(row, _)| row.name).collect())
}

/// The snapshots of a volume.
///
/// # Errors
/// "Storage pool not found".
pub async fn list(core: &Core, key: &VolumeKey) -> Result<Vec<StorageVolumeSnapshot>> {
    let rows = rows(core, key).await?;
    // In lists the reference puts the volume's name before each.
    let full = |row: &storage_volumes::Snapshot| format!("{}/{}", key.name, row.name);
    Ok(rows.into_iter().map(|(row, content)| view(full(&row), row, content)).collect())
}

/// One snapshot.
///
/// # Errors
/// "Storage pool volume not found".
pub async fn get(core: &Core, key: &SnapshotKey) -> Result<StorageVolumeSnapshot> {
    let key = key.clone();
    let found = core.db.read(move |tx| find_snapshot(tx, &key)).await?;
    Ok(view(found.row.name.clone(), found.row, content(&found.of.row)))
}

fn view(name: String, row: storage_volumes::Snapshot, content: Content) -> StorageVolumeSnapshot {
    StorageVolumeSnapshot {
        name,
        description: row.description,
        expires_at: row.expiry.map_or_else(Timestamp::zero, Timestamp::from),
        config: row.config,
        content_type: content.as_str().to_owned(),
        created_at: Timestamp::zero(),
    }
}
