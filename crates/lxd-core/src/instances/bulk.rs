//! `PUT /1.0/instances`: one change of state for all instances of a project.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use lxd_api::StatusCode;
use lxd_api::instance::InstancesPut;
use lxd_auth::Permit;
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::error::Many;
use lxd_types::{InstanceKind, Result};

use super::state::{Action, change};
use super::{InstanceKey, List, list};
use crate::SharedCore;

/// Instances that change at once.
const WIDTH: usize = 8;

/// Starts the change; the answer is its operation.
///
/// # Errors
/// The action is unknown, or there is no such project.
pub async fn put(
    core: &SharedCore,
    permit: &Permit,
    kind: Option<InstanceKind>,
    put: InstancesPut,
) -> Result<Arc<Operation>> {
    let action = Action::parse(&put.state)?;
    let found = list(core, permit, List { kind, all_projects: false }).await?;
    let meant = |key: &&InstanceKey| applies(action, core.runtime.status(key));
    let keys: Vec<InstanceKey> = found.keys().filter(meant).cloned().collect();
    let mut spec = OperationSpec::task(action.description(), permit.project().as_str());
    for key in &keys {
        spec = spec.on("instances", key.url());
    }
    let (core, permit) = (core.clone(), permit.clone());
    let spec = spec.by(permit.caller().requestor());
    Ok(core.operations.clone().spawn(spec, move |_| all(core, permit, keys, action)))
}

/// Whether an instance in this state is meant.
fn applies(action: Action, status: StatusCode) -> bool {
    match action {
        Action::Start => status != StatusCode::RUNNING,
        Action::Unfreeze => status == StatusCode::FROZEN,
        Action::Freeze => status == StatusCode::RUNNING,
        Action::Stop(_) | Action::Restart(_) => status != StatusCode::STOPPED,
    }
}

async fn all(core: SharedCore, permit: Permit, keys: Vec<InstanceKey>, action: Action) -> Result<()> {
    let one = move |key: InstanceKey| {
        let (core, permit) = (core.clone(), permit.clone());
        async move {
            let changed = change(&core, &permit, &key, action).await;
            changed.map_err(|error| error.context(format!("Instance {:?}", key.name.as_str())))
        }
    };
    let results: Vec<Result<()>> = stream::iter(keys).map(one).buffer_unordered(WIDTH).collect().await;
    let mut failed = Many::new();
    for result in results {
        failed.keep(result);
    }
    failed.into_result("Failed to change the state of some instances")
}
