//! `GET /`: the supported versions of the API.

use bytes::Bytes;
use http::Method;
use lxd_types::Result;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![route(Method::GET, "/", Access::Anyone, "1.0", get)]
}

async fn get(_cx: Ctx) -> Result<Reply> {
    Ok(Reply::sync_bytes(Bytes::from_static(
        b"{\"type\":\"sync\",\"status\":\"Success\",\"status_code\":200,\"operation\":\"\",\
          \"error_code\":0,\"error\":\"\",\"metadata\":[\"/1.0\"]}\n",
    )))
}
