//! The driver of a recorded pool.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lxd_db::{nodes, storage_pools};
use lxd_storage::{Pool, PoolSpec, driver_by_name, open_pool};
use lxd_task::lane::Lane;
use lxd_types::{ConfigExt, Error, Result};

use crate::Core;

/// The pool of a name, ready for use.
///
/// # Errors
/// There is none, or it is not available now.
pub async fn open(core: &Core, name: &str) -> Result<Arc<dyn Pool>> {
    let wanted = name.to_owned();
    let row = core.db.read(move |tx| storage_pools::get(tx, &wanted, nodes::LONE)).await?;
    open_row(core, &row).await
}

/// The pool of a row, ready for use. One whose file system hangs costs whoever asks a few seconds, and no thread beside the two of
/// its lane.
///
/// # Errors
/// It is not available now, does not answer, or its name or driver is not known.
pub async fn open_row(core: &Core, row: &storage_pools::Pool) -> Result<Arc<dyn Pool>> {
    if core.unavailable_pools.contains(&row.name) {
        return Err(Error::unavailable(format!("Storage pool {:?} is unavailable on this server", row.name)));
    }
    let pool = driver(core, row)?;
    pool.check().await?;
    Ok(pool)
}

/// The lanes of all pools that were opened.
#[derive(Default)]
pub struct Lanes {
    /// Held for a look-up or an insertion, never across an await.
    by_name: Mutex<BTreeMap<String, Lane>>,
}

impl Lanes {
    /// The lane of a pool, the same for everybody.
    pub fn of(&self, name: &str) -> Lane {
        let mut lanes = self.by_name.lock().expect("no panic happens while the lock is held");
        let new = || Lane::new(&format!("storage pool \"{name}\""));
        lanes.entry(name.to_owned()).or_insert_with(new).clone()
    }
}

/// The pool of a row, usable or not.
///
/// # Errors
/// The row was written by another version: its name or driver is not known.
pub(super) fn driver(core: &Core, row: &storage_pools::Pool) -> Result<Arc<dyn Pool>> {
    Ok(open_pool(
        driver_by_name(&row.driver)?,
        spec(core, row)?,
        core.runner.clone(),
        core.pool_lanes.of(&row.name),
    ))
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
