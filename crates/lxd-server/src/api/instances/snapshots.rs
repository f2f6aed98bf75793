//! `/1.0/instances/{name}/snapshots`.

use lxd_api::instance::InstanceSnapshotPut;
use lxd_core::instances::InstanceKey;
use lxd_core::instances::snapshots::{self, SnapshotKey};
use lxd_types::Result;

use crate::{Ctx, Reply};

fn key(cx: &Ctx) -> Result<SnapshotKey> {
    let instance = InstanceKey::new(&cx.project, &cx.parse("name")?);
    Ok(SnapshotKey { instance, name: cx.param("snapshot").to_owned() })
}

/// The list: URLs or objects.
pub async fn list(cx: Ctx) -> Result<Reply> {
    let (permit, name) = (cx.permit()?, cx.parse("name")?);
    if cx.recursion() > 0 {
        return Reply::json(&snapshots::list(&cx.core, &permit, &name).await?);
    }
    Reply::json(&snapshots::urls(&cx.core, &permit, &name).await?)
}

/// Makes a snapshot.
pub async fn create(mut cx: Ctx) -> Result<Reply> {
    let post = cx.json().await?;
    let operation = snapshots::create(&cx.core, &cx.permit()?, &cx.parse("name")?, post).await?;
    Reply::operation(&operation)
}

/// The object.
pub async fn get(cx: Ctx) -> Result<Reply> {
    cx.permit()?;
    let snapshot = snapshots::get(&cx.core, &key(&cx)?).await?;
    Reply::json(&snapshot)?.etag(&InstanceSnapshotPut { expires_at: snapshot.expires_at })
}

/// Replaces its fields.
pub async fn put(mut cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    cx.if_match(&snapshots::put_fields(&cx.core, &key).await?)?;
    let put = cx.json().await?;
    let operation = snapshots::update(&cx.core, &permit, key, put).await?;
    Reply::operation(&operation)
}

/// Changes some of its fields.
pub async fn patch(mut cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let present = snapshots::put_fields(&cx.core, &key).await?;
    cx.if_match(&present)?;
    let put = cx.patch(&present).await?;
    let operation = snapshots::update(&cx.core, &permit, key, put).await?;
    Reply::operation(&operation)
}

/// Renames it.
pub async fn rename(mut cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let post = cx.json().await?;
    let operation = snapshots::rename(&cx.core, &permit, key, post).await?;
    Reply::operation(&operation)
}

/// Deletes it.
pub async fn delete(cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let operation = snapshots::delete(&cx.core, &permit, key).await?;
    Reply::operation(&operation)
}
