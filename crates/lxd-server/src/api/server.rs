//! `/1.0`: the server and its configuration.

use http::Method;
use lxd_api::server::ServerPut;
use lxd_core::server::{Change, Rendered};
use lxd_types::{Error, Result};
use serde_json::Value;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply, etag, reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/1.0", Access::Anyone, "1.0", get),
        route(Method::PUT, "/1.0", Access::Server, "1.0", put),
        route(Method::PATCH, "/1.0", Access::Server, "patch", patch),
    ]
}

async fn get(cx: Ctx) -> Result<Reply> {
    if !cx.caller.trusted {
        return Reply::json(&cx.core.server_untrusted_view());
    }
    cx.this_member()?;
    // A project that the caller may not see is as if it were not there; `default` is known to everybody.
    if cx.project.as_str() != "default" && !cx.caller.sees(cx.project.as_str()) {
        return Err(Error::not_found("Project not found"));
    }
    let rendered = render(&cx).await?;
    Reply::sync_bytes(rendered.body).header(http::header::ETAG, &format!("\"{}\"", rendered.etag))
}

/// What callers see that may not configure the server.
fn limited(view: &lxd_api::server::Server) -> Result<Value> {
    let mut view = serde_json::to_value(view).map_err(|error| Error::internal(error.to_string()))?;
    view["config"] = Value::Null;
    Ok(view)
}

/// The answer, taken from the last time when nothing was written to the database since.
async fn render(cx: &Ctx) -> Result<Rendered> {
    let commits = cx.core.db.stats().commits();
    let common = cx.project.as_str() == "default" && cx.caller.is_admin();
    let kept = cx.core.server.rendered.lock().expect("no panic happens while the lock is held").clone();
    if let Some(kept) = kept.filter(|kept| common && kept.commits == commits) {
        return Ok(kept);
    }
    let view = cx.core.server_view(&cx.project).await?;
    let etag = etag::etag(&view.config)?;
    let body =
        if cx.caller.is_admin() { reply::sync_body(&view)? } else { reply::sync_body(&limited(&view)?)? };
    let rendered = Rendered { commits, body, etag };
    if common {
        let mut kept = cx.core.server.rendered.lock().expect("no panic happens while the lock is held");
        *kept = Some(rendered.clone());
    }
    Ok(rendered)
}

async fn put(mut cx: Ctx) -> Result<Reply> {
    let wanted = cx.json::<ServerPut>().await?.config;
    change(&cx, Change::Replace(wanted)).await
}

async fn patch(mut cx: Ctx) -> Result<Reply> {
    // Keys that are `null` are to be removed, so this body is not read as the others are.
    let bytes = cx.bytes(crate::body::JSON_LIMIT).await?;
    crate::body::json::<ServerPut>(&bytes)?;
    let body: Value =
        serde_json::from_slice(&bytes).map_err(|error| Error::bad_request(error.to_string()))?;
    let wanted = body.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    change(&cx, Change::Merge(wanted.into_iter().collect())).await
}

async fn change(cx: &Ctx, change: Change) -> Result<Reply> {
    cx.this_member()?;
    cx.if_match(&cx.core.shown_config())?;
    let (core, permit) = (cx.core.clone(), cx.server_permit()?);
    let configuring = async move { core.configure(&permit, change).await };
    cx.core.run("change the server's configuration", configuring).await?;
    Ok(Reply::empty())
}
