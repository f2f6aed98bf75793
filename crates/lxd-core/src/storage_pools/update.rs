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
    core.db
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
            storage_pools::update(tx, row.id, nodes::LONE, &put.description, &new)
        })
        .await?;
    core.tell(permit.caller(), Lifecycle::new("storage-pool-updated", super::url(name)));
    Ok(())
}
