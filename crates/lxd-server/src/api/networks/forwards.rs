//! `/1.0/networks/{networkName}/forwards`.

use http::Method;
use lxd_api::network_forward::{NetworkForward, NetworkForwardPut, NetworkForwardsPost};
use lxd_auth::Level;
use lxd_core::networks::forwards;
use lxd_core::with_project;
use lxd_types::Result;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

const ALL: &str = "/1.0/networks/{networkName}/forwards";
const ONE: &str = "/1.0/networks/{networkName}/forwards/{listenAddress}";

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let (view, manage) = (Access::Project(Level::View), Access::Project(Level::Manage));
    vec![
        route(Method::GET, ALL, view, "network_forward", list),
        route(Method::POST, ALL, manage, "network_forward", create),
        route(Method::GET, ONE, view, "network_forward", get),
        route(Method::PUT, ONE, manage, "network_forward", put),
        route(Method::PATCH, ONE, manage, "network_forward", patch),
        route(Method::DELETE, ONE, manage, "network_forward", delete),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    let all = forwards::list(&cx.core, &cx.permit()?, cx.param("networkName")).await?;
    match cx.recursion() {
        0 => Reply::json(&all.iter().map(|one| url(&cx, &one.listen_address)).collect::<Vec<_>>()),
        _ => Reply::json(&all),
    }
}

async fn create(mut cx: Ctx) -> Result<Reply> {
    let post: NetworkForwardsPost = cx.json().await?;
    let address = forwards::create(&cx.core, &cx.permit()?, cx.param("networkName"), post).await?;
    Reply::created(&url(&cx, &address.to_string()))
}

async fn get(cx: Ctx) -> Result<Reply> {
    let forward = present(&cx).await?;
    Reply::json(&forward)?.etag(&version(&forward))
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    cx.if_match(&version(&present(&cx).await?))?;
    let put: NetworkForwardPut = cx.json().await?;
    change(&cx, put).await
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    let present = present(&cx).await?;
    cx.if_match(&version(&present))?;
    let fields =
        NetworkForwardPut { config: present.config, description: present.description, ports: present.ports };
    let put = cx.patch(&fields).await?;
    change(&cx, put).await
}

async fn change(cx: &Ctx, put: NetworkForwardPut) -> Result<Reply> {
    let (network, address) = (cx.param("networkName"), cx.param("listenAddress"));
    forwards::update(&cx.core, &cx.permit()?, network, address, put).await?;
    Ok(Reply::empty())
}

async fn delete(cx: Ctx) -> Result<Reply> {
    let (network, address) = (cx.param("networkName"), cx.param("listenAddress"));
    forwards::delete(&cx.core, &cx.permit()?, network, address).await?;
    Ok(Reply::empty())
}

async fn present(cx: &Ctx) -> Result<NetworkForward> {
    forwards::get(&cx.core, &cx.permit()?, cx.param("networkName"), cx.param("listenAddress")).await
}

/// What a version of a forward is made of.
fn version(forward: &NetworkForward) -> impl serde::Serialize + use<'_> {
    (&forward.listen_address, &forward.description, &forward.config, &forward.ports)
}

fn url(cx: &Ctx, address: &str) -> String {
    with_project(&forwards::url(cx.param("networkName"), address), &cx.project)
}
