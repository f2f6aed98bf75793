//! `/1.0/storage-pools/{pool}/volumes/{type}/{name}/backups`.

use http::Method;
use lxd_api::storage_volume::{StoragePoolVolumeBackupPost, StoragePoolVolumeBackupsPost};
use lxd_auth::Level;
use lxd_core::backups::{self, Owner, Request};
use lxd_core::storage_volumes::VolumeKey;
use lxd_types::Result;

use crate::api::backups as common;
use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

const ALL: &str = "/1.0/storage-pools/{pool}/volumes/{type}/{name}/backups";
const ONE: &str = "/1.0/storage-pools/{pool}/volumes/{type}/{name}/backups/{backup}";
const EXPORT: &str = "/1.0/storage-pools/{pool}/volumes/{type}/{name}/backups/{backup}/export";
const SINCE: &str = "custom_volume_backup";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let (view, manage) = (Access::Project(Level::View), Access::Project(Level::Manage));
    vec![
        route(Method::GET, ALL, view, SINCE, list),
        route(Method::POST, ALL, manage, SINCE, create),
        route(Method::GET, ONE, view, SINCE, get),
        route(Method::POST, ONE, manage, SINCE, rename),
        route(Method::DELETE, ONE, manage, SINCE, delete),
        route(Method::GET, EXPORT, manage, SINCE, export),
    ]
}

async fn owner(cx: &Ctx) -> Result<Owner> {
    cx.this_member()?;
    let key = VolumeKey::parse(&cx.permit()?, cx.param("pool"), cx.param("type"), cx.param("name"))?;
    Owner::volume(&cx.core, key).await
}

async fn list(cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx).await?;
    common::list(cx, owner, backups::of_volume).await
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx).await?;
    let post: StoragePoolVolumeBackupsPost = cx.json().await?;
    let request = Request {
        name: post.name,
        expires_at: post.expires_at,
        alone: post.volume_only,
        optimized: post.optimized_storage,
        compression: post.compression_algorithm,
    };
    common::create(cx, owner, request).await
}

async fn get(cx: Ctx) -> Result<Reply> {
    let key = common::key(&cx, owner(&cx).await?);
    Reply::json(&backups::of_volume(backups::get(&cx.core, &key).await?))
}

async fn rename(mut cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx).await?;
    let post: StoragePoolVolumeBackupPost = cx.json().await?;
    common::rename(cx, owner, &post.name).await
}

async fn delete(cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx).await?;
    common::delete(cx, owner).await
}

async fn export(cx: Ctx) -> Result<Reply> {
    let owner = owner(&cx).await?;
    common::export(cx, owner).await
}
