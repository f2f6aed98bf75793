//! `/1.0/networks/{name}/forwards`: addresses of the host that are forwarded to instances on a bridge.

use std::net::IpAddr;

use lxd_api::network_forward::{NetworkForward, NetworkForwardPut, NetworkForwardsPost};
use lxd_auth::Permit;
use lxd_db::{Tx, network_forwards, networks, nodes};
use lxd_network::bridge::forwards::{self, ForwardSpec};
use lxd_types::error::Context;
use lxd_types::names::{NetworkName, ProjectName};
use lxd_types::{Error, Kind, Result};

use super::{kind_word, spec};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// The checked forwards of a network.
///
/// # Errors
/// A row holds what is not allowed, or a failure of the database.
pub(super) fn specs(tx: &Tx<'_>, row: &networks::Network) -> Result<Vec<ForwardSpec>> {
    let rows = network_forwards::list(tx, row.id, nodes::LONE)?;
    let checked = rows.into_iter().map(|forward| {
        let forward = wire(forward)?;
        let listen = forwards::listen_address(&forward.listen_address)?;
        // The network may have got other addresses since: what no longer fits waits until it does.
        match forwards::check(listen, &forward.config, &forward.ports, &row.config) {
            Ok(spec) => Ok(Some(spec)),
            Err(error) => {
                let address = forward.listen_address;
                tracing::warn!(network = row.name, address, error = error.chain(), "A forward is left out");
                Ok(None)
            }
        }
    });
    checked.filter_map(Result::transpose).collect()
}

/// The URL of a forward, without the project.
pub fn url(network: &str, address: &str) -> String {
    format!("{}/forwards/{address}", super::url(network))
}

/// The forwards of a network.
///
/// # Errors
/// There is no such network, or it has none by its type.
pub async fn list(core: &SharedCore, permit: &Permit, network: &str) -> Result<Vec<NetworkForward>> {
    let (project, network) = (permit.project().clone(), network.to_owned());
    let rows = core
        .db
        .read(move |tx| network_forwards::list(tx, bridge(tx, &project, &network)?.id, nodes::LONE))
        .await?;
    rows.into_iter().map(wire).collect()
}

/// One forward.
///
/// # Errors
/// There is no such network or forward.
pub async fn get(core: &SharedCore, permit: &Permit, network: &str, address: &str) -> Result<NetworkForward> {
    let all = list(core, permit, network).await?;
    let found = all.into_iter().find(|forward| forward.listen_address == address);
    found.ok_or_else(|| Error::not_found("Network forward not found"))
}

/// Makes a forward; its address.
///
/// # Errors
/// It is wrong, the address has one, or the firewall refuses.
pub async fn create(
    core: &SharedCore,
    permit: &Permit,
    network: &str,
    post: NetworkForwardsPost,
) -> Result<IpAddr> {
    let listen = forwards::listen_address(&post.listen_address).context(FAILED_CREATE)?;
    let wanted = row(listen, post.description, post.config, &post.ports)?;
    let checked = post.ports;
    let (work, permit, network) = (core.clone(), permit.clone(), network.to_owned());
    core.run("create network forward", async move {
        let (project, name) = (permit.project().clone(), network.clone());
        let change = move |tx: &Tx<'_>| {
            let row = bridge(tx, &project, &name)?;
            forwards::check(listen, &wanted.config, &checked, &row.config)?;
            check_free(tx, &row, listen)?;
            network_forwards::insert(tx, row.id, nodes::LONE, &wanted).map_err(|error| match error.kind() {
                Kind::Conflict => Error::conflict("A forward for that listen address already exists"),
                _ => error,
            })
        };
        apply(&work, &network, change).await.map_err(|error| failed(error, FAILED_CREATE))?;
        tell(&work, &permit, "network-forward-created", &network, &listen.to_string());
        Ok(())
    })
    .await?;
    Ok(listen)
}

/// Changes a forward.
///
/// # Errors
/// There is none, it is wrong, or the firewall refuses.
pub async fn update(
    core: &SharedCore,
    permit: &Permit,
    network: &str,
    address: &str,
    put: NetworkForwardPut,
) -> Result<()> {
    let listen = forwards::listen_address(address).context(FAILED_UPDATE)?;
    let wanted = row(listen, put.description, put.config, &put.ports)?;
    let (work, permit, network) = (core.clone(), permit.clone(), network.to_owned());
    core.run("update network forward", async move {
        let (project, name, ports) = (permit.project().clone(), network.clone(), put.ports);
        let change = move |tx: &Tx<'_>| {
            let row = bridge(tx, &project, &name)?;
            forwards::check(listen, &wanted.config, &ports, &row.config)?;
            network_forwards::update(tx, row.id, nodes::LONE, &wanted)
        };
        apply(&work, &network, change).await.map_err(|error| failed(error, FAILED_UPDATE))?;
        tell(&work, &permit, "network-forward-updated", &network, &listen.to_string());
        Ok(())
    })
    .await
}

