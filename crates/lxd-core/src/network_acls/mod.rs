//! Network ACLs: one file per action (`/1.0/network-acls`). They belong to the project that has the networks.

mod create;
mod delete;
mod get;
mod log;
mod rename;
mod update;

pub use create::create;
pub use delete::delete;
pub use get::{get, list, urls};
pub use log::log;
pub use rename::rename;
pub use update::update;

use lxd_api::network_acl::{NetworkAclPut, NetworkAclRule};
use lxd_auth::Permit;
use lxd_db::{Tx, network_acls, projects};
use lxd_network::acl::{self, Acl};
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// The URL of an ACL, without the project.
fn url(name: &str) -> String {
    format!("/1.0/network-acls/{name}")
}

/// The project whose ACLs this one uses.
///
/// # Errors
/// `Failed to load project "p": Project not found`.
fn owner(tx: &Tx<'_>, project: &ProjectName) -> Result<i64> {
    projects::owner_of(tx, project.as_str(), "networks")
        .map_err(|error| error.context(format!("Failed to load project {:?}", project.as_str())))
}

/// Tells of a change, in the project that has the ACL.
async fn tell(core: &SharedCore, permit: &Permit, event: Lifecycle) -> Result<()> {
    let owner = crate::projects::owner_name(core, permit.project(), "networks").await?;
    core.tell(permit.caller(), event.in_project(&owner.parse()?));
    Ok(())
}

/// The rules of a stored ACL.
///
/// # Errors
/// What is stored is no list of rules.
pub(crate) fn rules(stored: &network_acls::NetworkAcl) -> Result<Acl> {
    Ok(Acl { ingress: parse(stored, &stored.ingress)?, egress: parse(stored, &stored.egress)? })
}

fn parse(stored: &network_acls::NetworkAcl, list: &str) -> Result<Vec<NetworkAclRule>> {
    serde_json::from_str(list)
        .map_err(|error| Error::internal(format!("Invalid rules of network ACL {:?}: {error}", stored.name)))
}

/// The checked row for what a client wants an ACL to hold. `name` is that of an ACL that is there or will be.
///
/// # Errors
/// A rule or key is refused.
fn checked(tx: &Tx<'_>, owner: i64, name: &str, mut put: NetworkAclPut) -> Result<network_acls::NetworkAcl> {
    acl::normalize(&mut put.ingress);
    acl::normalize(&mut put.egress);
    let names = network_acls::names(tx, owner)?.into_iter().collect();
    acl::check(&put.config, &put.ingress, &put.egress, &names)?;
    let json = |rules: &[NetworkAclRule]| {
        serde_json::to_string(rules).map_err(|error| Error::internal(format!("A rule is no JSON: {error}")))
    };
    Ok(network_acls::NetworkAcl {
        project_id: owner,
        name: name.to_owned(),
        description: put.description,
        ingress: json(&put.ingress)?,
        egress: json(&put.egress)?,
        config: put.config,
        ..network_acls::NetworkAcl::default()
    })
}
