//! `/1.0/instances/{name}/backups`.

use lxd_api::instance::{InstanceBackupPost, InstanceBackupsPost};
use lxd_core::backups::{self, Owner, Request};
use lxd_core::instances::InstanceKey;
use lxd_types::Result;

use crate::api::backups as common;
use crate::{Ctx, Reply};

fn owner(cx: &Ctx) -> Result<Owner> {
    cx.permit()?;
    Ok(Owner::Instance(InstanceKey::new(&cx.project, &cx.parse("name")?)))
}

/// The list: URLs or objects.
pub async fn list(cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx)?;
    common::list(cx, owner, backups::of_instance).await
}

/// Makes a backup.
pub async fn create(mut cx: Ctx) -> Result<Reply> {
    let post: InstanceBackupsPost = cx.json().await?;
    let request = Request {
        name: post.name,
        expires_at: post.expires_at,
        alone: post.instance_only || post.container_only,
        optimized: post.optimized_storage,
        compression: post.compression_algorithm,
    };
    let owner = owner(&cx)?;
    common::create(cx, owner, request).await
}

/// The object.
pub async fn get(cx: Ctx) -> Result<Reply> {
    let key = common::key(&cx, owner(&cx)?);
    Reply::json(&backups::of_instance(backups::get(&cx.core, &key).await?))
}

/// Renames it.
pub async fn rename(mut cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx)?;
    let post: InstanceBackupPost = cx.json().await?;
    common::rename(cx, owner, &post.name).await
}

/// Removes it.
pub async fn delete(cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx)?;
    common::delete(cx, owner).await
}

/// The archive.
pub async fn export(cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx)?;
    common::export(cx, owner).await
}
