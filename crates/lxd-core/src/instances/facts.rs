//! What pure checks need to know of networks and pools, read in one transaction.

use lxd_db::{Tx, projects, storage_pools};
use lxd_device::Facts;
use lxd_types::Result;

/// The facts that the checks of devices in a project need.
///
/// # Errors
/// A failure of the database.
pub fn device_facts(tx: &Tx<'_>, project: &projects::Project) -> Result<Facts> {
    Ok(Facts {
        networks: Default::default(),
        pools: storage_pools::names(tx)?.into_iter().collect(),
        project: project.name.clone(),
    })
}
