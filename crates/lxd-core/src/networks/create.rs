//! `POST /1.0/networks`: a new bridge.

use lxd_api::network::NetworksPost;
use lxd_auth::Permit;
use lxd_db::{Tx, networks, nodes, projects};
use lxd_network::config::{check_type, fill_auto, validate, with_defaults};
use lxd_network::network_name;
use lxd_types::names::NetworkName;
use lxd_types::{Config, Error, Kind, Mac, Result};

use super::{require_default, spec};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::check_network;
use crate::{SharedCore, Undo};

/// What will be recorded and made.
#[derive(Clone, Debug)]
struct Plan {
    name: NetworkName,
    description: String,
    config: Config,
}

/// Makes a network; its name.
///
/// # Errors
/// Wrong name, type or key; the name is taken; the host refuses.
pub async fn create(core: &SharedCore, permit: &Permit, post: NetworksPost) -> Result<NetworkName> {
    if post.name.is_empty() {
        return Err(Error::bad_request("No name provided"));
    }
    let name = network_name(&post.name)?;
    check_type(&post.kind)?;
    let (work, permit, made) = (core.clone(), permit.clone(), name.clone());
    core.run("create network", async move { run(&work, &permit, name, post).await }).await?;
    Ok(made)
}

async fn run(core: &SharedCore, permit: &Permit, name: NetworkName, post: NetworksPost) -> Result<()> {
    let _turn = core.bridges.turn().await;
    let plan = plan(core, permit, name, post).await?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::SettleNetwork { name: plan.name.clone() }).await?;
        let wanted = plan.clone();
        let id = core.db.write(move |tx| record(tx, &wanted)).await?;
        core.faults.point("network recorded")?;
        let name = plan.name.to_string();
        let (spec, hosts) = core
            .db
            .read(move |tx| {
                let row = networks::get(tx, projects::DEFAULT, &name, nodes::LONE)?;
                Ok((spec::load(tx, &row)?, super::hosts::of(tx, &name)?))
            })
            .await?;
        core.bridges.start(&spec, &hosts).await?;
        core.faults.point("network started")?;
        core.db.write(move |tx| networks::set_state(tx, id, nodes::LONE, networks::CREATED)).await
    })
    .await?;
    let event = Lifecycle::new("network-created", super::url(plan.name.as_str()));
    core.tell(permit.caller(), event.in_project(permit.project()));
    Ok(())
}

async fn plan(core: &SharedCore, permit: &Permit, name: NetworkName, post: NetworksPost) -> Result<Plan> {
    let (project, wanted) = (permit.project().clone(), name.to_string());
    core.db
        .read(move |tx| {
            require_default(tx, &project)?;
            check_network(tx, &projects::get(tx, projects::DEFAULT_NAME)?)?;
            match networks::find(tx, projects::DEFAULT, &wanted)? {
                None => Ok(()),
                Some(_) => Err(taken()),
            }
        })
        .await?;
    let given: Config = post.config.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let config = with_defaults(given.clone(), lxd_host::sysctl::exists("net/ipv6"));
    validate(name.as_str(), &config, &given)?;
    let (bridge, wanted) = (name.to_string(), config.clone());
    core.db.read(move |tx| spec::check_acls(tx, projects::DEFAULT, &bridge, &wanted)).await?;
    let config = fill_auto(config, &spec::used(core).await?, &mut rand::random::<u64>)?;
    core.bridges.check_name_is_free(name.as_str()).await?;
    let mac = Mac::instance(rand::random()).to_string();
    Ok(Plan { name, description: post.description, config: spec::stored(config, &mac) })
}

fn record(tx: &Tx<'_>, plan: &Plan) -> Result<i64> {
    let row = networks::NewNetwork {
        project_id: projects::DEFAULT,
        name: plan.name.to_string(),
        description: plan.description.clone(),
        state: networks::PENDING,
        kind: networks::BRIDGE,
        config: plan.config.clone(),
    };
    networks::insert(tx, nodes::LONE, &row).map_err(|e| if e.kind() == Kind::Conflict { taken() } else { e })
}

fn taken() -> Error {
    Error::bad_request("The network already exists")
}