/// Removes a forward.
///
/// # Errors
/// There is none, or the firewall refuses.
pub async fn delete(core: &SharedCore, permit: &Permit, network: &str, address: &str) -> Result<()> {
    let (work, permit) = (core.clone(), permit.clone());
    let (network, address) = (network.to_owned(), address.to_owned());
    core.run("delete network forward", async move {
        let (project, name, listen) = (permit.project().clone(), network.clone(), address.clone());
        let change = move |tx: &Tx<'_>| {
            network_forwards::delete(tx, bridge(tx, &project, &name)?.id, nodes::LONE, &listen)
        };
        apply(&work, &network, change).await.map_err(|error| failed(error, "Failed deleting forward"))?;
        tell(&work, &permit, "network-forward-deleted", &network, &address);
        Ok(())
    })
    .await
}

/// Refuses an address that is not this network's to forward.
fn check_free(tx: &Tx<'_>, own: &networks::Network, listen: IpAddr) -> Result<()> {
    let mut others = networks::list(tx, None, nodes::LONE)?;
    others.retain(|row| row.id != own.id);
    let mut forwarded = Vec::new();
    for other in &others {
        let rows = network_forwards::list(tx, other.id, nodes::LONE)?;
        forwarded.extend(rows.iter().filter_map(|row| row.listen_address.parse::<IpAddr>().ok()));
    }
    let others: Vec<_> = others.into_iter().map(|row| row.config).collect();
    forwards::check_free(listen, &own.config, &others, &forwarded)
}

const FAILED_CREATE: &str = "Failed creating forward";
const FAILED_UPDATE: &str = "Failed updating forward";

/// Errors of finding the network stand alone.
fn failed(error: Error, what: &str) -> Error {
    let of_network = ["Failed loading network", "Network driver", "Failed to load project"];
    let alone = of_network.iter().any(|start| error.chain().starts_with(start));
    if alone { error } else { error.context(what.to_owned()) }
}

/// A bridge that the project uses.
fn bridge(tx: &Tx<'_>, project: &ProjectName, name: &str) -> Result<networks::Network> {
    let row = super::row(tx, project, name)?;
    match row.kind {
        networks::BRIDGE => Ok(row),
        other => Err(Error::bad_request(format!(
            "Network driver {:?} does not support forwards",
            kind_word(other)
        ))),
    }
}

/// Changes rows, then makes the host be as recorded. When that fails, both are as they were.
async fn apply(
    core: &SharedCore,
    network: &str,
    change: impl Fn(&Tx<'_>) -> Result<()> + Send + 'static,
) -> Result<()> {
    let _turn = core.bridges.turn().await;
    let name: NetworkName = network
        .parse()
        .map_err(|_| Error::not_found("Network not found").context("Failed loading network"))?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::SettleNetwork { name: name.clone() }).await?;
        let (wanted, text) = (name.clone(), name.to_string());
        let before = core
            .db
            .write(move |tx| {
                let id = networks::find(tx, lxd_db::projects::DEFAULT, &text)?;
                let before = match id {
                    Some(id) => network_forwards::list(tx, id, nodes::LONE)?,
                    None => Vec::new(),
                };
                change(tx)?;
                Ok((id, before))
            })
            .await?;
        core.faults.point("network forward recorded")?;
        if let Err(error) = start(core, &wanted).await {
            core.db.write(move |tx| restore(tx, before.0, &before.1)).await?;
            return Err(error);
        }
        Ok(())
    })
    .await
}

/// Makes a network have exactly these forwards.
fn restore(tx: &Tx<'_>, network: Option<i64>, wanted: &[network_forwards::Forward]) -> Result<()> {
    let Some(id) = network else { return Ok(()) };
    for forward in network_forwards::list(tx, id, nodes::LONE)? {
        network_forwards::delete(tx, id, nodes::LONE, &forward.listen_address)?;
    }
    wanted.iter().try_for_each(|forward| network_forwards::insert(tx, id, nodes::LONE, forward))
}

async fn start(core: &SharedCore, name: &NetworkName) -> Result<()> {
    let text = name.to_string();
    let (spec, hosts) = core
        .db
        .read(move |tx| spec::whole(tx, &networks::get(tx, lxd_db::projects::DEFAULT, &text, nodes::LONE)?))
        .await?;
    super::start::bring_up(core, &spec, &hosts).await
}

fn tell(core: &SharedCore, permit: &Permit, action: &'static str, network: &str, address: &str) {
    core.tell(permit.caller(), Lifecycle::new(action, url(network, address)).in_project(permit.project()));
}

fn row(
    listen: IpAddr,
    description: String,
    config: lxd_types::Config,
    ports: &[lxd_api::network_forward::NetworkForwardPort],
) -> Result<network_forwards::Forward> {
    let ports = serde_json::to_string(ports)
        .map_err(|error| Error::internal(format!("Failed to write the ports of a forward: {error}")))?;
    let config = spec::without_empty(config);
    Ok(network_forwards::Forward { listen_address: listen.to_string(), description, ports, config })
}

fn wire(row: network_forwards::Forward) -> Result<NetworkForward> {
    let ports = serde_json::from_str(&row.ports).map_err(|error| {
        Error::internal(format!("The stored ports of forward {} are invalid: {error}", row.listen_address))
    })?;
    Ok(NetworkForward {
        config: row.config,
        description: row.description,
        listen_address: row.listen_address,
        location: nodes::LONE_NAME.to_owned(),
        ports,
    })
}
