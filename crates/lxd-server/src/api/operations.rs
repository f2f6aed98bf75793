//! `/1.0/operations`: list, get, cancel, wait.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use lxd_auth::Level;
use lxd_core::Lifecycle;
use lxd_task::operation::Operation;
use lxd_types::{Error, Result};

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/1.0/operations", Access::Trusted, "1.0", list),
        route(Method::GET, "/1.0/operations/{id}", Access::Trusted, "1.0", get),
        route(Method::DELETE, "/1.0/operations/{id}", Access::Trusted, "1.0", cancel),
        route(Method::GET, "/1.0/operations/{id}/wait", Access::Anyone, "1.0", wait),
        route(Method::GET, "/1.0/operations/{id}/websocket", Access::Anyone, "1.0", websocket),
    ]
}

async fn list(cx: Ctx) -> Result<Reply> {
    let shown = |operation: &Operation| {
        let project = operation.project();
        (project.is_empty() || cx.all_projects() || project == cx.project.as_str()) && visible(&cx, operation)
    };
    let operations = cx.core.operations.list(shown);
    if cx.recursion() > 0 {
        let mut by_status: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for operation in &operations {
            let view = operation.view(is_creator(&cx, operation));
            by_status.entry(view.status.to_lowercase()).or_default().push(view);
        }
        return Reply::json(&by_status);
    }
    let mut by_status: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for operation in &operations {
        by_status.entry(operation.status().text().to_lowercase()).or_default().push(operation.url());
    }
    Reply::json(&by_status)
}

async fn get(cx: Ctx) -> Result<Reply> {
    let operation = find(&cx)?;
    Reply::json(&operation.view(is_creator(&cx, &operation)))
}

async fn cancel(cx: Ctx) -> Result<Reply> {
    let operation = find(&cx)?;
    // Who may only look must not stop what others do; its own operations are everybody's to end.
    if let (false, Ok(project)) = (is_creator(&cx, &operation), operation.project().parse()) {
        lxd_auth::authorize(&cx.caller, &project, Level::Operate)?;
    }
    cx.core.operations.cancel(&operation)?;
    let mut event = Lifecycle::new("operation-cancelled", operation.url());
    if let Ok(project) = operation.project().parse() {
        event = event.in_project(&project);
    }
    cx.core.tell(&cx.caller, event);
    Ok(Reply::empty())
}

/// Who is not trusted may wait with the secret of an operation: a server that sends an image here.
async fn wait(cx: Ctx) -> Result<Reply> {
    let secret = cx.query("secret").unwrap_or_default();
    let by_secret = || cx.core.operations.get(cx.param("id")).ok().filter(|found| found.opens_with(secret));
    let opened = if secret.is_empty() { None } else { by_secret() };
    let operation = match &opened {
        Some(operation) => operation.clone(),
        None if !cx.caller.trusted => return Err(lxd_auth::denied()),
        None => find(&cx)?,
    };
    let timeout = match cx.query("timeout").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let seconds: i64 =
                text.parse().map_err(|_| Error::bad_request(format!("Invalid timeout {text:?}")))?;
            u64::try_from(seconds).ok().map(Duration::from_secs)
        }
    };
    operation.wait(timeout).await;
    Reply::json(&operation.view(opened.is_some() || is_creator(&cx, &operation)))
}

/// The secret opens a socket, once and for the client that started the operation (rule R10).
async fn websocket(mut cx: Ctx) -> Result<Reply> {
    let secret = cx.query("secret").filter(|secret| !secret.is_empty());
    let secret = secret.ok_or_else(|| Error::bad_request("missing secret"))?;
    let operation = cx.core.operations.get(cx.param("id"))?;
    // A secret alone opens nothing: who has lost the trust, or the project, stays outside.
    if !is_creator(&cx, &operation) || !visible(&cx, &operation) {
        tracing::warn!(operation = %operation.id, address = cx.caller.address(), "Refused a websocket");
        return Err(lxd_auth::denied());
    }
    let delivery = operation.sockets.claim(secret)?;
    cx.websocket(|socket| async move {
        // The operation may have ended meanwhile; the client then sees the end of the connection.
        if delivery.deliver(socket).is_err() {
            tracing::debug!("A websocket came too late");
        }
    })
}

fn find(cx: &Ctx) -> Result<std::sync::Arc<Operation>> {
    let operation = cx.core.operations.get(cx.param("id"))?;
    match visible(cx, &operation) {
        true => Ok(operation),
        // It knows that there is one, but may not follow it any more.
        false if is_creator(cx, &operation) => Err(lxd_auth::denied()),
        false => Err(Error::not_found("Operation not found")),
    }
}

/// May the caller know of this operation?
fn visible(cx: &Ctx, operation: &Operation) -> bool {
    if operation.project().is_empty() {
        cx.caller.is_admin() || is_creator(cx, operation)
    } else {
        cx.caller.sees(operation.project())
    }
}

/// Secrets are shown to the creator only (rule R10).
fn is_creator(cx: &Ctx, operation: &Operation) -> bool {
    cx.caller.trusted && operation.requestor().is_some_and(|requestor| cx.caller.is_same_client(requestor))
}
