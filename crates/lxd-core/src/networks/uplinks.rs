//! Networks on an interface of the host: made, changed and removed. Only a physical one does anything on the host.

use lxd_api::network::{NetworkPut, NetworksPost};
use lxd_config::changed;
use lxd_db::{Tx, networks, nodes, projects};
use lxd_network::Uplink;
use lxd_network::config::{NetworkKind, validate};
use lxd_types::names::NetworkName;
use lxd_types::{Config, ConfigExt, Error, Result};

use super::create::{Plan, record};
use super::{kind, spec};
use crate::journal::Log;
use crate::{Core, SharedCore, Undo};

/// Key that says whether the VLAN interface of a physical network is ours.
const CREATED: &str = "volatile.last_state.created";

/// The network that a row describes.
///
/// # Errors
/// This version does not make networks of its type.
pub(super) fn of(row: &networks::Network) -> Result<Uplink> {
    Ok(Uplink::new(kind::kind(row.kind)?, &row.config))
}

/// The VLAN interface that was made for a network.
fn made(row: &networks::Network) -> Option<String> {
    let uplink = of(row).ok()?;
    (uplink.vlan.is_some() && row.config.value(CREATED) == "true").then(|| uplink.interface())
}

/// Checks a new network.
///
/// # Errors
/// A key is wrong, the parent is missing, or another network has it.
pub(super) async fn plan(
    core: &SharedCore,
    kind: NetworkKind,
    name: NetworkName,
    post: NetworksPost,
) -> Result<Plan> {
    let config = spec::without_empty(post.config);
    validate(kind, name.as_str(), &config, &config)?;
    let config = prepared(core, kind, name.as_str(), config).await?;
    Ok(Plan { name, kind, description: post.description, config })
}

/// The configuration with what is remembered of the host.
async fn prepared(core: &SharedCore, kind: NetworkKind, name: &str, mut config: Config) -> Result<Config> {
    let uplink = Uplink::new(kind, &config);
    if kind == NetworkKind::Physical {
        let (name, parent) = (name.to_owned(), uplink.parent.clone());
        core.db.read(move |tx| check_parent(tx, &name, &parent)).await?;
    }
    let missing = uplink.missing_vlan(core.bridges.netlink()).await?;
    if kind == NetworkKind::Physical {
        config.insert(CREATED.to_owned(), missing.is_some().to_string());
    }
    Ok(config)
}

/// A physical network has its parent for itself.
fn check_parent(tx: &Tx<'_>, name: &str, parent: &str) -> Result<()> {
    let all = networks::list(tx, None, nodes::LONE)?;
    match all.iter().any(|other| other.name != name && other.config.value("parent") == parent) {
        true => Err(Error::bad_request(format!("Parent interface {parent:?} in use by another network"))),
        false => Ok(()),
    }
}

/// Records a network and makes it.
///
/// # Errors
/// The name is taken, or the host refuses.
pub(super) async fn make(core: &SharedCore, plan: Plan) -> Result<()> {
    let uplink = Uplink::new(plan.kind, &plan.config);
    let made = (plan.config.value(CREATED) == "true").then(|| uplink.interface());
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::SettleUplink { name: plan.name.clone(), made }).await?;
        let id = core.db.write(move |tx| record(tx, &plan)).await?;
        core.faults.point("network recorded")?;
        uplink.start(core.bridges.netlink()).await?;
        core.faults.point("network started")?;
        core.db.write(move |tx| networks::set_state(tx, id, nodes::LONE, networks::CREATED)).await
    })
    .await
}

/// Changes description and configuration. When the host refuses the new one, the old one holds again.
///
/// # Errors
/// A key is wrong, the parent is missing or another network's, or the host refuses.
pub(super) async fn change(core: &SharedCore, row: networks::Network, put: NetworkPut) -> Result<()> {
    let before = of(&row)?;
    let wanted = spec::without_empty(put.config);
    let set = changed(&row.config, &wanted).into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    validate(before.kind, &row.name, &wanted, &set)?;
    let after = Uplink::new(before.kind, &wanted);
    let config = match before.interface() == after.interface() && made(&row).is_some() {
        true => Config::from([(CREATED.to_owned(), "true".to_owned())]).into_iter().chain(wanted).collect(),
        false => prepared(core, before.kind, &row.name, wanted).await?,
    };
    let new = networks::Network { description: put.description, config, ..row.clone() };
    let name: NetworkName = row.name.parse()?;
    core.undoable(async |undo: &mut Log| {
        for made in [made(&row), made(&new)].into_iter().flatten() {
            undo.push(Undo::SettleUplink { name: name.clone(), made: Some(made) }).await?;
        }
        store(core, &new).await?;
        core.faults.point("network recorded")?;
        if let Err(error) = switch(core, &row, &new).await {
            store(core, &row).await?;
            return Err(error);
        }
        Ok(())
    })
    .await
}

/// Makes the host be as the new row says, and takes back what only the old one wanted.
async fn switch(core: &SharedCore, old: &networks::Network, new: &networks::Network) -> Result<()> {
    let (before, after, netlink) = (of(old)?, of(new)?, core.bridges.netlink());
    if before.mtu != after.mtu || before.interface() != after.interface() {
        before.reset_mtu(netlink).await?;
    }
    after.start(netlink).await?;
    match made(old).filter(|name| *name != after.interface()) {
        Some(name) => Ok(netlink.delete_link(&name).await?),
        None => Ok(()),
    }
}

async fn store(core: &SharedCore, row: &networks::Network) -> Result<()> {
    let row = row.clone();
    core.db.write(move |tx| networks::update(tx, row.id, nodes::LONE, &row.description, &row.config)).await
}

/// Removes a network. The database is first: from there on recovery finishes.
///
/// # Errors
/// It is in use, or the host refuses.
pub(super) async fn remove(core: &SharedCore, row: networks::Network) -> Result<()> {
    let (name, made, uplink) = (row.name.parse()?, made(&row), of(&row)?);
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::SettleUplink { name, made: made.clone() }).await?;
        core.db.write(move |tx| super::delete::forget(tx, &row)).await?;
        core.faults.point("network forgotten")?;
        uplink.stop(core.bridges.netlink(), made.as_deref()).await?;
        core.faults.point("network removed")
    })
    .await
}

/// Makes the host agree with what is recorded of a network: one that was being made is forgotten, and a VLAN interface that
/// was made for it is removed when it no longer wants it.
///
/// # Errors
/// The host or the database refuses; trying again goes on from there.
pub async fn settle(core: &Core, name: &NetworkName, made: Option<String>) -> Result<()> {
    let wanted = name.to_string();
    let row = core
        .db
        .write(move |tx| {
            let Some(id) = networks::find(tx, projects::DEFAULT, &wanted)? else { return Ok(None) };
            let row = networks::get(tx, projects::DEFAULT, &wanted, nodes::LONE)?;
            if row.state == networks::CREATED {
                return Ok(Some(row));
            }
            networks::delete(tx, id)?;
            Ok(None)
        })
        .await?;
    let netlink = core.bridges.netlink();
    let uplink = row.as_ref().map(of).transpose()?;
    if let Some(uplink) = &uplink {
        uplink.start(netlink).await?;
    }
    match made.filter(|made| uplink.is_none_or(|uplink| uplink.interface() != *made)) {
        Some(made) => Ok(netlink.delete_link(&made).await?),
        None => Ok(()),
    }
}
