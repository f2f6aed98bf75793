//! `/1.0/network-acls`.

use http::Method;
use lxd_api::network_acl::{NetworkAcl, NetworkAclPost, NetworkAclPut, NetworkAclsPost};
use lxd_auth::Level;
use lxd_core::{network_acls, with_project};
use lxd_types::Result;

use crate::path::encode;
use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

const ALL: &str = "/1.0/network-acls";
const ONE: &str = "/1.0/network-acls/{name}";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let (view, manage) = (Access::Project(Level::View), Access::Project(Level::Manage));
    vec![
        route(Method::GET, ALL, view, "network_acl", list),
        route(Method::POST, ALL, manage, "network_acl", create),
        route(Method::GET, ONE, view, "network_acl", get),
        route(Method::PUT, ONE, manage, "network_acl", put),
        route(Method::PATCH, ONE, manage, "network_acl", patch),
        route(Method::POST, ONE, manage, "network_acl", post),
        route(Method::DELETE, ONE, manage, "network_acl", delete),
        route(Method::GET, "/1.0/network-acls/{name}/log", view, "network_acl_log", log),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    match cx.recursion() {
        0 => Reply::json(&network_acls::urls(&cx.core, &cx.permit()?).await?),
        _ => Reply::json(&network_acls::list(&cx.core, &cx.permit()?).await?),
    }
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    let post: NetworkAclsPost = cx.json().await?;
    let name = network_acls::create(&cx.core, &cx.permit()?, post).await?;
    Reply::created(&url(&cx, name.as_str()))
}

async fn get(cx: Ctx) -> Result<Reply> {
    let acl = network_acls::get(&cx.core, &cx.permit()?, cx.param("name")).await?;
    Reply::json(&acl)?.etag(&version(&acl))
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    present(&cx).await?;
    let put: NetworkAclPut = cx.json().await?;
    network_acls::update(&cx.core, &cx.permit()?, cx.param("name"), put).await?;
    Ok(Reply::empty())
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    let NetworkAcl { description, egress, ingress, config, .. } = present(&cx).await?;
    let put = cx.patch(&NetworkAclPut { description, egress, ingress, config }).await?;
    network_acls::update(&cx.core, &cx.permit()?, cx.param("name"), put).await?;
    Ok(Reply::empty())
}

async fn post(mut cx: Ctx) -> Result<Reply> {
    let post: NetworkAclPost = cx.json().await?;
    let name = network_acls::rename(&cx.core, &cx.permit()?, cx.param("name"), post.name).await?;
    Reply::created(&url(&cx, name.as_str()))
}

async fn delete(cx: Ctx) -> Result<Reply> {
    network_acls::delete(&cx.core, &cx.permit()?, cx.param("name")).await?;
    Ok(Reply::empty())
}

async fn log(cx: Ctx) -> Result<Reply> {
    Reply::json(&network_acls::log(&cx.core, &cx.permit()?, cx.param("name")).await?)
}

/// The ACL that a change is for, in the version that the client knows.
async fn present(cx: &Ctx) -> Result<NetworkAcl> {
    let acl = network_acls::get(&cx.core, &cx.permit()?, cx.param("name")).await?;
    cx.if_match(&version(&acl))?;
    Ok(acl)
}

/// What a version of an ACL is made of.
fn version(acl: &NetworkAcl) -> impl serde::Serialize + use<'_> {
    (&acl.name, &acl.description, &acl.ingress, &acl.egress, &acl.config)
}

fn url(cx: &Ctx, name: &str) -> String {
    with_project(&format!("{ALL}/{}", encode(name)), &cx.project)
}
