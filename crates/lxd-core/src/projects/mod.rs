//! Projects: one file per action (`/1.0/projects`, manual 3.2.6).

mod allowed;
mod compression;
mod create;
mod delete;
mod features;
mod limits;
mod properties;
mod read;
mod rename;
mod restrictions;
mod state;
mod update;

pub(crate) use allowed::{Change, Newcomer, allowed, allowed_early, image_room};
pub use allowed::{require_backups, require_snapshots};
pub use compression::compression;
pub use create::create;
pub use delete::delete;
pub(crate) use limits::check_network;
pub use read::{fields, get, list};
pub use rename::rename;
pub(crate) use restrictions::{check_volatile, disk_paths};
pub use state::state;
pub use update::{Merge, update};

use lxd_db::used_by::User;
use lxd_db::{Tx, profiles, projects};
use lxd_types::Result;
use lxd_types::names::ProjectName;

use crate::SharedCore;

/// URL of a project.
pub fn url(name: &str) -> String {
    format!("/1.0/projects/{name}")
}

/// True when nothing but the profile that it came with belongs to a project.
fn is_empty(tx: &Tx<'_>, id: i64) -> Result<bool> {
    let own = |user: &User| matches!(user, User::Profile { name, .. } if name == profiles::DEFAULT_NAME);
    Ok(projects::used_by(tx, id)?.iter().all(own))
}

/// The project that owns the `features.FEATURE` things which a project uses: itself, or `default`.
///
/// # Errors
/// There is no such project.
pub async fn owner_name(core: &SharedCore, project: &ProjectName, feature: &'static str) -> Result<String> {
    let name = project.to_string();
    let owner = core.db.read(move |tx| Ok((projects::owner_of(tx, &name, feature)?, name.clone()))).await?;
    Ok(if owner.0 == projects::DEFAULT { projects::DEFAULT_NAME.to_owned() } else { owner.1 })
}
