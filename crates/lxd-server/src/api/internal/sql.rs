//! `/internal/sql`: the other end of `lxd sql`.

use http::Method;
use lxd_types::Result;
use serde::Deserialize;
use serde_json::json;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/internal/sql", Access::Root, "1.0", dump),
        route(Method::POST, "/internal/sql", Access::Root, "1.0", query),
    ]
}

/// What to run.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Query {
    database: String,
    query: String,
}

/// A database as SQL text; `?schema=1` leaves the rows out.
async fn dump(cx: Ctx) -> Result<Reply> {
    let text = cx.core.sql_text(cx.query("database").unwrap_or_default(), cx.query_bool("schema")).await?;
    Reply::json(&json!({ "text": text }))
}

/// Runs statements.
async fn query(mut cx: Ctx) -> Result<Reply> {
    let asked: Query = cx.json().await?;
    let results = cx.core.sql(&asked.database, &asked.query).await?;
    Reply::json(&json!({ "Results": results }))
}
