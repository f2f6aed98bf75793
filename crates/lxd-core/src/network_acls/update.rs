//! `PUT` and `PATCH /1.0/network-acls/{name}`: other rules, which hold at once on the bridges that have the ACL.

use lxd_api::network_acl::NetworkAclPut;
use lxd_auth::Permit;
use lxd_db::used_by::User;
use lxd_db::{Tx, network_acls, networks, nodes, projects};
use lxd_network::bridge::BridgeSpec;
use lxd_types::Result;
use lxd_types::names::ProjectName;

use super::owner;
use crate::SharedCore;
use crate::lifecycle::Lifecycle;
use crate::networks::spec;

/// Changes description, rules and keys. When a bridge cannot have the new rules, the old ones hold again.
///
/// # Errors
/// There is no such ACL, a rule or key is refused, or what the host refused.
pub async fn update(core: &SharedCore, permit: &Permit, name: &str, put: NetworkAclPut) -> Result<()> {
    let (work, permit, name) = (core.clone(), permit.clone(), name.to_owned());
    core.run("update network ACL", async move { run(&work, &permit, &name, put).await }).await
}

async fn run(core: &SharedCore, permit: &Permit, name: &str, put: NetworkAclPut) -> Result<()> {
    let _turn = core.bridges.turn().await;
    let (project, wanted) = (permit.project().clone(), name.to_owned());
    let (old, bridges) = core.db.write(move |tx| record(tx, &project, &wanted, put.clone())).await?;
    if let Err(error) = apply(core, &bridges).await {
        let bridges = core
            .db
            .write(move |tx| {
                network_acls::update(tx, old.id, &old)?;
                concerned(tx, &old)
            })
            .await?;
        if let Err(again) = apply(core, &bridges).await {
            tracing::error!(acl = name, error = again.chain(), "The old rules do not hold again");
        }
        return Err(error);
    }
    super::tell(core, permit, Lifecycle::new("network-acl-updated", super::url(name))).await
}

/// Stores the new rules; answers what was there, and the bridges as they shall be. Nothing is stored when one of them
/// cannot be made.
fn record(
    tx: &Tx<'_>,
    project: &ProjectName,
    name: &str,
    put: NetworkAclPut,
) -> Result<(network_acls::NetworkAcl, Vec<BridgeSpec>)> {
    let owner = owner(tx, project)?;
    let old = network_acls::get(tx, owner, name)?;
    network_acls::update(tx, old.id, &super::checked(tx, owner, name, put)?)?;
    let bridges = concerned(tx, &old)?;
    Ok((old, bridges))
}

/// The bridges that have an ACL. They belong to the project `default`.
fn concerned(tx: &Tx<'_>, acl: &network_acls::NetworkAcl) -> Result<Vec<BridgeSpec>> {
    let users = network_acls::users(tx, acl.project_id)?;
    let names = users.into_iter().filter_map(|(of, user)| match user {
        User::Network { name, .. } if of == acl.name && acl.project_id == projects::DEFAULT => Some(name),
        _ => None,
    });
    let bridge =
        |name: String| Ok(spec::whole(tx, &networks::get(tx, projects::DEFAULT, &name, nodes::LONE)?)?.0);
    names.map(bridge).collect()
}

async fn apply(core: &SharedCore, bridges: &[BridgeSpec]) -> Result<()> {
    for bridge in bridges {
        core.bridges.set_acls(bridge).await?;
        core.faults.point("network ACL applied")?;
    }
    Ok(())
}
