//! `recursion=2`: instances with their run-time state and snapshots.

use futures_util::{StreamExt, stream};
use lxd_api::instance::{InstanceFull, InstanceSnapshot};
use lxd_types::Result;

use super::{Model, instance_view, state};
use crate::SharedCore;

/// States that are read at once.
const WIDTH: usize = 8;

/// Adds the run-time state to each. Stopped instances cost nothing; one that does not answer has no state.
///
/// # Errors
/// The database cannot be read.
pub async fn full(core: &SharedCore, models: Vec<Model>) -> Result<Vec<InstanceFull>> {
    let mut snapshots = super::snapshots::of_models(core, &models).await?;
    let all = models.into_iter().map(|model| {
        let snapshots = snapshots.remove(&model.row.id).unwrap_or_default();
        (model, snapshots)
    });
    let all: Vec<_> = all.collect();
    Ok(stream::iter(all)
        .map(|(model, snapshots)| one(core, model, snapshots))
        .buffered(WIDTH)
        .collect()
        .await)
}

async fn one(core: &SharedCore, model: Model, snapshots: Vec<InstanceSnapshot>) -> InstanceFull {
    let view = instance_view(&model, core.runtime.status(&model.key));
    let state = match state::of(core, &model).await {
        Ok(state) => Some(state),
        Err(error) => {
            tracing::warn!(instance = %model.key, error = error.chain(), "The state of an instance cannot be read");
            None
        }
    };
    InstanceFull {
        architecture: view.architecture,
        config: view.config,
        devices: view.devices,
        ephemeral: view.ephemeral,
        profiles: view.profiles,
        stateful: view.stateful,
        description: view.description,
        created_at: view.created_at,
        expanded_config: view.expanded_config,
        expanded_devices: view.expanded_devices,
        name: view.name,
        status: view.status,
        status_code: view.status_code,
        last_used_at: view.last_used_at,
        location: view.location,
        kind: view.kind,
        project: view.project,
        state: state.unwrap_or_default(),
        snapshots,
        ..InstanceFull::default()
    }
}
