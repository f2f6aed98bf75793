//! `POST /1.0/networks`: a new network.

use lxd_api::network::NetworksPost;
use lxd_auth::Permit;
use lxd_db::{Tx, networks, nodes, projects};
use lxd_network::config::{NetworkKind, fill_auto, validate, with_defaults};
use lxd_network::network_name;
use lxd_types::names::NetworkName;
use lxd_types::{Config, Error, Kind, Mac, Result};

use super::{kind, require_default, spec, start, uplinks};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::check_network;
use crate::{SharedCore, Undo};

/// What will be recorded and made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub name: NetworkName,
    pub kind: NetworkKind,
    pub description: String,
    pub config: Config,
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
    let kind = NetworkKind::asked(&post.kind)?;
    let (work, permit, made) = (core.clone(), permit.clone(), name.clone());
    core.run("create network", async move { run(&work, &permit, kind, name, post).await }).await?;
    Ok(made)
}

async fn run(
    core: &SharedCore,
    permit: &Permit,
    kind: NetworkKind,
    name: NetworkName,
    post: NetworksPost,
) -> Result<()> {
    let _turn = core.bridges.turn().await;
    check(core, permit, &name).await?;
    let url = super::url(name.as_str());
    match kind {
        NetworkKind::Bridge => make_bridge(core, plan_bridge(core, name, post).await?).await?,
        kind => uplinks::make(core, uplinks::plan(core, kind, name, post).await?).await?,
    }
    core.tell(permit.caller(), Lifecycle::new("network-created", url).in_project(permit.project()));
    Ok(())
}

async fn make_bridge(core: &SharedCore, plan: Plan) -> Result<()> {
    let made = plan.name.to_string();
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::SettleNetwork { name: plan.name.clone() }).await?;
        let wanted = plan.clone();
        let id = core.db.write(move |tx| record(tx, &wanted)).await?;
        core.faults.point("network recorded")?;
        let name = plan.name.to_string();
        let (spec, hosts) = core
            .db
            .read(move |tx| spec::whole(tx, &networks::get(tx, projects::DEFAULT, &name, nodes::LONE)?))
            .await?;
        start::bring_up(core, &spec, &hosts).await?;
        core.faults.point("network started")?;
        core.db.write(move |tx| networks::set_state(tx, id, nodes::LONE, networks::CREATED)).await
    })
    .await?;
    let row = core.db.read(move |tx| networks::get(tx, projects::DEFAULT, &made, nodes::LONE)).await?;
    super::clashes::look(core, vec![row]);
    Ok(())
}

/// The project may have another network, and none has this name.
async fn check(core: &SharedCore, permit: &Permit, name: &NetworkName) -> Result<()> {
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
        .await
}

async fn plan_bridge(core: &SharedCore, name: NetworkName, post: NetworksPost) -> Result<Plan> {
    let given = spec::without_empty(post.config);
    let config = with_defaults(given.clone(), lxd_host::sysctl::exists("net/ipv6"));
    validate(NetworkKind::Bridge, name.as_str(), &config, &given)?;
    let (bridge, wanted) = (name.to_string(), config.clone());
    core.db.read(move |tx| spec::check_acls(tx, projects::DEFAULT, &bridge, &wanted)).await?;
    let config = fill_auto(config, &spec::used(core).await?, &mut rand::random::<u64>)?;
    core.bridges.check_name_is_free(name.as_str()).await?;
    let mac = Mac::instance(rand::random()).to_string();
    let config = spec::stored(config, &mac);
    Ok(Plan { name, kind: NetworkKind::Bridge, description: post.description, config })
}

/// Records a network that is being made; its id.
pub(super) fn record(tx: &Tx<'_>, plan: &Plan) -> Result<i64> {
    let row = networks::NewNetwork {
        project_id: projects::DEFAULT,
        name: plan.name.to_string(),
        description: plan.description.clone(),
        state: networks::PENDING,
        kind: kind::number(plan.kind),
        config: plan.config.clone(),
    };
    networks::insert(tx, nodes::LONE, &row).map_err(|e| if e.kind() == Kind::Conflict { taken() } else { e })
}

fn taken() -> Error {
    Error::bad_request("The network already exists")
}
