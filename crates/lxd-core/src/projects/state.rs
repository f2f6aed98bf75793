//! `GET /1.0/projects/{name}/state`: what is used of each limit.

use lxd_api::project::{ProjectState, ProjectStateResource};
use lxd_auth::Caller;
use lxd_db::{Tx, projects};
use lxd_types::{Error, Result};

use super::allowed::sums;
use super::limits::{self, Limit};
use crate::SharedCore;

/// Limits and usage of a project. What an instance has no limit of counts nothing.
///
/// # Errors
/// There is no such project, or the caller may not see it.
pub async fn state(core: &SharedCore, caller: &Caller, name: &str) -> Result<ProjectState> {
    let missing = || Error::not_found("Project not found").context("Fetch project database object");
    if !caller.sees(name) {
        return Err(missing());
    }
    let name = name.to_owned();
    let collect = move |tx: &Tx<'_>| {
        if projects::find(tx, &name)?.is_none() {
            return Err(missing());
        }
        let facts = sums(tx, &projects::get(tx, &name)?, &Limit::ALL)?;
        let resource = |limit: &Limit| {
            let most = limits::limit(&facts.project.config, *limit)?;
            let shown = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            let used = ProjectStateResource {
                limit: most.map_or(-1, shown),
                usage: shown(limits::usage(&facts, *limit)),
            };
            Ok((limit.name().to_owned(), used))
        };
        Ok(ProjectState { resources: Limit::ALL.iter().map(resource).collect::<Result<_>>()? })
    };
    core.db.read(collect).await
}
