//! `/1.0/storage-pools/{pool}/volumes/{type}/{name}/snapshots`.

use http::Method;
use lxd_api::storage_volume::{
    StorageVolumeSnapshot, StorageVolumeSnapshotPost, StorageVolumeSnapshotPut, StorageVolumeSnapshotsPost,
};
use lxd_auth::Level;
use lxd_core::storage_volumes::VolumeKey;
use lxd_core::storage_volumes::snapshots::{self, SnapshotKey};
use lxd_core::with_project;
use lxd_types::Result;

use crate::path::encode;
use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

const ALL: &str = "/1.0/storage-pools/{pool}/volumes/{type}/{name}/snapshots";
const ONE: &str = "/1.0/storage-pools/{pool}/volumes/{type}/{name}/snapshots/{snapshot}";
const SINCE: &str = "storage_api_volume_snapshots";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let (view, manage) = (Access::Project(Level::View), Access::Project(Level::Manage));
    vec![
        route(Method::GET, ALL, view, SINCE, list),
        route(Method::POST, ALL, manage, SINCE, create),
        route(Method::GET, ONE, view, SINCE, get),
        route(Method::PUT, ONE, manage, SINCE, put),
        route(Method::PATCH, ONE, manage, SINCE, patch),
        route(Method::POST, ONE, manage, SINCE, rename),
        route(Method::DELETE, ONE, manage, SINCE, delete),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    let volume = volume(&cx)?;
    if cx.recursion() > 0 {
        return Reply::json(&snapshots::list(&cx.core, &volume).await?);
    }
    let url =
        |name: String| with_project(&format!("{}/snapshots/{}", volume.url(), encode(&name)), &cx.project);
    let urls: Vec<String> = snapshots::names(&cx.core, &volume).await?.into_iter().map(url).collect();
    Reply::json(&urls)
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    let (permit, volume) = (cx.permit()?, volume(&cx)?);
    let post: StorageVolumeSnapshotsPost = cx.json().await?;
    let operation = snapshots::create(&cx.core, &permit, volume, post).await?;
    Reply::operation(&operation)
}

async fn get(cx: Ctx) -> Result<Reply> {
    let snapshot = snapshots::get(&cx.core, &key(&cx)?).await?;
    Reply::json(&snapshot)?.etag(&version(&snapshot))
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let present = snapshots::get(&cx.core, &key).await?;
    cx.if_match(&version(&present))?;
    let put: StorageVolumeSnapshotPut = cx.json().await?;
    snapshots::update(&cx.core, &permit, key, put).await?;
    Ok(Reply::empty())
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let present = snapshots::get(&cx.core, &key).await?;
    cx.if_match(&version(&present))?;
    let fields =
        StorageVolumeSnapshotPut { description: present.description, expires_at: present.expires_at };
    let put = cx.patch(&fields).await?;
    snapshots::update(&cx.core, &permit, key, put).await?;
    Ok(Reply::empty())
}

async fn rename(mut cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let post: StorageVolumeSnapshotPost = cx.json().await?;
    let operation = snapshots::rename(&cx.core, &permit, key, &post.name).await?;
    Reply::operation(&operation)
}

async fn delete(cx: Ctx) -> Result<Reply> {
    let operation = snapshots::delete(&cx.core, &cx.permit()?, key(&cx)?).await?;
    Reply::operation(&operation)
}

fn volume(cx: &Ctx) -> Result<VolumeKey> {
    VolumeKey::parse(&cx.permit()?, cx.param("pool"), cx.param("type"), cx.param("name"))
}

fn key(cx: &Ctx) -> Result<SnapshotKey> {
    let part = |name| cx.param(name);
    SnapshotKey::parse(&cx.permit()?, part("pool"), part("type"), part("name"), part("snapshot"))
}

/// What a version of a snapshot is made of.
fn version(snapshot: &StorageVolumeSnapshot) -> impl serde::Serialize + use<> {
    (snapshot.name.clone(), snapshot.description.clone(), snapshot.expires_at, snapshot.config.clone())
}
