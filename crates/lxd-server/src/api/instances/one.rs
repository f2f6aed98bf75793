//! `/1.0/instances/{name}`.

use lxd_api::instance::InstancePut;
use lxd_core::instances;
use lxd_task::OperationSpec;
use lxd_types::{Kind, Result};

use crate::reply::Envelope;
use crate::{Ctx, Reply, body, etag};

/// The object; with `recursion=1` also its run-time state and snapshots.
pub async fn get(cx: Ctx) -> Result<Reply> {
    let one = instances::get(&cx.core, &cx.permit()?, &cx.parse("name")?).await?;
    let mut envelope = Envelope::begin();
    match cx.recursion() {
        0 => one.write(envelope.metadata()),
        _ => one.write_full(envelope.metadata()).await?,
    }
    envelope.reply().version(&etag::of_json(one.fields()))
}

/// Replaces its fields, by an operation.
pub async fn put(mut cx: Ctx) -> Result<Reply> {
    let put: InstancePut = cx.json().await?;
    let (permit, name) = (cx.permit()?, cx.parse("name")?);
    cx.if_match(&instances::put_fields(&cx.core, &permit, &name).await?)?;
    if !put.restore.is_empty() {
        let operation = instances::snapshots::restore(&cx.core, &permit, &name, put).await?;
        return Reply::operation(&operation);
    }
    instances::require_profiles(&cx.core, &permit, put.profiles.clone()).await?;
    let spec = OperationSpec::task("Updating instance", permit.project().as_str())
        .on("instances", format!("/1.0/instances/{name}"))
        .on("containers", format!("/1.0/containers/{name}"))
        .by(permit.caller().requestor());
    let core = cx.core.clone();
    let operation = cx.core.operations.spawn(spec, move |_| async move {
        instances::update(&core, &permit, &name, Box::new(move |_| Ok(put.clone()))).await
    });
    Reply::operation(&operation)
}

/// Changes some of its fields.
pub async fn patch(mut cx: Ctx) -> Result<Reply> {
    let bytes = cx.bytes(body::JSON_LIMIT).await?;
    let (permit, name) = (cx.permit()?, cx.parse("name")?);
    let present = instances::put_fields(&cx.core, &permit, &name).await?;
    cx.if_match(&present)?;
    body::patch(&present, &bytes)?;
    let core = cx.core.clone();
    let merge = Box::new(move |present: InstancePut| body::patch(&present, &bytes));
    cx.core
        .run("Updating instance", async move { instances::update(&core, &permit, &name, merge).await })
        .await
        .map_err(|error| match error.kind() {
            // The reference answers so, and programs look at it.
            Kind::BadRequest => error.with_kind(Kind::Internal),
            _ => error,
        })?;
    Ok(Reply::empty())
}

/// Renames it.
pub async fn post(mut cx: Ctx) -> Result<Reply> {
    cx.this_member().map_err(|error| error.context("Failed to get target node"))?;
    let post = cx.json().await?;
    let operation = instances::rename(&cx.core, &cx.permit()?, &cx.parse("name")?, post).await?;
    Reply::operation(&operation)
}

/// Deletes it.
pub async fn delete(cx: Ctx) -> Result<Reply> {
    let operation = instances::delete(&cx.core, &cx.permit()?, &cx.parse("name")?).await?;
    Reply::operation(&operation)
}
