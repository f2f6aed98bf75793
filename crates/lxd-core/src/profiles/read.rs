//! `GET /1.0/profiles` and `GET /1.0/profiles/{name}`.

use lxd_api::profile::{Profile, ProfilePut};
use lxd_auth::Permit;
use lxd_db::profiles;
use lxd_db::used_by::User;
use lxd_types::Result;

use super::{owner, put_view, url, view};
use crate::SharedCore;

/// The URLs of the profiles that a project uses, sorted by name.
///
/// # Errors
/// There is no such project.
pub async fn urls(core: &SharedCore, permit: &Permit) -> Result<Vec<String>> {
    let project = permit.project().clone();
    core.db
        .read(move |tx| {
            let rows = profiles::list(tx, Some(owner(tx, &project)?))?;
            Ok(rows.iter().map(|row| url(&row.project, &row.name)).collect())
        })
        .await
}

/// The profiles that a project uses, sorted by name.
///
/// # Errors
/// There is no such project.
pub async fn list(core: &SharedCore, permit: &Permit) -> Result<Vec<Profile>> {
    let project = permit.project().clone();
    let (rows, mut users) = core
        .db
        .read(move |tx| Ok((profiles::list(tx, Some(owner(tx, &project)?))?, profiles::every_used_by(tx)?)))
        .await?;
    let shown = |row: profiles::Profile| {
        let users = users.remove(&row.id).unwrap_or_default();
        view(row, visible(permit, &users))
    };
    Ok(rows.into_iter().map(shown).collect())
}

/// One profile, and its fields that can be changed.
///
/// # Errors
/// There is no such project or profile.
pub async fn get(core: &SharedCore, permit: &Permit, name: &str) -> Result<(Profile, ProfilePut)> {
    let (project, name) = (permit.project().clone(), name.to_owned());
    let (row, users) = core
        .db
        .read(move |tx| {
            let row =
                profiles::get(tx, owner(tx, &project)?, &name).map_err(|e| e.context("Fetch profile"))?;
            let users = profiles::used_by(tx, row.id)?;
            Ok((row, users))
        })
        .await?;
    let fields = put_view(&row);
    Ok((view(row, visible(permit, &users)), fields))
}

/// The users that the caller may know of.
fn visible(permit: &Permit, users: &[User]) -> Vec<String> {
    let seen = |user: &&User| match user {
        User::Instance { project, .. } => permit.caller().sees(project),
        _ => true,
    };
    users.iter().filter(seen).map(User::url).collect()
}
