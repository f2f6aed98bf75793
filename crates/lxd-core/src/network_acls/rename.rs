//! `POST /1.0/network-acls/{name}`: another name.

use lxd_auth::Permit;
use lxd_db::network_acls;
use lxd_types::names::AclName;
use lxd_types::{Error, Kind, Result};

use super::owner;
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Gives an unused ACL another name; the new one.
///
/// # Errors
/// There is no such ACL, it is in use, or the new name is wrong or taken.
pub async fn rename(core: &SharedCore, permit: &Permit, name: &str, new: String) -> Result<AclName> {
    let (project, old) = (permit.project().clone(), name.to_owned());
    let new = core
        .db
        .write(move |tx| {
            let owner = owner(tx, &project)?;
            let row = network_acls::get(tx, owner, &old)?;
            // The reference answers 500 for all of these.
            if network_acls::names(tx, owner)?.contains(&new) {
                return Err(Error::internal("An ACL by that name exists already"));
            }
            if network_acls::users(tx, owner)?.iter().any(|(acl, _)| *acl == old) {
                return Err(Error::internal("Cannot rename an ACL that is in use"));
            }
            let new: AclName = new.parse().map_err(|e| Error::from(e).with_kind(Kind::Internal))?;
            network_acls::rename(tx, row.id, new.as_str())?;
            Ok(new)
        })
        .await?;
    let event = Lifecycle::new("network-acl-renamed", super::url(new.as_str()));
    super::tell(core, permit, event.with("old_name", name)).await?;
    Ok(new)
}
