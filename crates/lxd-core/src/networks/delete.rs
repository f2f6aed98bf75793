//! `DELETE /1.0/networks/{name}`.

use lxd_auth::Permit;
use lxd_db::networks;
use lxd_network::config::NetworkKind;
use lxd_types::names::NetworkName;
use lxd_types::{Error, Result};

use super::{kind, uplinks};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Deletes an unused network.
///
/// # Errors
/// There is no such network, or it is in use. When the host keeps something, the next start of the daemon removes it.
pub async fn delete(core: &SharedCore, permit: &Permit, name: &str) -> Result<()> {
    let (work, permit, name) = (core.clone(), permit.clone(), name.to_owned());
    core.run("delete network", async move { run(&work, &permit, &name).await }).await
}

async fn run(core: &SharedCore, permit: &Permit, name: &str) -> Result<()> {
    let _turn = core.bridges.turn().await;
    let (project, wanted) = (permit.project().clone(), name.to_owned());
    let row = core.db.read(move |tx| super::row(tx, &project, &wanted)).await?;
    match kind::kind(row.kind)? {
        NetworkKind::Bridge => remove_bridge(core, row).await?,
        _ => uplinks::remove(core, row).await?,
    }
    core.tell(
        permit.caller(),
        Lifecycle::new("network-deleted", super::url(name)).in_project(permit.project()),
    );
    Ok(())
}

async fn remove_bridge(core: &SharedCore, row: networks::Network) -> Result<()> {
    let network: NetworkName = row.name.parse()?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::SettleNetwork { name: network.clone() }).await?;
        // The commit point: from here on recovery finishes.
        core.db.write(move |tx| forget(tx, &row)).await?;
        core.faults.point("network forgotten")?;
        core.bridges.delete(&network).await?;
        core.faults.point("network removed")
    })
    .await
}

/// Removes the row of an unused network.
pub(super) fn forget(tx: &lxd_db::Tx<'_>, row: &networks::Network) -> Result<()> {
    if !networks::used_by(tx, row.project_id, &row.name)?.is_empty() {
        return Err(Error::bad_request("The network is currently in use"));
    }
    networks::delete(tx, row.id)
}
