//! Undoing and finishing of interrupted work on snapshots. Every function may run again.

use chrono::{DateTime, Utc};
use lxd_api::StatusCode;
use lxd_db::{snapshots, storage_volumes};
use lxd_types::names::SnapshotName;
use lxd_types::{Kind, Result};

use super::super::{files, pool_name};
use super::delete::remove_files;
use super::{SnapshotKey, find, volume_row};
use crate::SharedCore;

/// Removes a snapshot whose making did not end, known by its time: one of the same name that was there before stays.
/// An instance that was stopped for it goes on.
pub(crate) async fn create(
    core: &SharedCore,
    key: &SnapshotKey,
    created: DateTime<Utc>,
    thaw: bool,
) -> Result<()> {
    if thaw && let Some(entry) = core.runtime.get(&key.instance) {
        let containers = core.containers()?;
        if containers.frozen(&entry.running) {
            containers.unfreeze(&entry.running).await?;
            core.runtime.set_status(&key.instance, StatusCode::RUNNING);
        }
    }
    let wanted = key.clone();
    match core.db.read(move |tx| find(tx, &wanted)).await {
        Ok((_, snapshot)) if snapshot.created == created => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    // The files go before the rows: these say that there is something to remove.
    let pool = pool_name(core, &key.instance).await?;
    remove_files(core, key, pool.as_deref()).await?;
    let wanted = key.clone();
    core.db
        .write(move |tx| {
            let (model, snapshot) = find(tx, &wanted)?;
            let row = volume_row(tx, &model.row)?;
            if let Ok(of_volume) = storage_volumes::get_snapshot(tx, row.id, &wanted.name) {
                storage_volumes::delete_snapshot(tx, of_volume.id)?;
            }
            snapshots::delete(tx, &snapshot)
        })
        .await?;
    files::link_snapshots(core, &key.instance).await
}

/// Finishes a deletion when its rows are gone.
pub(crate) async fn delete(core: &SharedCore, key: &SnapshotKey, pool: Option<&str>) -> Result<()> {
    let wanted = key.clone();
    match core.db.read(move |tx| find(tx, &wanted)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Kind::NotFound => remove_files(core, key, pool).await,
        Err(error) => Err(error),
    }
}

/// Makes disk and database agree after an interrupted renaming: the row decides.
pub(crate) async fn rename(core: &SharedCore, old: &SnapshotKey, new: &SnapshotName) -> Result<()> {
    let renamed = SnapshotKey { instance: old.instance.clone(), name: new.to_string() };
    let (wanted, other) = (old.clone(), renamed.clone());
    let recorded_new =
        core.db.read(move |tx| Ok(find(tx, &wanted).is_err() && find(tx, &other).is_ok())).await?;
    let (from, to) = if recorded_new { (old, &renamed) } else { (&renamed, old) };
    let Some(pool) = pool_name(core, &old.instance).await? else { return Ok(()) };
    let pool = crate::storage_pools::open(core, &pool).await?;
    let there = pool.list_snapshots(&from.volume()?.volume).await?;
    if there.contains(&from.name) && !there.contains(&to.name) {
        pool.rename_snapshot(&from.volume()?, &to.volume()?.name).await?;
    }
    Ok(())
}
