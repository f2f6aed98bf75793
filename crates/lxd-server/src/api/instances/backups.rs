//! `/1.0/instances/{name}/backups`.

use lxd_core::instances::InstanceKey;
use lxd_core::instances::backups::{self, BackupKey};
use lxd_types::Result;

use crate::{Ctx, Reply};

fn key(cx: &Ctx) -> Result<BackupKey> {
    let instance = InstanceKey::new(&cx.project, &cx.parse("name")?);
    Ok(BackupKey { instance, name: cx.param("backup").to_owned() })
}

/// The list: URLs or objects.
pub async fn list(cx: Ctx) -> Result<Reply> {
    let (permit, name) = (cx.permit()?, cx.parse("name")?);
    if cx.recursion() > 0 {
        return Reply::json(&backups::list(&cx.core, &permit, &name).await?);
    }
    Reply::json(&backups::urls(&cx.core, &permit, &name).await?)
}

/// Makes a backup.
pub async fn create(mut cx: Ctx) -> Result<Reply> {
    let post = cx.json().await?;
    let operation = backups::create(&cx.core, &cx.permit()?, &cx.parse("name")?, post).await?;
    Reply::operation(&operation)
}

/// The object.
pub async fn get(cx: Ctx) -> Result<Reply> {
    cx.permit()?;
    Reply::json(&backups::get(&cx.core, &key(&cx)?).await?)
}

/// Renames it.
pub async fn rename(mut cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let post = cx.json().await?;
    let operation = backups::rename(&cx.core, &permit, key, post).await?;
    Reply::operation(&operation)
}

/// Removes it.
pub async fn delete(cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let operation = backups::delete(&cx.core, &permit, key).await?;
    Reply::operation(&operation)
}

/// The archive.
pub async fn export(cx: Ctx) -> Result<Reply> {
    let (permit, key) = (cx.permit()?, key(&cx)?);
    let (file, size) = backups::open(&cx.core, &permit, &key).await?;
    Reply::file(file, size, &key.name)
}
