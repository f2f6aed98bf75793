//! Snapshots of instances: `/1.0/instances/{name}/snapshots`.

mod create;
mod delete;
pub mod expire;
mod get;
mod rename;
mod restore;
pub mod schedule;
pub(crate) mod undo;
mod update;

use std::sync::Arc;

use lxd_auth::Permit;
use lxd_db::{Tx, instances, snapshots, storage_volumes};
use lxd_storage::{Pool, SnapshotRef, VolumeKind, VolumeRef};
use lxd_types::names::SnapshotName;
use lxd_types::{Error, Result};

pub use create::create;
pub(super) use create::frozen;
pub use delete::delete;
pub(super) use delete::delete_held;
pub use get::{get, list, urls};
pub(super) use get::{of_many, views};
pub use rename::rename;
pub(crate) use restore::finish as finish_restore;
pub use restore::restore;
pub use update::{put_fields, update};

use super::{InstanceKey, Model, load};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// Names a snapshot as a request does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnapshotKey {
    /// The instance.
    pub instance: InstanceKey,
    /// The snapshot's own name; what is no name does not exist.
    pub name: String,
}

impl SnapshotKey {
    /// The URL without project.
    pub fn url(&self) -> String {
        format!("{}/snapshots/{}", self.instance.url(), self.name)
    }

    /// `INSTANCE/SNAPSHOT`, as events and messages name it.
    fn full(&self) -> String {
        format!("{}/{}", self.instance.name, self.name)
    }

    /// The snapshot of its volume.
    ///
    /// # Errors
    /// It is no name.
    fn volume(&self) -> Result<SnapshotRef> {
        let name: SnapshotName = self.name.parse()?;
        Ok(VolumeRef::container(&self.instance.project, &self.instance.name).snapshot(&name))
    }
}

/// An instance and one of its snapshots.
///
/// # Errors
/// One of both is not there.
pub(super) fn find(tx: &Tx<'_>, key: &SnapshotKey) -> Result<(Model, snapshots::Snapshot)> {
    let InstanceKey { project, name } = &key.instance;
    let model = load(tx, &key.instance)?;
    let snapshot = snapshots::get(tx, model.row.id, &key.name).map_err(|error| {
        let (snapshot, name, project) = (&key.name, name.as_str(), project.as_str());
        error.context(format!(
            "Failed to fetch snapshot {snapshot:?} of instance {name:?} in project {project:?}"
        ))
    })?;
    Ok((model, snapshot))
}

/// Tells that snapshots went with their instance.
pub(super) fn tell_deleted(
    core: &SharedCore,
    permit: &Permit,
    instance: &InstanceKey,
    gone: &[snapshots::Snapshot],
) {
    for snapshot in gone {
        let key = SnapshotKey { instance: instance.clone(), name: snapshot.name.clone() };
        let event = Lifecycle::new("instance-snapshot-deleted", key.url()).in_project(&instance.project);
        core.tell(permit.caller(), event);
    }
}

/// The volume of an instance.
pub(super) fn volume_row(tx: &Tx<'_>, row: &instances::Instance) -> Result<storage_volumes::Volume> {
    let kind = VolumeKind::Container.number();
    let found = storage_volumes::anywhere(tx, row.project_id, kind, &row.name)?;
    found.into_iter().next().ok_or_else(|| Error::not_found("The instance's root volume is not recorded"))
}

/// The pool of an instance.
pub(super) async fn pool_of(core: &SharedCore, key: &InstanceKey) -> Result<Arc<dyn Pool>> {
    let name = super::pool_name(core, key).await?;
    let name = name.ok_or_else(|| Error::not_found("The instance's root volume is not recorded"))?;
    crate::storage_pools::open(core, &name).await
}

/// The gate of the instance, for work on its snapshots.
fn enter(core: &SharedCore, key: &InstanceKey, action: &'static str) -> Result<lxd_task::gate::Guard> {
    core.gates
        .enter(key.to_string(), action)
        .map_err(|taken| Error::from(taken).context(format!("Failed to create instance {action} operation")))
}
