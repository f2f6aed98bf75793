//! `GET` and `POST /1.0/instances`.

use lxd_core::instances::{self, InstanceKey, List};
use lxd_core::with_project;
use lxd_types::{Error, InstanceKind, Result};

use super::kind;
use crate::ctx::Collection;
use crate::filter::Filter;
use crate::reply::Envelope;
use crate::{Ctx, Reply};

/// The list: URLs, objects, or objects with their run-time state.
pub async fn list(cx: Ctx) -> Result<Reply> {
    if cx.all_projects() && cx.query("project").is_some() {
        return Err(Error::bad_request("Cannot specify a project when requesting all projects"));
    }
    let filter = Filter::parse(cx.query("filter").unwrap_or_default())?;
    let wanted = List { kind: wanted_kind(&cx)?, all_projects: cx.all_projects() };
    let mut found = instances::list(&cx.core, &cx.permit()?, wanted).await?;
    if !filter.is_empty() {
        found.retain(|object| filter.matches_json(object))?;
    }
    match cx.recursion() {
        0 => {
            let collection = cx.collection.as_str();
            let url =
                |key: &InstanceKey| with_project(&format!("/1.0/{collection}/{}", key.name), &key.project);
            Reply::json(&found.keys().map(url).collect::<Vec<_>>())
        }
        1 => {
            let mut envelope = Envelope::begin();
            found.write(envelope.metadata());
            Ok(envelope.reply())
        }
        _ => {
            let mut envelope = Envelope::begin();
            found.write_full(envelope.metadata()).await?;
            Ok(envelope.reply())
        }
    }
}

/// The kind that the path or `?instance-type=` limits to; the path counts more.
fn wanted_kind(cx: &Ctx) -> Result<Option<InstanceKind>> {
    let named = match cx.query("instance-type").unwrap_or_default() {
        "" => None,
        "container" => Some(InstanceKind::Container),
        "virtual-machine" => Some(InstanceKind::VirtualMachine),
        _ => return Err(Error::internal("Invalid instance type")),
    };
    Ok(if cx.collection == Collection::Instances { named } else { kind(cx) })
}

/// Makes an instance.
pub async fn create(mut cx: Ctx) -> Result<Reply> {
    if cx.query("target").is_some_and(|target| !target.is_empty()) {
        return Err(Error::bad_request("Target only allowed when clustered"));
    }
    if cx.header("content-type").is_some_and(|kind| kind.starts_with("application/octet-stream")) {
        return import(cx).await;
    }
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

/// Makes an instance of the backup in the body.
async fn import(mut cx: Ctx) -> Result<Reply> {
    let permit = cx.permit()?;
    let header = |name: &str| cx.header(name).unwrap_or_default().to_owned();
    let (name, pool) = (header("x-lxd-name"), header("x-lxd-pool"));
    let body = cx.stream();
    let file = lxd_core::backups::receive(&cx.core, body).await?;
    let operation = instances::import::import(&cx.core, &permit, file, &name, &pool).await?;
    Reply::operation(&operation)
}
