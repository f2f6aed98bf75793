//! `/1.0/projects`: to be looked at; `default` is the only one in this version.

use http::Method;
use lxd_api::project::{Project, ProjectPut, ProjectsPost};
use lxd_core::projects::url;
use lxd_types::{Error, Result};

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    const ONE: &str = "/1.0/projects/{name}";
    vec![
        route(Method::GET, "/1.0/projects", Access::Trusted, "projects", list),
        route(Method::POST, "/1.0/projects", Access::Server, "projects", create),
        route(Method::GET, ONE, Access::Trusted, "projects", get),
        route(Method::POST, ONE, Access::Server, "projects", change),
        route(Method::PUT, ONE, Access::Server, "projects", change),
        route(Method::PATCH, ONE, Access::Server, "projects", change),
        route(Method::DELETE, ONE, Access::Server, "projects", change),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    let all = cx.core.projects(&cx.caller).await?;
    if cx.recursion() > 0 {
        return Reply::json(&all);
    }
    let urls: Vec<String> = all.iter().map(|project| url(&project.name)).collect();
    Reply::json(&urls)
}

async fn get(cx: Ctx) -> Result<Reply> {
    let project = cx.core.project(&cx.caller, cx.param("name")).await?;
    Reply::json(&project)?.etag(&fields(&project))
}

fn fields(project: &Project) -> ProjectPut {
    ProjectPut { config: project.config.clone(), description: project.description.clone() }
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    if cx.json::<ProjectsPost>().await?.name.is_empty() {
        return Err(Error::bad_request("No name provided"));
    }
    cx.core.change_projects()?;
    Ok(Reply::empty())
}

async fn change(cx: Ctx) -> Result<Reply> {
    cx.core.project(&cx.caller, cx.param("name")).await?;
    cx.core.change_projects()?;
    Ok(Reply::empty())
}
