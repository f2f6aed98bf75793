//! `/1.0/storage-pools/{pool}/volumes`.

use http::Method;
use lxd_api::storage_volume::{StorageVolume, StorageVolumePost, StorageVolumePut, StorageVolumesPost};
use lxd_auth::Level;
use lxd_core::backups;
use lxd_core::storage_volumes::{self, CreateVolume, Renamed, VolumeKey};
use lxd_core::with_project;
use lxd_types::{Error, Result};

use crate::path::encode;
use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

const ALL: &str = "/1.0/storage-pools/{pool}/volumes";
const KIND: &str = "/1.0/storage-pools/{pool}/volumes/{type}";
const ONE: &str = "/1.0/storage-pools/{pool}/volumes/{type}/{name}";
const STATE: &str = "/1.0/storage-pools/{pool}/volumes/{type}/{name}/state";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let (view, manage) = (Access::Project(Level::View), Access::Project(Level::Manage));
    vec![
        route(Method::GET, ALL, view, "storage", list_all),
        route(Method::POST, ALL, manage, "storage", create_any),
        route(Method::GET, KIND, view, "storage", list_kind),
        route(Method::POST, KIND, manage, "storage", create_kind),
        route(Method::GET, ONE, view, "storage", get),
        route(Method::PUT, ONE, manage, "storage", put),
        route(Method::PATCH, ONE, manage, "storage", patch),
        route(Method::POST, ONE, manage, "storage_api_volume_rename", post),
        route(Method::DELETE, ONE, manage, "storage", delete),
        route(Method::GET, STATE, view, "storage_volume_state", state),
    ]
}

async fn list_all(cx: Ctx) -> Result<Reply> {
    list(&cx, None).await
}

async fn list_kind(cx: Ctx) -> Result<Reply> {
    list(&cx, Some(cx.param("type").parse()?)).await
}

async fn list(cx: &Ctx, kind: Option<lxd_core::storage_volumes::VolumeKind>) -> Result<Reply> {
    cx.this_member()?;
    let listed = storage_volumes::list(&cx.core, &cx.permit()?, cx.param("pool"), kind).await?;
    if cx.recursion() > 0 {
        return Reply::json(&listed.into_iter().map(|each| each.volume).collect::<Vec<_>>());
    }
    Reply::json(&listed.into_iter().map(|each| each.url).collect::<Vec<_>>())
}

async fn create_any(cx: Ctx) -> Result<Reply> {
    create(cx, None).await
}

async fn create_kind(cx: Ctx) -> Result<Reply> {
    let kind = cx.param("type").to_owned();
    create(cx, Some(kind)).await
}

async fn create(mut cx: Ctx, kind: Option<String>) -> Result<Reply> {
    cx.this_member()?;
    if cx.header("content-type").is_some_and(|kind| kind.starts_with("application/octet-stream")) {
        return import(cx).await;
    }
    let post: StorageVolumesPost = cx.json().await?;
    let request = CreateVolume::parse(cx.param("pool"), kind.as_deref(), &post)?;
    let permit = cx.permit()?;
    match post.source.kind.as_str() {
        "" => storage_volumes::create(&cx.core, &permit, request).await.map(|()| Reply::empty()),
        "copy" => {
            let operation = storage_volumes::copy(&cx.core, &permit, request, &post).await?;
            Reply::operation(&operation)
        }
        "migration" => Err(Error::not_implemented("Migration of storage volumes is not supported yet")),
        other => Err(Error::bad_request(format!("Unknown source type {other:?}"))),
    }
}

/// Makes a volume of the backup in the body.
async fn import(mut cx: Ctx) -> Result<Reply> {
    let permit = cx.permit()?;
    let (pool, name) = (cx.param("pool").to_owned(), cx.header("x-lxd-name").unwrap_or_default().to_owned());
    let body = cx.stream();
    let file = backups::receive(&cx.core, body).await?;
    let operation = storage_volumes::import(&cx.core, &permit, file, &pool, &name).await?;
    Reply::operation(&operation)
}

async fn get(cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let volume = storage_volumes::get(&cx.core, &cx.permit()?, &key(&cx)?).await?;
    Reply::json(&volume)?.etag(&version(&volume))
}

async fn state(cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    Reply::json(&storage_volumes::state(&cx.core, &key(&cx)?).await?)
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let present = storage_volumes::get(&cx.core, &permit, &key).await?;
    cx.if_match(&version(&present))?;
    let put: StorageVolumePut = cx.json().await?;
    storage_volumes::update(&cx.core, &permit, key, put).await?;
    Ok(Reply::empty())
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let present = storage_volumes::get(&cx.core, &permit, &key).await?;
    cx.if_match(&version(&present))?;
    let fields = StorageVolumePut {
        config: present.config,
        description: present.description,
        ..StorageVolumePut::default()
    };
    let put = cx.patch(&fields).await?;
    storage_volumes::update(&cx.core, &permit, key, put).await?;
    Ok(Reply::empty())
}

async fn post(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let post: StorageVolumePost = cx.json().await?;
    if post.migration {
        return Err(Error::not_implemented("Migration of storage volumes is not supported yet"));
    }
    let new = match storage_volumes::rename(&cx.core, &permit, key, &post).await? {
        Renamed::Done(new) => new,
        Renamed::Moving(operation) => return Reply::operation(&operation),
    };
    let url = format!(
        "/1.0/storage-pools/{}/volumes/custom/{}",
        encode(new.pool.as_str()),
        encode(new.name.as_str())
    );
    Reply::created(&with_project(&url, &new.project))
}

async fn delete(cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    storage_volumes::delete(&cx.core, &cx.permit()?, key(&cx)?).await?;
    Ok(Reply::empty())
}

fn key(cx: &Ctx) -> Result<VolumeKey> {
    VolumeKey::parse(&cx.permit()?, cx.param("pool"), cx.param("type"), cx.param("name"))
}

/// What a version of a volume is made of.
fn version(volume: &StorageVolume) -> impl serde::Serialize + use<> {
    (volume.name.clone(), volume.kind.clone(), volume.description.clone(), volume.config.clone())
}
