//! The driver of a recorded pool.

use std::path::PathBuf;
use std::sync::Arc;

use lxd_db::{nodes, storage_pools};
use lxd_storage::{Pool, PoolSpec, driver_by_name, open_pool};
use lxd_types::{ConfigExt, Error, Result};

use crate::Core;

/// The pool of a name, ready for use.
///
/// # Errors
/// There is none, or it is not available now.
pub async fn open(core: &Core, name: &str) -> Result<Arc<dyn Pool>> {
    let wanted = name.to_owned();
    let row = core.db.read(move |tx| storage_pools::get(tx, &wanted, nodes::LONE)).await?;
    open_row(core, &row)
}

/// The pool of a row, ready for use.
///
/// # Errors
/// It is not available now, or its name or driver is not known.
pub fn open_row(core: &Core, row: &storage_pools::Pool) -> Result<Arc<dyn Pool>> {
    if core.unavailable_pools.contains(&row.name) {
        return Err(Error::unavailable(format!("Storage pool {:?} is unavailable on this server", row.name)));
    }
    driver(core, row)
}

/// The pool of a row, usable or not.
///
/// # Errors
/// The row was written by another version: its name or driver is not known.
pub(super) fn driver(core: &Core, row: &storage_pools::Pool) -> Result<Arc<dyn Pool>> {
    Ok(open_pool(driver_by_name(&row.driver)?, spec(core, row)?, core.runner.clone()))
}

/// The description of a recorded pool for its driver.
fn spec(core: &Core, row: &storage_pools::Pool) -> Result<PoolSpec> {
    Ok(PoolSpec {
        name: row.name.parse()?,
        lxd_dir: core.paths.root().to_owned(),
        source: PathBuf::from(row.config.value("source")),
        config: row.config.clone(),
    })
}
