//! A custom volume gets another place: name, project, pool, or several of these at once. It stays the same one, with its
//! snapshots and backups.

use std::sync::Arc;

use lxd_db::used_by::User;
use lxd_db::{Tx, storage_volumes};
use lxd_storage::{Origin, Pool, Quota, VolumeRef, transfer};
use lxd_types::names::{PoolName, SnapshotName};
use lxd_types::{Error, Kind, Result};

use super::create::{self, CreateVolume, Plan};
use super::rename::rename_in_users;
use super::{Found, VolumeKey, enter, find, refuse_own, running_user, taken};
use crate::journal::Log;
use crate::projects::{Change, allowed};
use crate::{Core, SharedCore, Undo};

/// What is known of the volume and of its new place.
struct Look {
    found: Found,
    users: Vec<User>,
    plan: Plan,
}

impl Look {
    /// Another pool or project, not only another name.
    fn is_elsewhere(&self) -> bool {
        (self.plan.row.pool_id, self.plan.row.project_id)
            != (self.found.row.pool_id, self.found.row.project_id)
    }
}

/// Moves the volume.
///
/// # Errors
/// The place is taken, the volume is used, the other project refuses it, or the storage fails; then it is where it was.
pub(super) async fn relocate(core: &SharedCore, old: &VolumeKey, new: &VolumeKey) -> Result<()> {
    if old == new {
        return Err(taken());
    }
    let _gates = enter(core, [old, new], "move").await?;
    let (from, to) = (old.clone(), new.clone());
    let known = core.db.read(move |tx| look(tx, &from, &to)).await?;
    // The reference's status.
    let own = Error::internal("Volume is used by LXD itself and cannot be renamed");
    refuse_own(core, &known.found.row, own)?;
    if known.is_elsewhere() && !known.users.is_empty() {
        return Err(in_use());
    }
    if running_user(core, &known.users)?.is_some() {
        return Err(Error::bad_request("Volume is still in use by running instances"));
    }
    let volume = known.found.volume()?;
    let source = crate::storage_pools::open_row(core, &known.found.pool).await?;
    let target = crate::storage_pools::open_row(core, &known.plan.pool).await?;
    // Data without a row is not ours: it is neither used nor, by an undo, removed.
    if target.exists(&known.plan.volume).await? {
        return Err(taken());
    }
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::MoveVolume {
            pool: old.pool.clone(),
            volume: volume.clone(),
            to_pool: new.pool.clone(),
            to: known.plan.volume.clone(),
        })
        .await?;
        let carried = carry(core, &source, &volume, &target, &known).await?;
        core.faults.point("volume moved")?;
        let (from, to) = (old.clone(), new.clone());
        core.db.write(move |tx| record(tx, &from, &to, carried.as_deref())).await?;
        // The commit: from here on recovery finishes.
        core.faults.point("volume recorded at its new place")?;
        let [from, to] = [VolumeKey::of(&old.pool, &volume), VolumeKey::of(&new.pool, &known.plan.volume)];
        crate::backups::carry(core, &from, &to).await?;
        if old.pool != new.pool {
            ignore_missing(source.delete(&volume).await)?;
        }
        Ok(())
    })
    .await
}

/// The volume, its users, and what it would be at its new place.
fn look(tx: &Tx<'_>, old: &VolumeKey, new: &VolumeKey) -> Result<Look> {
    let found = find(tx, old)?;
    let users = storage_volumes::used_by(tx, &found.row)?;
    let request = CreateVolume {
        pool: new.pool.clone(),
        name: new.name.clone(),
        content: found.volume()?.content,
        description: found.row.description.clone(),
        config: found.row.config.clone(),
    };
    let plan = create::plan(tx, new, &request)?;
    Ok(Look { found, users, plan })
}

