//! `PUT` and `PATCH /1.0/projects/{name}`: checked against everything that the project has, in one transaction.

use lxd_api::project::ProjectPut;
use lxd_auth::Permit;
use lxd_config::changed;
use lxd_config::project::{FEATURES_PROFILES, RESTRICTED_ON};
use lxd_db::{Tx, projects};
use lxd_types::names::ProjectName;
use lxd_types::{Config, Error, Kind, Result};

use super::allowed::facts;
use super::{features, is_empty, limits, restrictions, url};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// How the new fields follow from the present ones; may be called again when another change came first.
pub type Merge = dyn Fn(ProjectPut) -> Result<ProjectPut> + Send + Sync;

/// Changes a project.
///
/// # Errors
/// There is no such project, `merge` refuses, or a rule is broken by what the project has; nothing is changed then.
pub async fn update(core: &SharedCore, permit: &Permit, name: &ProjectName, merge: Box<Merge>) -> Result<()> {
    let wanted = name.clone();
    let change = move |tx: &Tx<'_>| {
        let old = projects::get(tx, wanted.as_str())?;
        let put = merge(ProjectPut { config: old.config.clone(), description: old.description.clone() })?;
        let config: Config = put.config.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        check(tx, &old, &config)?;
        features::follow_profiles(tx, old.id, &old.name, FEATURES_PROFILES.is_on(&old.config), &config)?;
        projects::update(tx, old.id, &put.description, &config)
    };
    core.db.write(change).await?;
    core.tell(permit.caller(), Lifecycle::new("project-updated", url(name.as_str())).about_project(name));
    Ok(())
}

fn check(tx: &Tx<'_>, old: &projects::Project, config: &Config) -> Result<()> {
    features::check_change(old, config, is_empty(tx, old.id)?)?;
    lxd_config::project::check(config)?;
    let changes = changed(&old.config, config);
    let new = projects::Project { config: config.clone(), ..old.clone() };
    let restricts = |key: &str| key == "restricted" || key.starts_with("restricted.");
    let matters = |key: &str| key.starts_with("limits.") || restricts(key);
    if !changes.iter().any(|(key, value)| matters(key) && !(key.starts_with("limits.") && value.is_empty())) {
        return Ok(());
    }
    let facts = facts(tx, &new)?;
    for (key, value) in changes {
        if key.starts_with("limits.") && !value.is_empty() {
            // The reference answers 500 here.
            limits::check_change(&facts, key).map_err(|error| error.with_kind(Kind::Internal))?;
        }
        if restricts(key) && RESTRICTED_ON.is_on(config) {
            restrictions::check_all(&facts).map_err(|error: Error| {
                let text = format!("Conflict detected when changing {key:?} in project {:?}", new.name);
                error.context(text).with_kind(Kind::Internal)
            })?;
        }
    }
    Ok(())
}
