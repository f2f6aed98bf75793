//! `POST /1.0/profiles`.

use lxd_api::profile::ProfilesPost;
use lxd_auth::Permit;
use lxd_db::profiles;
use lxd_types::names::ProfileName;
use lxd_types::{Error, Kind, Result};

use super::{owner, rules, stored_project, url};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;
use crate::projects::{Change, allowed};

/// Makes a profile; answers its URL.
///
/// # Errors
/// The name is taken or not allowed, or a key or device is refused.
pub async fn create(core: &SharedCore, permit: &Permit, post: ProfilesPost) -> Result<String> {
    let name: ProfileName = post.name.parse()?;
    let (project, registry) = (permit.project().clone(), core.device_registry());
    let fields = rules::clean(post.config, post.devices);
    let recorded = name.clone();
    let owner_name = core
        .db
        .write(move |tx| {
            let owner = owner(tx, &project)?;
            rules::check(tx, &registry, &project, &fields)?;
            if profiles::find(tx, owner, recorded.as_str())?.is_some() {
                return Err(taken(&recorded));
            }
            profiles::insert(
                tx,
                owner,
                recorded.as_str(),
                &post.description,
                &fields.config,
                &fields.devices,
            )?;
            let owner_name = profiles::get(tx, owner, recorded.as_str())?.project;
            allowed(tx, &owner_name, Change::Profile(recorded.as_str(), &[]))?;
            Ok(owner_name)
        })
        .await?;
    let event = Lifecycle::new("profile-created", url("default", name.as_str()));
    core.tell(permit.caller(), event.in_project(&stored_project(&owner_name)?));
    Ok(url(&owner_name, name.as_str()))
}

/// The reference answers 500 here.
fn taken(name: &ProfileName) -> Error {
    Error::new(Kind::Internal, "The profile already exists")
        .context(format!("Error inserting {:?} into database", name.as_str()))
}
