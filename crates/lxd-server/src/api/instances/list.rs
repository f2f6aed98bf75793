//! `GET` and `POST /1.0/instances`.

use lxd_core::instances::{self, InstanceKey, List, instance_view};
use lxd_core::with_project;
use lxd_types::Result;

use super::kind;
use crate::{Ctx, Reply};

/// The list: URLs, objects, or objects with their run-time state.
pub async fn list(cx: Ctx) -> Result<Reply> {
    let wanted = List { kind: kind(&cx), all_projects: cx.all_projects() };
    let found = instances::list(&cx.core, &cx.permit()?, wanted).await?;
    let status = |key: &InstanceKey| cx.core.runtime.status(key);
    match cx.recursion() {
        0 => {
            let collection = cx.collection.as_str();
            let url =
                |key: &InstanceKey| with_project(&format!("/1.0/{collection}/{}", key.name), &key.project);
            Reply::json(&found.iter().map(|model| url(&model.key)).collect::<Vec<_>>())
        }
        1 => Reply::json(&found.iter().map(|m| instance_view(m, status(&m.key))).collect::<Vec<_>>()),
        _ => Reply::json(&instances::full(&cx.core, found).await?),
    }
}

/// Makes an instance.
pub async fn create(mut cx: Ctx) -> Result<Reply> {
    let post = cx.json().await?;
    let operation = instances::create(&cx.core, &cx.permit()?, post).await?;
    Reply::operation(&operation)
}

/// Changes the state of all instances.
pub async fn put(mut cx: Ctx) -> Result<Reply> {
    let put = cx.json().await?;
    let operation = instances::bulk::put(&cx.core, &cx.permit()?, kind(&cx), put).await?;
    Reply::operation(&operation)
}
