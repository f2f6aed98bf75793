//! Every URL of the server, in URL order, with its access rule and the extension that brought it.
//!
//! `/1.0/containers` and `/1.0/virtual-machines` are derived from `/1.0/instances` by the router: never
//! write them here.

use std::future::Future;
use std::pin::Pin;

use http::Method;
use lxd_auth::Level;
use lxd_types::Result;

use crate::api;
use crate::{Ctx, Reply};

/// Who may call a route. The dispatcher checks it before the handler runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Everybody; the handler shows strangers less.
    Anyone,
    /// Every client of the trust store and the unix socket; the handler filters what it shows.
    Trusted,
    /// Those who may do this in the request's project.
    Project(Level),
    /// Those who may change the project that the path names.
    NamedProject,
    /// Those without any limit.
    Server,
    /// Root on the unix socket.
    Root,
}

type Handler = Box<dyn Fn(Ctx) -> Pin<Box<dyn Future<Output = Result<Reply>> + Send>> + Send + Sync>;

/// One row of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The API extension that brought it; `1.0` for what was always there.
    pub extension: &'static str,
    /// What runs.
    pub handler: Handler,
    /// The path of the handler's function: where the generated documentation looks for what it reads and answers.
    pub handler_name: &'static str,
}

/// A row. The handler is an `async fn(Ctx) -> Result<Reply>`.
pub fn route<F, Fut>(
    method: Method,
    path: &'static str,
    access: Access,
    extension: &'static str,
    handler: F,
) -> Route
where
    F: Fn(Ctx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply>> + Send + 'static,
{
    let handler_name = std::any::type_name::<F>();
    let handler = Box::new(move |ctx| -> Pin<Box<dyn Future<Output = Result<Reply>> + Send>> {
        Box::pin(handler(ctx))
    });
    Route { method, path, access, extension, handler, handler_name }
}

/// The whole table: each module of [`api`] brings the rows of its entity.
pub fn routes() -> Vec<Route> {
    let mut all = Vec::new();
    for part in [
        api::certificates::routes,
        api::cluster::routes,
        api::events::routes,
        api::images::routes,
        api::instances::routes,
        api::internal::routes,
        api::network_acls::routes,
        api::networks::routes,
        api::networks::forwards::routes,
        api::operations::routes,
        api::profiles::routes,
        api::resources::routes,
        api::projects::routes,
        api::root::routes,
        api::server::routes,
        api::storage_pools::routes,
        api::warnings::routes,
    ] {
        all.extend(part());
    }
    all
}
