//! `PUT` and `PATCH /1.0/storage-pools/{name}`.

use lxd_api::storage_pool::StoragePoolPut;
use lxd_auth::Permit;
use lxd_db::{Config, nodes, storage_pools};
use lxd_storage::{config, driver_by_name};
use lxd_types::Result;

use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Changes description and keys of a pool.
///
/// # Errors
/// Unknown keys, wrong values, another `source`.
pub async fn update(core: &SharedCore, permit: &Permit, name: &str, put: StoragePoolPut) -> Result<()> {
    let wanted = name.to_owned();
    let (row, size) = core
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
            Ok((row, size))
        })
        .await?;
    if let Some(size) = size
        && let Err(error) = super::open_row(core, &row)?.resize_pool(size).await
    {
        // What could not be done is not recorded.
        core.db
            .write(move |tx| storage_pools::update(tx, row.id, nodes::LONE, &row.description, &row.config))
            .await?;
        return Err(error);
    }
    core.tell(permit.caller(), Lifecycle::new("storage-pool-updated", super::url(name)));
    Ok(())
}
