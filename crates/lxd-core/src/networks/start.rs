//! At start: every recorded network is made to run again, all at once. A broken one does not stop the others.

use futures_util::future::join_all;
use lxd_db::{networks, nodes};
use lxd_network::bridge::hosts::StaticHost;
use lxd_types::Result;

use super::{hosts, spec};
use crate::SharedCore;

/// Starts all networks of this member.
///
/// # Errors
/// The networks cannot be listed.
pub async fn start_all(core: &SharedCore) -> Result<()> {
    let rows = core
        .db
        .read(|tx| {
            let rows = networks::list(tx, None, nodes::LONE)?;
            let made = rows.into_iter().filter(|row| row.state == networks::CREATED);
            made.map(|row| hosts::of(tx, &row.name).map(|hosts| (row, hosts))).collect::<Result<Vec<_>>>()
        })
        .await?;
    join_all(rows.iter().map(|(row, hosts)| start_one(core, row, hosts))).await;
    Ok(())
}

async fn start_one(core: &SharedCore, row: &networks::Network, hosts: &[StaticHost]) {
    let started = async { core.bridges.start(&spec::of(row)?, hosts).await };
    if let Err(error) = started.await {
        tracing::error!(network = row.name, error = error.chain(), "Unable to start network");
    }
}
