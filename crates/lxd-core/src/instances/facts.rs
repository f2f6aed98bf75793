//! What pure checks need to know of networks and pools, read in one transaction.

use lxd_db::{Tx, networks, nodes, projects, storage_pools};
use lxd_device::{Facts, NetworkFacts};
use lxd_types::Result;

/// The facts that the checks of devices in a project need.
///
/// # Errors
/// A failure of the database.
pub fn device_facts(tx: &Tx<'_>, project: &projects::Project) -> Result<Facts> {
    let owner = projects::owner_of(tx, &project.name, "networks")?;
    let known = networks::list(tx, Some(owner), nodes::LONE)?;
    let fact = |network: networks::Network| {
        let kind = crate::networks::kind_word(network.kind).to_owned();
        (network.name, NetworkFacts { kind, config: network.config })
    };
    Ok(Facts {
        networks: known.into_iter().map(fact).collect(),
        pools: storage_pools::names(tx)?.into_iter().collect(),
        project: project.name.clone(),
        disk_paths: crate::projects::disk_paths(project),
    })
}
