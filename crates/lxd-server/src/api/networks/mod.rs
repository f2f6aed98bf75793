//! `/1.0/networks`.

pub mod forwards;

use http::Method;
use lxd_api::network::{Network, NetworkPost, NetworkPut, NetworksPost};
use lxd_auth::Level;
use lxd_core::{networks, with_project};
use lxd_types::Result;

use crate::path::encode;
use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

const ALL: &str = "/1.0/networks";
const ONE: &str = "/1.0/networks/{name}";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let (view, manage) = (Access::Project(Level::View), Access::Project(Level::Manage));
    vec![
        route(Method::GET, ALL, view, "network", list),
        route(Method::POST, ALL, manage, "network", create),
        route(Method::GET, ONE, view, "network", get),
        route(Method::PUT, ONE, manage, "network", put),
        route(Method::PATCH, ONE, manage, "network", patch),
        route(Method::POST, ONE, manage, "network", post),
        route(Method::DELETE, ONE, manage, "network", delete),
        route(Method::GET, "/1.0/networks/{name}/leases", view, "network_leases", leases),
        route(Method::GET, "/1.0/networks/{name}/state", view, "network_state", state),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    match cx.recursion() {
        0 => Reply::json(&networks::urls(&cx.core, &cx.permit()?).await?),
        _ => Reply::json(&networks::list(&cx.core, &cx.permit()?).await?),
    }
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let post: NetworksPost = cx.json().await?;
    let name = networks::create(&cx.core, &cx.permit()?, post).await?;
    Reply::created(&url(&cx, name.as_str()))
}

async fn get(cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let network = networks::get(&cx.core, &cx.permit()?, cx.param("name")).await?;
    Reply::json(&network)?.etag(&version(&network))
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    present(&cx).await?;
    let put: NetworkPut = cx.json().await?;
    networks::update(&cx.core, &cx.permit()?, cx.param("name"), put).await?;
    Ok(Reply::empty())
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    let present = present(&cx).await?;
    let fields = NetworkPut { config: present.config, description: present.description };
    let put = cx.patch(&fields).await?;
    networks::update(&cx.core, &cx.permit()?, cx.param("name"), put).await?;
    Ok(Reply::empty())
}

async fn post(mut cx: Ctx) -> Result<Reply> {
    let post: NetworkPost = cx.json().await?;
    let name = networks::rename(&cx.core, &cx.permit()?, cx.param("name"), post).await?;
    Reply::created(&url(&cx, name.as_str()))
}

async fn delete(cx: Ctx) -> Result<Reply> {
    networks::delete(&cx.core, &cx.permit()?, cx.param("name")).await?;
    Ok(Reply::empty())
}

async fn leases(cx: Ctx) -> Result<Reply> {
    Reply::json(&networks::leases(&cx.core, &cx.permit()?, cx.param("name")).await?)
}

async fn state(cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    Reply::json(&networks::state(&cx.core, cx.param("name")).await?)
}

/// The managed network that a change is for, in the version that the client knows.
async fn present(cx: &Ctx) -> Result<Network> {
    let network = networks::managed(&cx.core, &cx.permit()?, cx.param("name")).await?;
    cx.if_match(&version(&network))?;
    Ok(network)
}

/// What a version of a network is made of.
fn version(network: &Network) -> impl serde::Serialize + use<'_> {
    (&network.name, network.managed, &network.kind, &network.description, &network.config)
}

fn url(cx: &Ctx, name: &str) -> String {
    with_project(&format!("/1.0/networks/{}", encode(name)), &cx.project)
}
