//! What `/1.0/instances/{name}/backups` and `…/volumes/{type}/{name}/backups` have in common.

use lxd_core::backups::{self, BackupKey, Owner, Request};
use lxd_types::Result;
use serde::Serialize;

use crate::{Ctx, Reply};

/// The list: URLs, or objects as `view` makes them.
pub async fn list<T: Serialize>(cx: Ctx, owner: Owner, view: fn(backups::Backup) -> T) -> Result<Reply> {
    if cx.recursion() > 0 {
        let found = backups::list(&cx.core, &owner).await?;
        return Reply::json(&found.into_iter().map(view).collect::<Vec<T>>());
    }
    Reply::json(&backups::urls(&cx.core, &cx.permit()?, &owner).await?)
}

/// Makes a backup.
pub async fn create(cx: Ctx, owner: Owner, request: Request) -> Result<Reply> {
    let operation = backups::create(&cx.core, &cx.permit()?, owner, request).await?;
    Reply::operation(&operation)
}

/// Renames it.
pub async fn rename(cx: Ctx, owner: Owner, name: &str) -> Result<Reply> {
    let operation = backups::rename(&cx.core, &cx.permit()?, key(&cx, owner), name).await?;
    Reply::operation(&operation)
}

/// Removes it.
pub async fn delete(cx: Ctx, owner: Owner) -> Result<Reply> {
    let operation = backups::delete(&cx.core, &cx.permit()?, key(&cx, owner)).await?;
    Reply::operation(&operation)
}

/// The archive.
pub async fn export(cx: Ctx, owner: Owner) -> Result<Reply> {
    let key = key(&cx, owner);
    let (file, size) = backups::open(&cx.core, &cx.permit()?, &key).await?;
    Reply::file(file, size, &key.name)
}

/// The backup that the URL names.
pub fn key(cx: &Ctx, owner: Owner) -> BackupKey {
    BackupKey { owner, name: cx.param("backup").to_owned() }
}
