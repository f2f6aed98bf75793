//! `PUT` and `PATCH /1.0/instances/{name}/snapshots/{snapshot}`: when it expires.

use std::sync::Arc;

use lxd_api::instance::InstanceSnapshotPut;
use lxd_auth::Permit;
use lxd_db::{snapshots, storage_volumes};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::Result;

use super::{SnapshotKey, find, volume_row};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// The fields that a version of the object is made of.
///
/// # Errors
/// Not found.
pub async fn put_fields(core: &SharedCore, key: &SnapshotKey) -> Result<InstanceSnapshotPut> {
    let wanted = key.clone();
    let (_, snapshot) = core.db.read(move |tx| find(tx, &wanted)).await?;
    Ok(InstanceSnapshotPut { expires_at: snapshot.expiry.map(Into::into).unwrap_or_default() })
}

/// Starts the change; the answer is its operation.
///
/// # Errors
/// There is no such snapshot.
pub async fn update(
    core: &SharedCore,
    permit: &Permit,
    key: SnapshotKey,
    put: InstanceSnapshotPut,
) -> Result<Arc<Operation>> {
    // The reference names the snapshot alone here, as if it were an instance.
    let spec = OperationSpec::task("Updating snapshot", key.instance.project.as_str())
        .on("instances", format!("/1.0/instances/{}", key.name))
        .on("containers", format!("/1.0/containers/{}", key.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    let expiry = (!put.expires_at.is_never()).then(|| put.expires_at.0.to_utc());
    Ok(core.operations.clone().spawn(spec, move |_| async move {
        let wanted = key.clone();
        core.db
            .write(move |tx| {
                let (model, snapshot) = find(tx, &wanted)?;
                snapshots::update(tx, &snapshot, &snapshot.description, expiry)?;
                let row = volume_row(tx, &model.row)?;
                let of_volume = storage_volumes::get_snapshot(tx, row.id, &wanted.name)?;
                storage_volumes::update_snapshot(tx, of_volume.id, &of_volume.description, expiry)
            })
            .await?;
        let event = Lifecycle::new("instance-snapshot-updated", key.url()).in_project(&key.instance.project);
        core.tell(permit.caller(), event);
        Ok(())
    }))
}
