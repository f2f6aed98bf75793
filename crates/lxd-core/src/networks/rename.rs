//! `POST /1.0/networks/{name}`: another name.

use lxd_api::network::NetworkPost;
use lxd_auth::Permit;
use lxd_db::{networks, projects};
use lxd_network::bridge::BridgeSpec;
use lxd_network::config::NetworkKind;
use lxd_network::network_name;
use lxd_types::names::NetworkName;
use lxd_types::{Error, Kind, Result};

use super::{kind, spec};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Gives an unused network another name; the new one.
///
/// # Errors
/// There is no such network, it is in use, or the new name is wrong or taken.
pub async fn rename(
    core: &SharedCore,
    permit: &Permit,
    name: &str,
    post: NetworkPost,
) -> Result<NetworkName> {
    let (work, permit, name) = (core.clone(), permit.clone(), name.to_owned());
    core.run("rename network", async move { run(&work, &permit, &name, post).await }).await
}

async fn run(core: &SharedCore, permit: &Permit, name: &str, post: NetworkPost) -> Result<NetworkName> {
    let _turn = core.bridges.turn().await;
    let (project, wanted) = (permit.project().clone(), name.to_owned());
    let row = core.db.read(move |tx| super::row(tx, &project, &wanted)).await?;
    if post.name.is_empty() {
        return Err(Error::bad_request("New network name not provided"));
    }
    let new = network_name(&post.name)?;
    check(core, &row, &new).await?;
    match kind::kind(row.kind)? {
        NetworkKind::Bridge => rename_bridge(core, &row, &new).await?,
        // Nothing on the host has the network's name.
        _ => {
            let (id, text) = (row.id, new.to_string());
            core.db.write(move |tx| networks::rename(tx, id, &text)).await?;
        }
    }
    let event = Lifecycle::new("network-renamed", super::url(new.as_str())).in_project(permit.project());
    core.tell(permit.caller(), event.with("old_name", name));
    Ok(new)
}

async fn rename_bridge(core: &SharedCore, row: &networks::Network, new: &NetworkName) -> Result<()> {
    core.bridges.check_name_is_free(new.as_str()).await?;
    let old: NetworkName = row.name.parse()?;
    let id = row.id;
    // Interfaces of tunnels and lines of logs have the network's name in theirs.
    let named = networks::Network { name: new.to_string(), ..row.clone() };
    let (present, wanted) = (row.clone(), named.clone());
    let (before, acls) =
        core.db.read(move |tx| Ok((spec::whole(tx, &present)?.0, spec::acls(tx, &wanted)?))).await?;
    let renamed = BridgeSpec { forwards: before.forwards, mac: before.mac, acls, ..spec::of(&named)? };
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::SettleNetwork { name: old.clone() }).await?;
        undo.push(Undo::SettleNetwork { name: new.clone() }).await?;
        // Unused, so there are no static entries.
        core.bridges.rename(&old, &renamed, &[]).await?;
        let text = new.to_string();
        core.db.write(move |tx| networks::rename(tx, id, &text)).await
    })
    .await
}

async fn check(core: &SharedCore, row: &networks::Network, new: &NetworkName) -> Result<()> {
    let (owner, old, wanted) = (row.project_id, row.name.clone(), new.to_string());
    core.db
        .read(move |tx| {
            if !networks::used_by(tx, owner, &old)?.is_empty() {
                return Err(Error::bad_request("Network is currently in use"));
            }
            match networks::find(tx, projects::DEFAULT, &wanted)? {
                Some(_) => Err(Error::new(Kind::Conflict, format!("Network {wanted:?} already exists"))),
                None => Ok(()),
            }
        })
        .await
}
