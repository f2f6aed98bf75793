//! `GET /1.0/networks` and `/1.0/networks/{name}`: managed networks, and the interfaces of the host.

use std::collections::HashMap;

use lxd_api::network::Network;
use lxd_auth::Permit;
use lxd_db::{Tx, networks, nodes, projects};
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
    let names = rows(core, permit).await?.into_iter().map(|row| row.0.name);
    let mut names: Vec<String> = names.collect();
    names.extend(unmanaged(core, permit, &names).await?.into_iter().map(|link| link.name));
    Ok(names.iter().map(|name| crate::with_project(&super::url(name), permit.project())).collect())
}

/// All networks that the project sees.
///
/// # Errors
/// As [`urls`].
pub async fn list(core: &SharedCore, permit: &Permit) -> Result<Vec<Network>> {
    let rows = rows(core, permit).await?;
    let names: Vec<String> = rows.iter().map(|row| row.0.name.clone()).collect();
    let mut shown = Vec::new();
    for (row, used_by) in rows {
        shown.push(of_row(core, row, used_by).await);
    }
    let links = unmanaged(core, permit, &names).await?;
    let wanted: Vec<String> = links.iter().map(|link| link.name.clone()).collect();
    let mut users = core.db.read(move |tx| users_of(tx, projects::DEFAULT, &wanted)).await?;
    shown.extend(links.into_iter().map(|link| {
        let used_by = users.remove(&link.name).unwrap_or_default();
        of_link(&link, used_by)
    }));
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
            let mut users = users_of(tx, owner, std::slice::from_ref(&wanted))?;
            Ok((row, users.remove(&wanted).unwrap_or_default()))
        })
        .await?;
    if let Some(row) = row {
        return Ok(of_row(core, row, used_by).await);
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

/// The managed networks of the project, each with its users.
async fn rows(core: &SharedCore, permit: &Permit) -> Result<Vec<(networks::Network, Vec<String>)>> {
    let project = permit.project().clone();
    core.db
        .read(move |tx| {
            let owner = owner(tx, &project)?;
            let rows = networks::list(tx, Some(owner), nodes::LONE)?;
            let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
            let mut users = users_of(tx, owner, &names)?;
            Ok(rows
                .into_iter()
                .map(|row| {
                    let used = users.remove(&row.name).unwrap_or_default();
                    (row, used)
                })
                .collect())
        })
        .await
}

fn users_of(tx: &Tx<'_>, owner: i64, names: &[String]) -> Result<HashMap<String, Vec<String>>> {
    let urls = |name: &String| {
        let users = networks::used_by(tx, owner, name)?;
        Ok((name.clone(), users.iter().map(lxd_db::used_by::User::url).collect()))
    };
    names.iter().map(urls).collect()
}

/// The interfaces of the host that are no managed networks. Only the project `default` sees them.
async fn unmanaged(core: &SharedCore, permit: &Permit, managed: &[String]) -> Result<Vec<Link>> {
    if permit.project().as_str() != projects::DEFAULT_NAME {
        return Ok(Vec::new());
    }
    let links = core.bridges.netlink().links().await?;
    let shown = |link: &Link| !link.name.starts_with(HIDDEN) && !managed.contains(&link.name);
    Ok(links.into_iter().filter(shown).collect())
}

async fn of_row(core: &SharedCore, row: networks::Network, used_by: Vec<String>) -> Network {
    let started = match row.name.parse() {
        Ok(name) => core.bridges.is_started(&name).await,
        Err(_) => false,
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
        kind: "bridge".to_owned(),
        used_by,
        managed: true,
        status: status.to_owned(),
        locations: row.locations,
    }
}

fn of_link(link: &Link, used_by: Vec<String>) -> Network {
    Network { name: link.name.clone(), kind: interface_kind(link).to_owned(), used_by, ..Network::default() }
}
