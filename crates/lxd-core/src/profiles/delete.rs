//! `DELETE /1.0/profiles/{name}`.

use lxd_auth::Permit;
use lxd_db::profiles;
use lxd_types::{Error, Kind, Result};

use super::{owner, stored_project, url};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Removes a profile that nobody uses.
///
/// # Errors
/// There is no such profile, it is `default`, or an instance has it.
pub async fn delete(core: &SharedCore, permit: &Permit, name: &str) -> Result<()> {
    if name == profiles::DEFAULT_NAME {
        return Err(Error::forbidden("The \"default\" profile cannot be deleted"));
    }
    let (project, wanted) = (permit.project().clone(), name.to_owned());
    let owner_name = core
        .db
        .write(move |tx| {
            let row = profiles::get(tx, owner(tx, &project)?, &wanted)?;
            if !profiles::used_by(tx, row.id)?.is_empty() {
                // The reference answers 500 here.
                return Err(Error::new(Kind::Internal, "Profile is currently in use"));
            }
            profiles::delete(tx, row.id)?;
            Ok(row.project)
        })
        .await?;
    let event = Lifecycle::new("profile-deleted", url("default", name));
    core.tell(permit.caller(), event.in_project(&stored_project(&owner_name)?));
    Ok(())
}
