//! Copies of custom volumes (`source.type: copy`) and moves to another pool.

use std::sync::Arc;

use lxd_api::storage_volume::StorageVolumesPost;
use lxd_auth::Permit;
use lxd_storage::{Content, VolumeKind, fill_with, tree};
use lxd_sys::Dir;
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

use super::create::{self, CreateVolume};
use super::{VolumeKey, find};
use crate::SharedCore;

/// Starts to copy a volume of this server; the answer is the operation.
///
/// # Errors
/// The source is not named well.
pub async fn copy(
    core: &SharedCore,
    permit: &Permit,
    request: CreateVolume,
    post: &StorageVolumesPost,
) -> Result<Arc<Operation>> {
    let source = source_key(permit, &request, post)?;
    let spec = OperationSpec::task("Copying storage volume", permit.project().as_str())
        .by(permit.caller().requestor());
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core.operations.spawn(spec, move |_| async move { run(&work, &permit, &source, request).await }))
}

fn source_key(permit: &Permit, request: &CreateVolume, post: &StorageVolumesPost) -> Result<VolumeKey> {
    let from = &post.source;
    if from.name.is_empty() {
        return Err(Error::bad_request("No source volume name supplied"));
    }
    let project: ProjectName =
        if from.project.is_empty() { permit.project().clone() } else { from.project.parse()? };
    if !permit.caller().sees(project.as_str()) {
        // As if there were no such project: that it exists is not for this caller to know (C8).
        return Err(Error::not_found("Storage pool volume not found"));
    }
    let pool = if from.pool.is_empty() { request.pool.clone() } else { from.pool.parse()? };
    Ok(VolumeKey { pool, kind: VolumeKind::Custom, project, name: from.name.parse()? })
}

/// Makes the copy; keys that are not given are those of the source.
async fn run(core: &SharedCore, permit: &Permit, from: &VolumeKey, mut request: CreateVolume) -> Result<()> {
    let wanted = from.clone();
    let found = core.db.read(move |tx| find(tx, &wanted)).await?;
    let volume = found.volume()?;
    if volume.content == Content::Block {
        return Err(Error::not_implemented("Copying block volumes is not supported yet"));
    }
    if request.config.is_empty() {
        request.config =
            found.row.config.into_iter().filter(|(key, _)| !key.starts_with("volatile.")).collect();
    }
    if request.description.is_empty() {
        request.description = found.row.description;
    }
    let source = crate::storage_pools::open_row(core, &found.pool)?.mount(&volume).await?.dir;
    let fill = fill_with(move |target: Arc<Dir>| async move {
        let copied = tokio::task::spawn_blocking(move || tree::copy(&source, &target).map(drop)).await;
        copied.map_err(|panic| Error::internal(format!("Failed to copy the volume: {panic}")))?
    });
    create::run(core, permit, &request, Some(fill)).await
}

/// Starts to move a volume to another pool, perhaps under another name; the answer is the operation.
///
/// # Errors
/// Another type, or a wrong name.
pub async fn move_to_pool(
    core: &SharedCore,
    permit: &Permit,
    key: VolumeKey,
    pool: &str,
    name: &str,
) -> Result<Arc<Operation>> {
    let request = CreateVolume {
        pool: pool.parse()?,
        name: name.parse()?,
        content: Content::Filesystem,
        description: String::new(),
        config: Default::default(),
    };
    let wanted = key.clone();
    let found = core.db.read(move |tx| find(tx, &wanted)).await?;
    if key.kind != VolumeKind::Custom {
        return Err(Error::bad_request(format!(
            "Moving storage volumes of type \"{}\" is not allowed",
            key.kind
        )));
    }
    let row = found.row.clone();
    if !core.db.read(move |tx| lxd_db::storage_volumes::used_by(tx, &row)).await?.is_empty() {
        return Err(Error::bad_request("The storage volume is still in use"));
    }
    let spec = OperationSpec::task("Moving storage volume", permit.project().as_str())
        .by(permit.caller().requestor());
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core.operations.spawn(spec, move |_| async move {
        run(&work, &permit, &key, request).await?;
        super::delete(&work, &permit, key).await
    }))
}
