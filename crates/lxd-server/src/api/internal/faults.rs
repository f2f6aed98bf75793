//! `PUT /internal/faults?fault=fail|kill|none&at=N`: faults on purpose, see `lxd_core::faults`.

use http::Method;
use lxd_core::faults::Fault;
use lxd_types::{Error, Result};

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![route(Method::PUT, "/internal/faults", Access::Root, "1.0", arm)]
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
