//! The driver of a recorded pool.

use std::path::PathBuf;
use std::sync::Arc;

use lxd_db::{nodes, storage_pools};
use lxd_storage::{Pool, PoolSpec, driver_by_name, open_pool};
use lxd_types::{ConfigExt, Result};

use crate::SharedCore;

/// The pool of a name, ready for use.
///
/// # Errors
/// There is none, or it is not available now.
pub async fn open(core: &SharedCore, name: &str) -> Result<Arc<dyn Pool>> {
    let wanted = name.to_owned();
    let row = core.db.read(move |tx| storage_pools::get(tx, &wanted, nodes::LONE)).await?;
    let spec = PoolSpec {
        name: row.name.parse()?,
        lxd_dir: core.paths.root().to_owned(),
        source: PathBuf::from(row.config.value("source")),
    };
    Ok(open_pool(driver_by_name(&row.driver)?, spec))
}
