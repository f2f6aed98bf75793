//! `/1.0/storage-pools`.

mod backups;
mod snapshots;
mod volumes;

use http::Method;
use lxd_api::storage_pool::{StoragePool, StoragePoolPut, StoragePoolsPost};
use lxd_core::storage_pools;
use lxd_types::Result;

use crate::path::encode;
use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let mut rows = vec![
        route(Method::GET, "/1.0/storage-pools", Access::Trusted, "storage", list),
        route(Method::POST, "/1.0/storage-pools", Access::Server, "storage", create),
        route(Method::GET, "/1.0/storage-pools/{pool}", Access::Trusted, "storage", get),
        route(Method::PUT, "/1.0/storage-pools/{pool}", Access::Server, "storage", put),
        route(Method::PATCH, "/1.0/storage-pools/{pool}", Access::Server, "storage", patch),
        route(Method::DELETE, "/1.0/storage-pools/{pool}", Access::Server, "storage", delete),
        route(Method::GET, "/1.0/storage-pools/{pool}/resources", Access::Trusted, "resources", resources),
    ];
    rows.extend(volumes::routes());
    rows.extend(snapshots::routes());
    rows.extend(backups::routes());
    rows
}

async fn list(cx: Ctx) -> Result<Reply> {
    if cx.recursion() > 0 {
        return Reply::json(&storage_pools::list(&cx.core, &cx.caller).await?);
    }
    let names = storage_pools::names(&cx.core).await?;
    let urls: Vec<String> = names.iter().map(|name| format!("/1.0/storage-pools/{}", encode(name))).collect();
    Reply::json(&urls)
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let post: StoragePoolsPost = cx.json().await?;
    let name = storage_pools::create(&cx.core, &cx.server_permit()?, post).await?;
    Reply::created(&format!("/1.0/storage-pools/{}", encode(name.as_str())))
}

async fn get(cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    Reply::json(&storage_pools::get(&cx.core, &cx.caller, cx.param("pool")).await?)
}

async fn resources(cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    Reply::json(&storage_pools::resources(&cx.core, cx.param("pool")).await?)
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let present = storage_pools::get(&cx.core, &cx.caller, cx.param("pool")).await?;
    cx.if_match(&version(&present))?;
    let put: StoragePoolPut = cx.json().await?;
    storage_pools::update(&cx.core, &cx.server_permit()?, cx.param("pool"), put).await?;
    Ok(Reply::empty())
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let present = storage_pools::get(&cx.core, &cx.caller, cx.param("pool")).await?;
    cx.if_match(&version(&present))?;
    let fields = StoragePoolPut { config: present.config, description: present.description };
    let put = cx.patch(&fields).await?;
    storage_pools::update(&cx.core, &cx.server_permit()?, cx.param("pool"), put).await?;
    Ok(Reply::empty())
}

async fn delete(cx: Ctx) -> Result<Reply> {
    storage_pools::delete(&cx.core, &cx.server_permit()?, cx.param("pool")).await?;
    Ok(Reply::empty())
}

/// What a version of a pool is made of.
fn version(pool: &StoragePool) -> impl serde::Serialize + use<> {
    (pool.name.clone(), pool.driver.clone(), pool.description.clone(), pool.config.clone())
}
