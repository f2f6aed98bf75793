//! `/1.0/profiles`: list, create, get, change, rename, delete.

use bytes::Bytes;
use http::{HeaderMap, Method};
use lxd_api::profile::{ProfilePost, ProfilePut, ProfilesPost};
use lxd_auth::Level;
use lxd_core::profiles;
use lxd_types::Result;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply, body, etag};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let view = Access::Project(Level::View);
    let manage = Access::Project(Level::Manage);
    vec![
        route(Method::GET, "/1.0/profiles", view, "1.0", list),
        route(Method::POST, "/1.0/profiles", manage, "1.0", create),
        route(Method::GET, "/1.0/profiles/{name}", view, "1.0", get),
        route(Method::PUT, "/1.0/profiles/{name}", manage, "1.0", put),
        route(Method::PATCH, "/1.0/profiles/{name}", manage, "patch", patch),
        route(Method::POST, "/1.0/profiles/{name}", manage, "1.0", rename),
        route(Method::DELETE, "/1.0/profiles/{name}", manage, "1.0", delete),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    let permit = cx.permit()?;
    if cx.recursion() > 0 {
        return Reply::json(&profiles::list(&cx.core, &permit).await?);
    }
    Reply::json(&profiles::urls(&cx.core, &permit).await?)
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    let (permit, post) = (cx.permit()?, cx.json::<ProfilesPost>().await?);
    let core = cx.core.clone();
    let change = async move { profiles::create(&core, &permit, post).await };
    Reply::created(&cx.core.run("Creating profile", change).await?)
}

async fn get(cx: Ctx) -> Result<Reply> {
    let (profile, fields) = profiles::get(&cx.core, &cx.permit()?, cx.param("name")).await?;
    Reply::json(&profile)?.etag(&fields)
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    let put: ProfilePut = cx.json().await?;
    update(cx, move |_| Ok(put.clone())).await
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    let text: Bytes = cx.bytes(body::JSON_LIMIT).await?;
    update(cx, move |present| body::patch(present, &text)).await
}

async fn update(
    cx: Ctx,
    change: impl Fn(&ProfilePut) -> Result<ProfilePut> + Send + Sync + 'static,
) -> Result<Reply> {
    let headers: HeaderMap = cx.headers().clone();
    let merge = Box::new(move |present: ProfilePut| {
        etag::check(&headers, &present)?;
        change(&present)
    });
    let (core, permit, name) = (cx.core.clone(), cx.permit()?, cx.param("name").to_owned());
    let change = async move { profiles::update(&core, &permit, &name, merge).await };
    cx.core.run("Updating profile", change).await?;
    Ok(Reply::empty())
}

async fn rename(mut cx: Ctx) -> Result<Reply> {
    let (permit, post) = (cx.permit()?, cx.json::<ProfilePost>().await?);
    let (core, name) = (cx.core.clone(), cx.param("name").to_owned());
    let change = async move { profiles::rename(&core, &permit, &name, &post.name).await };
    Reply::created(&cx.core.run("Renaming profile", change).await?)
}

async fn delete(cx: Ctx) -> Result<Reply> {
    let (core, permit, name) = (cx.core.clone(), cx.permit()?, cx.param("name").to_owned());
    cx.core.run("Deleting profile", async move { profiles::delete(&core, &permit, &name).await }).await?;
    Ok(Reply::empty())
}
