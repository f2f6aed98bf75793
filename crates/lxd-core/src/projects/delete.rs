//! `DELETE /1.0/projects/{name}`.

use lxd_auth::Permit;
use lxd_db::{Tx, projects};
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

use super::{is_empty, url};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Removes a project that has nothing. Whoever creates in it at that moment finds that it is gone.
///
/// # Errors
/// There is no such project, it is `default`, or it has something.
pub async fn delete(core: &SharedCore, permit: &Permit, name: &ProjectName) -> Result<()> {
    if name.as_str() == projects::DEFAULT_NAME {
        return Err(Error::forbidden("The 'default' project cannot be deleted"));
    }
    let wanted = name.clone();
    let remove = move |tx: &Tx<'_>| {
        let id = projects::require(tx, wanted.as_str())
            .map_err(|error| error.context(format!("Fetch project {:?}", wanted.as_str())))?;
        if !is_empty(tx, id)? {
            return Err(Error::bad_request("Only empty projects can be removed"));
        }
        projects::delete(tx, id)
    };
    core.db.write(remove).await?;
    core.trust_changed().await?;
    core.tell(permit.caller(), Lifecycle::new("project-deleted", url(name.as_str())).about_project(name));
    Ok(())
}
