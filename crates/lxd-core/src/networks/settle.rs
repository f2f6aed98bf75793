//! Makes the host agree with what is recorded of one name: the undo of every change of networks.

use lxd_db::{networks, nodes, projects};
use lxd_types::Result;
use lxd_types::names::NetworkName;

use super::spec;
use crate::Core;

/// A made network is started; one that was being made is forgotten; what is not recorded is removed from the host.
///
/// # Errors
/// The host or the database refuses; trying again goes on from there.
pub async fn settle(core: &Core, name: &NetworkName) -> Result<()> {
    let wanted = name.to_string();
    let recorded = core
        .db
        .write(move |tx| {
            let Some(id) = networks::find(tx, projects::DEFAULT, &wanted)? else { return Ok(None) };
            let row = networks::get(tx, projects::DEFAULT, &wanted, nodes::LONE)?;
            if row.state == networks::CREATED {
                return spec::whole(tx, &row).map(Some);
            }
            networks::delete(tx, id)?;
            Ok(None)
        })
        .await?;
    match recorded {
        Some((spec, hosts)) => core.bridges.start(&spec, &hosts).await,
        None => core.bridges.delete(name).await,
    }
}
