//! `POST /1.0/projects/{name}`.

use std::sync::Arc;

use lxd_auth::Permit;
use lxd_db::{Tx, profiles, projects};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

use super::{is_empty, url};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Starts to give a project another name; the answer is the operation.
///
/// # Errors
/// It is `default`.
pub fn rename(core: &SharedCore, permit: &Permit, name: &ProjectName, new: String) -> Result<Arc<Operation>> {
    if name.as_str() == projects::DEFAULT_NAME {
        return Err(Error::forbidden("The 'default' project cannot be renamed"));
    }
    let spec =
        OperationSpec::task("Renaming project", permit.project().as_str()).by(permit.caller().requestor());
    let (work, permit, name) = (core.clone(), permit.clone(), name.clone());
    Ok(core.operations.spawn(spec, move |_| async move { run(&work, &permit, &name, &new).await }))
}

async fn run(core: &SharedCore, permit: &Permit, name: &ProjectName, new: &str) -> Result<()> {
    let new: ProjectName = new.parse()?;
    let (from, to) = (name.clone(), new.clone());
    let change = move |tx: &Tx<'_>| {
        if projects::find(tx, to.as_str())?.is_some() {
            return Err(Error::conflict(format!("A project named {:?} already exists", to.as_str())));
        }
        let id = projects::require(tx, from.as_str())
            .map_err(|error| error.context(format!("Failed loading project {:?}", from.as_str())))?;
        // Names of volumes, containers and log directories hold the project's name.
        if !is_empty(tx, id)? {
            return Err(Error::bad_request("Only empty projects can be renamed"));
        }
        projects::rename(tx, id, to.as_str())?;
        redescribe(tx, id, &from, &to)
    };
    core.db.write(change).await?;
    core.trust_changed().await?;
    let event = Lifecycle::new("project-renamed", url(new.as_str())).about_project(&new);
    core.tell(permit.caller(), event.with("old_name", name.as_str()));
    Ok(())
}

/// The text of the project's first profile names the project.
fn redescribe(tx: &Tx<'_>, id: i64, old: &ProjectName, new: &ProjectName) -> Result<()> {
    if profiles::find(tx, id, profiles::DEFAULT_NAME)?.is_none() {
        return Ok(());
    }
    let text = |name: &ProjectName| format!("Default LXD profile for project {name}");
    let profile = profiles::get(tx, id, profiles::DEFAULT_NAME)?;
    if profile.description != text(old) {
        return Ok(());
    }
    profiles::update(tx, profile.id, &text(new), &profile.config, &profile.devices)
}
