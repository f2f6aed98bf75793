//! `/1.0/resources`.

use http::Method;
use lxd_types::Result;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![route(Method::GET, "/1.0/resources", Access::Trusted, "resources", get)]
}

/// What the host has.
async fn get(cx: Ctx) -> Result<Reply> {
    cx.this_member()?;
    Reply::json(&cx.core.resources().await?)
}
