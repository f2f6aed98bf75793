//! `PUT` and `PATCH /1.0/storage-pools/{name}`.

use lxd_api::storage_pool::StoragePoolPut;
use lxd_auth::Permit;
use lxd_db::{Config, nodes, storage_pools};
use lxd_storage::{config, driver_by_name};
use lxd_types::{ConfigExt, Result};

use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// The key with the mount options of a device.
const OPTIONS: &str = "btrfs.mount_options";

/// Changes description and keys of a pool.
///
/// # Errors
/// Unknown keys, wrong values, another `source`.
pub async fn update(core: &SharedCore, permit: &Permit, name: &str, put: StoragePoolPut) -> Result<()> {
    let wanted = name.to_owned();
    let (row, now, size) = core
        .db
        .write(move |tx| {
            let row = storage_pools::get(tx, &wanted, nodes::LONE)?;
            let new: Config = put
                .config
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            config::check_pool(driver_by_name(&row.driver)?, &new)?;
            config::check_pool_change(&row.config, &new)?;
            storage_pools::update(tx, row.id, nodes::LONE, &put.description, &new)?;
            let size = config::new_pool_size(&row.config, &new)?;
            let now = storage_pools::Pool { config: new, ..row.clone() };
            Ok((row, now, size))
        })
        .await?;
    if let Err(error) = follow(core, &row, &now, size).await {
        // What could not be done is not recorded.
        core.db
            .write(move |tx| storage_pools::update(tx, row.id, nodes::LONE, &row.description, &row.config))
            .await?;
        return Err(error);
    }
    core.tell(permit.caller(), Lifecycle::new("storage-pool-updated", super::url(name)));
    Ok(())
}

/// Makes the pool what its new keys say.
async fn follow(
    core: &SharedCore,
    old: &storage_pools::Pool,
    new: &storage_pools::Pool,
    size: Option<u64>,
) -> Result<()> {
    let remounts = old.config.value(OPTIONS) != new.config.value(OPTIONS);
    if size.is_none() && !remounts {
        return Ok(());
    }
    let pool = super::open_row(core, new).await?;
    if let Some(size) = size {
        pool.resize_pool(size).await?;
    }
    if remounts { pool.remount().await } else { Ok(()) }
}
