//! Profiles: one file per action (`/1.0/profiles`, manual 3.2.5).

mod create;
mod delete;
mod read;
mod rename;
mod rules;
mod update;

use lxd_api::profile::{Profile, ProfilePut};
use lxd_db::profiles;
use lxd_db::used_by::User;
use lxd_db::{Tx, projects};
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

pub use create::create;
pub use delete::delete;
pub use read::{get, list, urls};
pub use rename::rename;
pub use update::{Merge, update};

/// The project that owns the profiles which a project uses: itself, or `default`.
///
/// # Errors
/// `Failed loading project "NAME": Project not found`
fn owner(tx: &Tx<'_>, project: &ProjectName) -> Result<i64> {
    projects::owner_of(tx, project.as_str(), "profiles")
        .map_err(|error| error.context(format!("Failed loading project {:?}", project.as_str())))
}

/// `/1.0/profiles/NAME`, with the project where it is not `default`.
fn url(project: &str, name: &str) -> String {
    User::Profile { project: project.to_owned(), name: name.to_owned() }.url()
}

/// The fields of a profile that can be changed.
fn put_view(row: &profiles::Profile) -> ProfilePut {
    ProfilePut {
        config: row.config.clone(),
        description: row.description.clone(),
        devices: row.devices.clone(),
    }
}

/// A profile as the API shows it.
fn view(row: profiles::Profile, used_by: Vec<String>) -> Profile {
    let profiles::Profile { name, description, config, devices, .. } = row;
    Profile { config, description, devices, name, used_by }
}

/// A stored name that breaks today's rules is a fault of the database.
fn stored_project(name: &str) -> Result<ProjectName> {
    name.parse().map_err(|_| Error::internal(format!("The database has a project named {name:?}")))
}
