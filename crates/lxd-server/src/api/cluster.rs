//! `/1.0/cluster`: a server of this version is always alone.

use http::Method;
use lxd_api::cluster::Cluster;
use lxd_types::{Error, Result};

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    const ONE: &str = "/1.0/cluster/members/{name}";
    vec![
        route(Method::GET, "/1.0/cluster", Access::Trusted, "clustering", get),
        route(Method::PUT, "/1.0/cluster", Access::Server, "clustering", unsupported),
        route(Method::GET, "/1.0/cluster/members", Access::Trusted, "clustering", alone),
        route(Method::POST, "/1.0/cluster/members", Access::Server, "clustering", alone),
        route(Method::GET, ONE, Access::Trusted, "clustering", alone),
        route(Method::POST, ONE, Access::Server, "clustering", alone),
        route(Method::PUT, ONE, Access::Server, "clustering", alone),
        route(Method::PATCH, ONE, Access::Server, "clustering", alone),
        route(Method::DELETE, ONE, Access::Server, "clustering", alone),
    ]
}

async fn get(_cx: Ctx) -> Result<Reply> {
    let cluster = Cluster::default();
    Reply::json(&cluster)?.etag(&cluster)
}

async fn alone(_cx: Ctx) -> Result<Reply> {
    Err(Error::internal("Server is not clustered"))
}

async fn unsupported(_cx: Ctx) -> Result<Reply> {
    Err(Error::not_implemented("Clustering is not supported yet"))
}
