//! `GET /1.0/network-acls` and `/1.0/network-acls/{name}`.

use lxd_api::network_acl::NetworkAcl;
use lxd_auth::Permit;
use lxd_db::network_acls;
use lxd_db::used_by::User;
use lxd_types::Result;

use super::{owner, rules};
use crate::SharedCore;

/// The URLs of the ACLs that the project uses.
///
/// # Errors
/// There is no such project, or a failure of the database.
pub async fn urls(core: &SharedCore, permit: &Permit) -> Result<Vec<String>> {
    let project = permit.project().clone();
    let names = core.db.read(move |tx| network_acls::names(tx, owner(tx, &project)?)).await?;
    // Without the project, as the reference has it.
    Ok(names.iter().map(|name| super::url(name)).collect())
}

/// The ACLs that the project uses.
///
/// # Errors
/// As [`urls`].
pub async fn list(core: &SharedCore, permit: &Permit) -> Result<Vec<NetworkAcl>> {
    let project = permit.project().clone();
    core.db
        .read(move |tx| {
            let owner = owner(tx, &project)?;
            let users = network_acls::users(tx, owner)?;
            network_acls::list(tx, owner)?.into_iter().map(|row| view(row, &users)).collect()
        })
        .await
}

/// One ACL.
///
/// # Errors
/// `Network ACL not found`.
pub async fn get(core: &SharedCore, permit: &Permit, name: &str) -> Result<NetworkAcl> {
    let (project, name) = (permit.project().clone(), name.to_owned());
    core.db
        .read(move |tx| {
            let owner = owner(tx, &project)?;
            let row = network_acls::get(tx, owner, &name)?;
            view(row, &network_acls::users(tx, owner)?)
        })
        .await
}

fn view(row: network_acls::NetworkAcl, users: &[(String, User)]) -> Result<NetworkAcl> {
    let rules = rules(&row)?;
    let used_by = users.iter().filter(|(acl, _)| *acl == row.name).map(|(_, user)| user.url());
    Ok(NetworkAcl {
        used_by: used_by.collect(),
        name: row.name,
        description: row.description,
        egress: rules.egress,
        ingress: rules.ingress,
        config: row.config,
    })
}
