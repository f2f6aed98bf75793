//! `/1.0/warnings`.

use http::Method;
use lxd_api::warning::WarningPut;
use lxd_core::warnings::url;
use lxd_types::Result;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    const ONE: &str = "/1.0/warnings/{uuid}";
    vec![
        route(Method::GET, "/1.0/warnings", Access::Server, "warnings", list),
        route(Method::GET, ONE, Access::Server, "warnings", get),
        route(Method::PUT, ONE, Access::Server, "warnings", put),
        route(Method::PATCH, ONE, Access::Server, "warnings", put),
        route(Method::DELETE, ONE, Access::Server, "warnings", delete),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    let all = cx.core.warnings(cx.query("project")).await?;
    if cx.recursion() > 0 {
        return Reply::json(&all);
    }
    let urls: Vec<String> = all.iter().map(|warning| url(&warning.uuid)).collect();
    Reply::json(&urls)
}

async fn get(cx: Ctx) -> Result<Reply> {
    Reply::json(&cx.core.warning(cx.param("uuid")).await?)
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    let wanted = cx.json::<WarningPut>().await?;
    cx.core.warning(cx.param("uuid")).await?;
    cx.core.set_warning(&cx.server_permit()?, cx.param("uuid"), &wanted.status).await?;
    Ok(Reply::empty())
}

async fn delete(cx: Ctx) -> Result<Reply> {
    cx.core.delete_warning(&cx.server_permit()?, cx.param("uuid")).await?;
    Ok(Reply::empty())
}