/// Brings the files to their new place. In the same pool they are renamed, else copied: then the snapshots that came along
/// are the answer.
async fn carry(
    core: &SharedCore,
    source: &Arc<dyn Pool>,
    volume: &VolumeRef,
    target: &Arc<dyn Pool>,
    known: &Look,
) -> Result<Option<Vec<SnapshotName>>> {
    let to = &known.plan.volume;
    if known.plan.pool.id == known.found.pool.id {
        return source.rename(volume, to).await.map(|()| None);
    }
    let id = known.found.row.id;
    let snapshots = core.db.read(move |tx| storage_volumes::snapshots(tx, id)).await?;
    let names = snapshots.iter().map(|one| one.name.parse().map_err(Error::from));
    let names: Vec<SnapshotName> = names.collect::<Result<_>>()?;
    transfer::copy(source, &Origin::Volume(volume.clone()), target, to, &names).await?;
    if known.plan.size.is_some() && target.resize(to, known.plan.size).await? == Quota::NotEnforced {
        tracing::warn!(volume = %to, "The size is recorded, but this storage pool cannot enforce it");
    }
    Ok(Some(names))
}

/// One transaction: the facts again, the rules again, the row, and the devices that name the volume.
fn record(tx: &Tx<'_>, old: &VolumeKey, new: &VolumeKey, carried: Option<&[SnapshotName]>) -> Result<()> {
    let known = look(tx, old, new)?;
    let elsewhere = known.is_elsewhere();
    let Look { found, users, plan } = known;
    if elsewhere && !users.is_empty() {
        return Err(in_use());
    }
    if let Some(carried) = carried {
        all_came(&storage_volumes::snapshots(tx, found.row.id)?, carried)?;
    }
    storage_volumes::relocate(tx, found.row.id, plan.row.pool_id, plan.row.project_id, new.name.as_str())
        .map_err(|error| if error.kind() == Kind::Conflict { taken() } else { error })?;
    if !elsewhere {
        return rename_in_users(tx, &users, old, new);
    }
    storage_volumes::update(tx, found.row.id, &plan.row.description, &plan.row.config)?;
    allowed(tx, plan.volume.project.as_str(), Change::NewVolume)
}

/// The source goes with what is recorded: nothing of that may be left there.
fn all_came(recorded: &[storage_volumes::Snapshot], carried: &[SnapshotName]) -> Result<()> {
    if recorded.iter().map(|one| one.name.as_str()).eq(carried.iter().map(SnapshotName::as_str)) {
        return Ok(());
    }
    Err(Error::conflict("The snapshots of the volume changed while it was moved"))
}

fn in_use() -> Error {
    Error::bad_request("The storage volume is still in use")
}

fn ignore_missing(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    }
}

/// Ends an interrupted move: the files go where the row is, whatever was done.
///
/// # Errors
/// A pool is not there, files cannot be moved.
pub async fn settle(
    core: &Core,
    pool: &PoolName,
    volume: &VolumeRef,
    to_pool: &PoolName,
    to: &VolumeRef,
) -> Result<()> {
    let (here, there) = (is_recorded(core, pool, volume).await?, is_recorded(core, to_pool, to).await?);
    let (from, at) = match (here, there) {
        (true, false) => ((to_pool, to), (pool, volume)),
        (false, true) => ((pool, volume), (to_pool, to)),
        // It was refused because the place is another's, or it is gone.
        _ => return Ok(()),
    };
    crate::backups::carry(core, &VolumeKey::of(from.0, from.1), &VolumeKey::of(at.0, at.1)).await?;
    let driver = crate::storage_pools::open(core, from.0.as_str()).await?;
    if from.0 != at.0 {
        return ignore_missing(driver.delete(from.1).await);
    }
    if driver.exists(from.1).await? && driver.exists(at.1).await? {
        return Ok(());
    }
    ignore_missing(driver.rename(from.1, at.1).await)
}

async fn is_recorded(core: &Core, pool: &PoolName, volume: &VolumeRef) -> Result<bool> {
    let key = VolumeKey::of(pool, volume);
    match core.db.read(move |tx| find(tx, &key)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_stayed_behind_stops_the_move() {
        let row = |name: &str| storage_volumes::Snapshot {
            id: 1,
            volume_id: 1,
            name: name.to_owned(),
            description: String::new(),
            expiry: None,
            config: lxd_types::Config::new(),
        };
        let carried: Vec<SnapshotName> = vec!["a".parse().unwrap()];
        assert!(all_came(&[row("a")], &carried).is_ok());
        assert!(all_came(&[row("a"), row("b")], &carried).is_err());
        assert!(all_came(&[], &carried).is_err());
    }
}
