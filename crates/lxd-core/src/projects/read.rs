//! `GET /1.0/projects` and `GET /1.0/projects/{name}`.

use lxd_api::project::{Project, ProjectPut};
use lxd_auth::Caller;
use lxd_db::{Tx, projects};
use lxd_types::{Error, Result};

use crate::SharedCore;

/// The projects that the caller may see, sorted by name.
///
/// # Errors
/// A failure of the database.
pub async fn list(core: &SharedCore, caller: &Caller) -> Result<Vec<Project>> {
    let caller = caller.clone();
    let shown = move |tx: &Tx<'_>| {
        let seen = projects::list(tx)?.into_iter().filter(|one| caller.sees(&one.name));
        seen.map(|one| view(tx, one)).collect()
    };
    core.db.read(shown).await
}

/// One project. One that the caller may not see is as if it were not there.
///
/// # Errors
/// Not found, or a failure of the database.
pub async fn get(core: &SharedCore, caller: &Caller, name: &str) -> Result<Project> {
    if !caller.sees(name) {
        return Err(Error::not_found("Project not found"));
    }
    let name = name.to_owned();
    core.db.read(move |tx| view(tx, projects::get(tx, &name)?)).await
}

/// The fields that can be changed: what a version is made of.
pub fn fields(project: &Project) -> ProjectPut {
    ProjectPut { config: project.config.clone(), description: project.description.clone() }
}

fn view(tx: &Tx<'_>, project: projects::Project) -> Result<Project> {
    let used_by = projects::used_by(tx, project.id)?.iter().map(|user| user.url()).collect();
    Ok(Project { config: project.config, description: project.description, name: project.name, used_by })
}
