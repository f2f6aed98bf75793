//! `/1.0/images/aliases`.

use http::Method;
use lxd_api::image::{ImageAliasesEntry, ImageAliasesEntryPost, ImageAliasesEntryPut, ImageAliasesPost};
use lxd_auth::Level;
use lxd_core::images::{self, View};
use lxd_core::with_project;
use lxd_types::Result;

use crate::path::encode;
use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

const ALL: &str = "/1.0/images/aliases";
const ONE: &str = "/1.0/images/aliases/{name*}";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let manage = Access::Project(Level::Manage);
    vec![
        route(Method::GET, ALL, Access::Trusted, "1.0", list),
        route(Method::POST, ALL, manage, "1.0", create),
        route(Method::GET, ONE, Access::Anyone, "1.0", get),
        route(Method::PUT, ONE, manage, "1.0", put),
        route(Method::PATCH, ONE, manage, "patch", patch),
        route(Method::POST, ONE, manage, "1.0", rename),
        route(Method::DELETE, ONE, manage, "1.0", delete),
    ]
}

fn view(cx: &Ctx) -> View {
    View::of(&cx.caller, &cx.project)
}

async fn list(cx: Ctx) -> Result<Reply> {
    let aliases = images::list_aliases(&cx.core, view(&cx)).await?;
    if cx.recursion() > 0 {
        return Reply::json(&aliases);
    }
    Reply::json(&aliases.iter().map(|alias| url(&cx, &alias.name)).collect::<Vec<_>>())
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    let post: ImageAliasesPost = cx.json().await?;
    let name = images::create_alias(&cx.core, &cx.permit()?, post).await?;
    Reply::created(&url(&cx, name.as_str()))
}

async fn get(cx: Ctx) -> Result<Reply> {
    let alias = images::get_alias(&cx.core, view(&cx), cx.param("name")).await?;
    Reply::json(&alias)?.etag(&fields(&alias))
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    let present = images::get_alias(&cx.core, view(&cx), cx.param("name")).await?;
    cx.if_match(&fields(&present))?;
    let put: ImageAliasesEntryPut = cx.json().await?;
    images::update_alias(&cx.core, &cx.permit()?, cx.param("name"), put).await?;
    Ok(Reply::empty())
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    let present = images::get_alias(&cx.core, view(&cx), cx.param("name")).await?;
    cx.if_match(&fields(&present))?;
    let put = cx.patch(&fields(&present)).await?;
    images::update_alias(&cx.core, &cx.permit()?, cx.param("name"), put).await?;
    Ok(Reply::empty())
}

async fn rename(mut cx: Ctx) -> Result<Reply> {
    let post: ImageAliasesEntryPost = cx.json().await?;
    let name = images::rename_alias(&cx.core, &cx.permit()?, cx.param("name"), &post.name).await?;
    Reply::created(&url(&cx, name.as_str()))
}

async fn delete(cx: Ctx) -> Result<Reply> {
    images::delete_alias(&cx.core, &cx.permit()?, cx.param("name")).await?;
    Ok(Reply::empty())
}

fn url(cx: &Ctx, name: &str) -> String {
    with_project(&format!("/1.0/images/aliases/{}", encode(name)), &cx.project)
}

/// What can be changed of an alias, and what its version is made of.
fn fields(alias: &ImageAliasesEntry) -> ImageAliasesEntryPut {
    ImageAliasesEntryPut { description: alias.description.clone(), target: alias.target.clone() }
}
