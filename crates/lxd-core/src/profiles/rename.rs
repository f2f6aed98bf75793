//! `POST /1.0/profiles/{name}`.

use lxd_auth::Permit;
use lxd_db::profiles;
use lxd_types::names::ProfileName;
use lxd_types::{Error, Kind, Result};

use super::{owner, stored_project, url};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Gives a profile another name; answers its new URL. Instances that have it keep it.
///
/// # Errors
/// There is no such profile, it is `default`, or the new name is taken or not allowed.
pub async fn rename(core: &SharedCore, permit: &Permit, name: &str, new: &str) -> Result<String> {
    if name == profiles::DEFAULT_NAME {
        return Err(Error::forbidden("The \"default\" profile cannot be renamed"));
    }
    let new: ProfileName = new.parse()?;
    let (project, old, recorded) = (permit.project().clone(), name.to_owned(), new.clone());
    let owner_name = core
        .db
        .write(move |tx| {
            let owner = owner(tx, &project)?;
            if profiles::find(tx, owner, recorded.as_str())?.is_some() {
                // The reference answers 500 here.
                let text = format!("Name {:?} already in use", recorded.as_str());
                return Err(Error::new(Kind::Internal, text));
            }
            let row = profiles::get(tx, owner, &old)?;
            profiles::rename(tx, row.id, recorded.as_str())?;
            Ok(row.project)
        })
        .await?;
    let event = Lifecycle::new("profile-renamed", url("default", new.as_str())).with("old_name", name);
    core.tell(permit.caller(), event.in_project(&stored_project(&owner_name)?));
    Ok(url(&owner_name, new.as_str()))
}
