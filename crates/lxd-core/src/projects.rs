//! Projects. This version has the project `default` only; the database knows them all from its first day.

use lxd_api::project::Project;
use lxd_auth::Caller;
use lxd_db::projects;
use lxd_types::{Error, Result};

use crate::Core;

/// URL of a project.
pub fn url(name: &str) -> String {
    format!("/1.0/projects/{name}")
}

impl Core {
    /// The projects that the caller may see, sorted by name.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn projects(&self, caller: &Caller) -> Result<Vec<Project>> {
        let all = self.db.read(|tx| projects::list(tx)?.into_iter().map(|one| view(tx, one)).collect());
        let mut shown: Vec<Project> = all.await?;
        shown.retain(|project| caller.sees(&project.name));
        Ok(shown)
    }

    /// One project. One that the caller may not see is as if it were not there.
    ///
    /// # Errors
    /// Not found, or a failure of the database.
    pub async fn project(&self, caller: &Caller, name: &str) -> Result<Project> {
        if !caller.sees(name) {
            return Err(Error::not_found("Project not found"));
        }
        let name = name.to_owned();
        self.db.read(move |tx| view(tx, projects::get(tx, &name)?)).await
    }

    /// Refuses what this version cannot do with projects.
    ///
    /// # Errors
    /// Always.
    pub fn change_projects(&self) -> Result<()> {
        Err(Error::not_implemented("Projects other than \"default\" are not supported yet"))
    }
}

fn view(tx: &lxd_db::Tx<'_>, project: projects::Project) -> Result<Project> {
    let mut used_by: Vec<String> = projects::used_by(tx, project.id)?.iter().map(|user| user.url()).collect();
    used_by.sort();
    Ok(Project { config: project.config, description: project.description, name: project.name, used_by })
}
