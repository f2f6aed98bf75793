//! `PUT /internal/faults?fault=fail|kill|none&at=N`: faults on purpose, see `lxd_core::faults`.
//! `PUT /internal/tasks/{name}?ahead=SECONDS`: a background task at a later time, see `lxd_core::background`.

use std::time::Duration;

use http::Method;
use lxd_core::faults::Fault;
use lxd_types::{Error, Result};

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::PUT, "/internal/faults", Access::Root, "1.0", arm),
        route(Method::PUT, "/internal/tasks/{name}", Access::Root, "1.0", run_task),
    ]
}

/// Arms a point; answers how many were passed since the last call.
async fn arm(cx: Ctx) -> Result<Reply> {
    let fault = match cx.query("fault") {
        Some("fail") => Some(Fault::Fail),
        Some("kill") => Some(Fault::Kill),
        Some("none") | None => None,
        Some(other) => return Err(Error::bad_request(format!("Unknown fault {other:?}"))),
    };
    let at = cx.query("at").and_then(|text| text.parse().ok()).unwrap_or(0);
    Reply::json(&cx.core.faults.arm(fault, at)?)
}

/// Runs a task now; answers when it has ended.
async fn run_task(cx: Ctx) -> Result<Reply> {
    let ahead = cx.query("ahead").and_then(|text| text.parse().ok()).unwrap_or(0);
    lxd_core::background::run_ahead(&cx.core, cx.param("name"), Duration::from_secs(ahead)).await?;
    Ok(Reply::empty())
}
