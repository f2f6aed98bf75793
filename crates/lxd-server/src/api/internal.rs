//! `/internal`: for the commands of `lxd` and for helpers; root on the unix socket only.

mod faults;
mod recover;
mod sql;

use http::Method;
use lxd_types::{Error, Result};

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    let mut all = vec![
        route(Method::GET, "/internal/debug", Access::Root, "1.0", debug),
        route(Method::GET, "/internal/ready", Access::Root, "1.0", ready),
        route(
            Method::POST,
            "/internal/containers/{project}/{name}/onstop",
            Access::Root,
            "1.0",
            container_on_stop,
        ),
        route(Method::GET, "/internal/database", Access::Root, "1.0", database),
        route(Method::PUT, "/internal/shutdown", Access::Root, "1.0", shutdown),
    ];
    all.extend(faults::routes());
    all.extend(recover::routes());
    all.extend(sql::routes());
    all
}

/// Has the start come to its end?
async fn ready(cx: Ctx) -> Result<Reply> {
    if !*cx.core.ready.borrow() {
        return Err(Error::unavailable("LXD daemon not ready yet"));
    }
    Ok(Reply::empty())
}

/// What runs and waits right now.
async fn debug(cx: Ctx) -> Result<Reply> {
    Reply::json(&cx.core.report().await?)
}

/// How often the databases were written since the start.
async fn database(cx: Ctx) -> Result<Reply> {
    let stats = cx.core.db.stats();
    Reply::json(&serde_json::json!({
        "global_commits": stats.global_commits,
        "local_commits": stats.local_commits,
    }))
}

/// The hook of a container that ends and wants to be started again. The answer comes at once: the hook runs inside the stop.
async fn container_on_stop(cx: Ctx) -> Result<Reply> {
    let (project, name) = (cx.parse("project")?, cx.parse("name")?);
    if cx.query("target") == Some("reboot") {
        lxd_core::instances::wants_reboot(&cx.core, &project, &name)?;
    }
    Ok(Reply::empty())
}

/// Stops the instances, then the daemon. The answer comes when the instances have stopped.
async fn shutdown(cx: Ctx) -> Result<Reply> {
    if !cx.query_bool("force") {
        cx.core.wait_for_operations().await?;
    }
    cx.core.shutdown_instances().await;
    cx.core.end.cancel();
    Ok(Reply::empty())
}
