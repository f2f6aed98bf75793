//! `PUT` and `PATCH /1.0/storage-pools/{pool}/volumes/{type}/{name}`.

use lxd_api::storage_volume::StorageVolumePut;
use lxd_auth::Permit;
use lxd_db::{Config, storage_volumes};
use lxd_storage::{config, driver_by_name};
use lxd_types::{ConfigExt, Result};

use super::{VolumeKey, find, running_user};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;
use crate::projects::{Change, allowed};

/// Changes description and keys of a volume.
///
/// # Errors
/// Unknown keys, wrong values.
pub async fn update(core: &SharedCore, permit: &Permit, key: VolumeKey, put: StorageVolumePut) -> Result<()> {
    let (work, permit) = (core.clone(), permit.clone());
    core.run("update storage volume", async move {
        if !put.restore.is_empty() {
            super::snapshots::restore(&work, &permit, &key, &put.restore).await?;
            // A restore alone leaves the keys as they are.
            if put.config.is_empty() {
                return Ok(());
            }
        }
        run(&work, &permit, &key, put).await
    })
    .await
}

async fn run(core: &SharedCore, permit: &Permit, key: &VolumeKey, put: StorageVolumePut) -> Result<()> {
    let wanted = key.clone();
    let users = core.db.read(move |tx| storage_volumes::used_by(tx, &find(tx, &wanted)?.row)).await?;
    let running = running_user(core, &users)?.is_some();
    let wanted = key.clone();
    let (found, size) = core
        .db
        .write(move |tx| {
            let found = find(tx, &wanted)?;
            let new: Config = put
                .config
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            config::check_volume(driver_by_name(&found.pool.driver)?, &found.volume()?, &new)
                // The reference's status.
                .map_err(|error| error.with_kind(lxd_types::Kind::Internal))?;
            config::check_volume_change(&found.row.config, &new, running)?;
            storage_volumes::update(tx, found.row.id, &put.description, &new)?;
            allowed(tx, &found.row.project, Change::Volume)?;
            let changed = found.row.config.value("size") != new.value("size");
            let size = config::size(&new)?;
            Ok((found, changed.then_some(size)))
        })
        .await?;
    if let Some(size) = size {
        let pool = crate::storage_pools::open_row(core, &found.pool).await?;
        if pool.resize(&found.volume()?, size).await? == lxd_storage::Quota::NotEnforced {
            tracing::warn!(
                volume = key.url(),
                "The size is recorded, but this storage pool cannot enforce it"
            );
        }
    }
    core.tell(permit.caller(), Lifecycle::new("storage-volume-updated", key.url()).in_project(&key.project));
    Ok(())
}
