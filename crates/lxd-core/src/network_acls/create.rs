//! `POST /1.0/network-acls`.

use lxd_api::network_acl::{NetworkAclPut, NetworkAclsPost};
use lxd_auth::Permit;
use lxd_db::network_acls;
use lxd_types::names::AclName;
use lxd_types::{Error, Kind, Result};

use super::owner;
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Makes an ACL; its name.
///
/// # Errors
/// Wrong name, rule or key; the name is taken.
pub async fn create(core: &SharedCore, permit: &Permit, post: NetworkAclsPost) -> Result<AclName> {
    let project = permit.project().clone();
    let name = core
        .db
        .write(move |tx| {
            let owner = owner(tx, &project)?;
            let NetworkAclsPost { name, description, egress, ingress, config } = post.clone();
            if network_acls::names(tx, owner)?.contains(&name) {
                return Err(Error::bad_request("The network ACL already exists"));
            }
            // The reference answers 500 for this and for wrong rules.
            let name: AclName = name.parse().map_err(|e| Error::from(e).with_kind(Kind::Internal))?;
            let put = NetworkAclPut { description, egress, ingress, config };
            network_acls::insert(tx, &super::checked(tx, owner, name.as_str(), put)?)?;
            Ok(name)
        })
        .await?;
    super::tell(core, permit, Lifecycle::new("network-acl-created", super::url(name.as_str()))).await?;
    Ok(name)
}
