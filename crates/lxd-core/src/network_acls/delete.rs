//! `DELETE /1.0/network-acls/{name}`.

use lxd_auth::Permit;
use lxd_db::network_acls;
use lxd_types::{Error, Result};

use super::owner;
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Deletes an unused ACL.
///
/// # Errors
/// There is no such ACL, or it is in use.
pub async fn delete(core: &SharedCore, permit: &Permit, name: &str) -> Result<()> {
    let (project, wanted) = (permit.project().clone(), name.to_owned());
    core.db
        .write(move |tx| {
            let owner = owner(tx, &project)?;
            let row = network_acls::get(tx, owner, &wanted)?;
            if network_acls::users(tx, owner)?.iter().any(|(acl, _)| *acl == wanted) {
                // The reference answers 500.
                return Err(Error::internal("Cannot delete an ACL that is in use"));
            }
            network_acls::delete(tx, row.id)
        })
        .await?;
    super::tell(core, permit, Lifecycle::new("network-acl-deleted", super::url(name))).await
}
