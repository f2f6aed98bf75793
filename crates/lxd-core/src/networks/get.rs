//! `GET /1.0/networks` and `/1.0/networks/{name}`: managed networks, and the interfaces of the host.

use std::collections::{HashMap, HashSet};

use lxd_api::network::Network;
use lxd_auth::Permit;
use lxd_db::used_by::User;
use lxd_db::{networks, nodes, projects};
use lxd_host::netlink::Link;
use lxd_network::interface_kind;
use lxd_types::{Error, Result};

use super::{owner, spec};
use crate::SharedCore;

/// Ends of veth pairs are named like this; there is one per running interface of an instance.
const HIDDEN: &str = "veth";

/// The URLs of all networks that the project sees.
///
/// # Errors
/// There is no such project, or a failure of the database or the kernel.
pub async fn urls(core: &SharedCore, permit: &Permit) -> Result<Vec<String>> {
    let project = permit.project().clone();
    let mut names = core.db.read(move |tx| networks::names(tx, owner(tx, &project)?)).await?;
    if sees_the_host(permit) {
        let managed: HashSet<String> = names.iter().cloned().collect();
        let links = core.bridges.netlink().links().await?;
        names.extend(
            links
                .into_iter()
                .filter(|link| is_shown(link) && !managed.contains(&link.name))
                .map(|link| link.name),
        );
    }
    Ok(names.iter().map(|name| crate::with_project(&super::url(name), permit.project())).collect())
}

/// All networks that the project sees.
///
/// # Errors
/// As [`urls`].
pub async fn list(core: &SharedCore, permit: &Permit) -> Result<Vec<Network>> {
    let project = permit.project().clone();
    let (rows, mut users) = core
        .db
        .read(move |tx| {
            let owner = owner(tx, &project)?;
            Ok((networks::list(tx, Some(owner), nodes::LONE)?, urls_of(networks::users(tx, owner, None)?)))
        })
        .await?;
    let links = core.bridges.netlink().links().await?;
    let names: HashSet<String> = rows.iter().map(|row| row.name.clone()).collect();
    let mut shown = Vec::new();
    for row in rows {
        let used_by = users.remove(&row.name).unwrap_or_default();
        shown.push(of_row(core, row, used_by, &links).await);
    }
    if sees_the_host(permit) {
        let unmanaged = links.iter().filter(|link| is_shown(link) && !names.contains(&link.name));
        shown.extend(unmanaged.map(|link| of_link(link, users.remove(&link.name).unwrap_or_default())));
    }
    Ok(shown)
}

/// One network, managed or not.
///
/// # Errors
/// `Network not found`.
pub async fn get(core: &SharedCore, permit: &Permit, name: &str) -> Result<Network> {
    let (project, wanted) = (permit.project().clone(), name.to_owned());
    let (row, used_by) = core
        .db
        .read(move |tx| {
            let owner = owner(tx, &project)?;
            let row = match networks::find(tx, owner, &wanted)? {
                Some(_) => Some(networks::get(tx, owner, &wanted, nodes::LONE)?),
                None => None,
            };
            let users = networks::used_by(tx, owner, &wanted)?;
            Ok((row, users.iter().map(User::url).collect()))
        })
        .await?;
    if let Some(row) = row {
        let links = match row.kind {
            networks::BRIDGE => Vec::new(),
            _ => core.bridges.netlink().links().await?,
        };
        return Ok(of_row(core, row, used_by, &links).await);
    }
    let link = core.bridges.netlink().link(name).await?;
    link.map(|link| of_link(&link, used_by)).ok_or_else(|| Error::not_found("Network not found"))
}

/// One managed network.
///
/// # Errors
/// `Failed loading network: Network not found`.
pub async fn managed(core: &SharedCore, permit: &Permit, name: &str) -> Result<Network> {
    let failed = |error: Error| error.context("Failed loading network");
    let network = get(core, permit, name).await.map_err(failed)?;
    if network.managed { Ok(network) } else { Err(failed(Error::not_found("Network not found"))) }
}

/// The URLs of the users, by the name of what they use.
fn urls_of(users: HashMap<String, Vec<User>>) -> HashMap<String, Vec<String>> {
    users.into_iter().map(|(name, users)| (name, users.iter().map(User::url).collect())).collect()
}

/// Only the project `default` sees the interfaces of the host that are no managed networks.
fn sees_the_host(permit: &Permit) -> bool {
    permit.project().as_str() == projects::DEFAULT_NAME
}

fn is_shown(link: &Link) -> bool {
    !link.name.starts_with(HIDDEN)
}

async fn of_row(core: &SharedCore, row: networks::Network, used_by: Vec<String>, links: &[Link]) -> Network {
    let started = match row.kind {
        networks::BRIDGE => match row.name.parse() {
            Ok(name) => core.bridges.is_started(&name),
            Err(_) => false,
        },
        _ => super::uplinks::of(&row).is_ok_and(|uplink| uplink.is_there(links)),
    };
    let status = match row.state {
        networks::CREATED if started => "Created",
        networks::CREATED => "Unavailable",
        networks::PENDING => "Pending",
        networks::ERRORED => "Errored",
        _ => "Unknown",
    };
    Network {
        config: spec::visible(&row.config),
        description: row.description,
        name: row.name,
        kind: super::kind_word(row.kind).to_owned(),
        used_by,
        managed: true,
        status: status.to_owned(),
        locations: row.locations,
    }
}

fn of_link(link: &Link, used_by: Vec<String>) -> Network {
    Network { name: link.name.clone(), kind: interface_kind(link).to_owned(), used_by, ..Network::default() }
}
