//! `PUT` and `PATCH /1.0/networks/{name}`: another configuration, applied under running instances.

use lxd_api::network::NetworkPut;
use lxd_auth::Permit;
use lxd_config::changed;
use lxd_db::{networks, nodes};
use lxd_network::config::{NetworkKind, fill_auto, validate};
use lxd_types::names::ProjectName;
use lxd_types::{Config, ConfigExt, Result};

use super::settle::Stored;
use super::{kind, spec, start, uplinks};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Changes description and configuration. When the host refuses the new one, the old one holds again.
///
/// # Errors
/// There is no such network, unknown keys, wrong values, or what the host refused.
pub async fn update(core: &SharedCore, permit: &Permit, name: &str, put: NetworkPut) -> Result<()> {
    let (work, permit, name) = (core.clone(), permit.clone(), name.to_owned());
    core.run("update network", async move { run(&work, &permit, &name, put).await }).await
}

async fn run(core: &SharedCore, permit: &Permit, name: &str, put: NetworkPut) -> Result<()> {
    let _turn = core.bridges.turn().await;
    let (project, wanted) = (permit.project().clone(), name.to_owned());
    let old = core.db.read(move |tx| super::row(tx, &project, &wanted)).await?;
    match kind::kind(old.kind)? {
        NetworkKind::Bridge => change_bridge(core, permit.project(), old, put).await?,
        _ => uplinks::change(core, old, put).await?,
    }
    let event = Lifecycle::new("network-updated", super::url(name)).in_project(permit.project());
    core.tell(permit.caller(), event);
    Ok(())
}

async fn change_bridge(
    core: &SharedCore,
    project: &ProjectName,
    old: networks::Network,
    put: NetworkPut,
) -> Result<()> {
    let name = old.name.as_str();
    let new = plan(core, name, &old.config, put.config).await?;
    let (owner, bridge, wanted) = (old.project_id, name.to_owned(), new.clone());
    core.db.read(move |tx| spec::check_acls(tx, owner, &bridge, &wanted)).await?;
    let change = Undo::ChangeNetwork {
        name: name.parse()?,
        old: Stored { description: old.description.clone(), config: old.config.clone() },
        new: Stored { description: put.description.clone(), config: new.clone() },
    };
    core.undoable(async |undo: &mut Log| {
        undo.push(change).await?;
        record(core, project, name, &put.description, &new).await?;
        core.faults.point("network change recorded")?;
        apply(core, project, name).await?;
        core.faults.point("network changed")
    })
    .await?;
    super::clashes::look(core, vec![networks::Network { config: new, ..old.clone() }]);
    Ok(())
}

/// The configuration to store.
async fn plan(core: &SharedCore, name: &str, old: &Config, new: Config) -> Result<Config> {
    let new = spec::without_empty(new);
    let before = spec::visible(old);
    let set =
        changed(&before, &new).into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    validate(NetworkKind::Bridge, name, &new, &set)?;
    let is_auto = ["ipv4.address", "ipv6.address"].iter().any(|key| new.value(key) == "auto");
    let new = if is_auto { fill_auto(new, &spec::used(core).await?, &mut rand::random::<u64>)? } else { new };
    Ok(spec::stored(new, old.value(spec::HWADDR)))
}

async fn record(
    core: &SharedCore,
    project: &ProjectName,
    name: &str,
    description: &str,
    config: &Config,
) -> Result<()> {
    let (project, name) = (project.clone(), name.to_owned());
    let (description, config) = (description.to_owned(), config.clone());
    core.db
        .write(move |tx| {
            let row = super::row(tx, &project, &name)?;
            networks::update(tx, row.id, nodes::LONE, &description, &config)
        })
        .await
}

/// Makes the host be as recorded.
async fn apply(core: &SharedCore, project: &ProjectName, name: &str) -> Result<()> {
    let (project, name) = (project.clone(), name.to_owned());
    let (spec, hosts) = core.db.read(move |tx| spec::whole(tx, &super::row(tx, &project, &name)?)).await?;
    start::bring_up(core, &spec, &hosts).await
}
