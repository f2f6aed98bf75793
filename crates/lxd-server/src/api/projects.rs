//! `/1.0/projects`.

use http::Method;
use lxd_api::project::{ProjectPost, ProjectPut, ProjectsPost};
use lxd_auth::Level;
use lxd_core::projects::{self, fields, url};
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply, body, etag};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    const ONE: &str = "/1.0/projects/{name}";
    vec![
        route(Method::GET, "/1.0/projects", Access::Trusted, "projects", list),
        route(Method::POST, "/1.0/projects", Access::Server, "projects", create),
        route(Method::GET, ONE, Access::Trusted, "projects", get),
        route(Method::POST, ONE, Access::Server, "projects", rename),
        route(Method::PUT, ONE, Access::NamedProject, "projects", put),
        route(Method::PATCH, ONE, Access::NamedProject, "projects", patch),
        route(Method::DELETE, ONE, Access::Server, "projects", delete),
        route(Method::GET, "/1.0/projects/{name}/state", Access::Trusted, "project_usage", state),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    let all = projects::list(&cx.core, &cx.caller).await?;
    if cx.recursion() > 0 {
        return Reply::json(&all);
    }
    let urls: Vec<String> = all.iter().map(|project| url(&project.name)).collect();
    Reply::json(&urls)
}

async fn get(cx: Ctx) -> Result<Reply> {
    let project = projects::get(&cx.core, &cx.caller, cx.param("name")).await?;
    Reply::json(&project)?.etag(&fields(&project))
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    let (permit, post) = (cx.server_permit()?, cx.json::<ProjectsPost>().await?);
    Reply::created(&projects::create(&cx.core, &permit, post).await?)
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    let wanted = cx.json::<ProjectPut>().await?;
    update(cx, move |_| Ok(wanted.clone())).await
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    let bytes = cx.bytes(body::JSON_LIMIT).await?;
    update(cx, move |present| body::patch(present, &bytes)).await
}

async fn update(
    cx: Ctx,
    change: impl Fn(&ProjectPut) -> Result<ProjectPut> + Send + Sync + 'static,
) -> Result<Reply> {
    let headers = cx.headers().clone();
    let merge = Box::new(move |present: ProjectPut| {
        etag::check(&headers, &present)?;
        change(&present)
    });
    let name = name(&cx)?;
    let permit = lxd_auth::authorize(&cx.caller, &name, Level::Project)?;
    projects::update(&cx.core, &permit, &name, merge).await?;
    Ok(Reply::empty())
}

async fn rename(mut cx: Ctx) -> Result<Reply> {
    let (permit, post) = (cx.server_permit()?, cx.json::<ProjectPost>().await?);
    Reply::operation(&*projects::rename(&cx.core, &permit, &name(&cx)?, post.name)?)
}

async fn delete(cx: Ctx) -> Result<Reply> {
    projects::delete(&cx.core, &cx.server_permit()?, &name(&cx)?).await?;
    Ok(Reply::empty())
}

async fn state(cx: Ctx) -> Result<Reply> {
    Reply::json(&projects::state(&cx.core, &cx.caller, cx.param("name")).await?)
}

/// A name that no project can have belongs to none.
fn name(cx: &Ctx) -> Result<ProjectName> {
    cx.param("name").parse().map_err(|_| Error::not_found("Project not found"))
}
