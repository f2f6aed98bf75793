//! `DELETE /1.0/images/{fingerprint}`.

use std::sync::Arc;

use lxd_auth::Permit;
use lxd_db::images;
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::Fingerprint;
use lxd_types::{Error, Kind, Result};

use super::get::{View, find};
use super::{create, owner, url_of};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{Core, SharedCore, Undo};

/// Starts to delete an image; the answer is the operation.
///
/// # Errors
/// "Image not found".
pub async fn delete(core: &SharedCore, permit: &Permit, prefix: &str) -> Result<Arc<Operation>> {
    let view = View { project: permit.project().clone(), public_only: false };
    let row = find(core, view, prefix).await?;
    let fingerprint: Fingerprint = row.fingerprint.parse()?;
    let spec = OperationSpec::task("Deleting image", permit.project().as_str())
        .on("images", url_of(fingerprint.as_str()))
        .by(permit.caller().requestor());
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core.operations.spawn(spec, move |_| async move { run(&work, &permit, &fingerprint).await }))
}

/// The files go with the last project that has the image. The row goes first: the journal finishes the rest.
///
/// # Errors
/// Somebody else holds the image, or it is gone.
pub(super) async fn run(core: &SharedCore, permit: &Permit, fingerprint: &Fingerprint) -> Result<()> {
    let _gate = core
        .gates
        .enter(create::url(fingerprint), "delete")
        .map_err(|_| Error::busy("Another operation holds the image"))?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::ForgetImage { fingerprint: fingerprint.clone() }).await?;
        let (project, wanted) = (permit.project().clone(), fingerprint.clone());
        core.db
            .write(move |tx| {
                let image = images::get(tx, owner(tx, &project)?, wanted.as_str(), false)?;
                images::delete(tx, image.id)
            })
            .await?;
        core.faults.point("image forgotten")?;
        undo_create(core, fingerprint).await?;
        core.faults.point("image files removed")
    })
    .await?;
    let event = Lifecycle::new("image-deleted", url_of(fingerprint.as_str())).in_project(permit.project());
    core.tell(permit.caller(), event);
    Ok(())
}

/// Removes the files of an image that no project has: of an import that did not end, of a deletion.
///
/// # Errors
/// Files cannot be removed.
pub async fn undo_create(core: &Core, fingerprint: &Fingerprint) -> Result<()> {
    let wanted = fingerprint.to_string();
    if !core.db.read(move |tx| images::projects_of(tx, &wanted)).await?.is_empty() {
        return Ok(());
    }
    crate::storage_pools::forget_image(core, fingerprint).await?;
    let _inside = core.image_store.occupancy.enter().await;
    let (store, fingerprint) = (core.image_store.clone(), fingerprint.clone());
    let removed = tokio::task::spawn_blocking(move || store.remove(&fingerprint)).await;
    Ok(removed.map_err(|panic| Error::with_source(Kind::Internal, "Removing an image panicked", panic))??)
}
