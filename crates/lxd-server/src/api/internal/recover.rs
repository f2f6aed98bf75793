//! `/internal/recover`: what lies in pools and is not recorded (`lxd recover`).

use http::Method;
use lxd_api::recover::RecoverPost;
use lxd_types::Result;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, "/internal/recover/validate", Access::Root, "1.0", validate),
        route(Method::POST, "/internal/recover/import", Access::Root, "1.0", import),
    ]
}

async fn validate(mut cx: Ctx) -> Result<Reply> {
    let post: RecoverPost = cx.json().await?;
    Reply::json(&lxd_core::recover::validate(&cx.core, post.pools).await?)
}

async fn import(mut cx: Ctx) -> Result<Reply> {
    let post: RecoverPost = cx.json().await?;
    lxd_core::recover::import(&cx.core, post.pools).await?;
    Ok(Reply::empty())
}
