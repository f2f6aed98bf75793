//! Renaming and removing backups.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lxd_auth::Permit;
use lxd_db::backups as rows;
use lxd_storage::VolumeKind;
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::BackupName;
use lxd_types::{Error, Kind, Result};

use super::{BackupKey, Event, Owner, draft, find, get, in_folder};
use crate::SharedCore;
use crate::instances::InstanceKey;
use crate::journal::Log;
use crate::storage_volumes::VolumeKey;

/// Starts the renaming; the answer is its operation.
///
/// # Errors
/// There is no such backup, or the new name is wrong.
pub async fn rename(
    core: &SharedCore,
    permit: &Permit,
    key: BackupKey,
    name: &str,
) -> Result<Arc<Operation>> {
    get(core, &key).await?;
    if name.contains('/') {
        return Err(Error::bad_request("Backup names may not contain slashes"));
    }
    let new: BackupName = name.parse()?;
    let spec = match &key.owner {
        Owner::Instance(owner) => OperationSpec::task("Renaming instance backup", permit.project().as_str())
            .on("instances", owner.url())
            .on("containers", format!("/1.0/containers/{}", owner.name)),
        Owner::Volume(owner) => {
            OperationSpec::task("Renaming custom volume backup", permit.project().as_str())
                .on("volume", format!("/1.0/volume/{}", owner.name))
        }
    };
    let spec = spec.by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move {
        let old = key.file()?;
        core.undoable(async |undo: &mut Log| {
            undo.push(key.owner.settling(&old, &new)).await?;
            let (wanted, name) = (key.clone(), new.to_string());
            core.db
                .write(move |tx| {
                    let (of, row) = find(tx, &wanted)?;
                    rows::rename(tx, of, row.id, &name)
                })
                .await?;
            core.faults.point("backup renamed in the database")?;
            move_file(&core, &key.owner, &old, &new).await
        })
        .await?;
        let renamed = BackupKey { owner: key.owner.clone(), name: new.to_string() };
        let event = renamed.event(&permit, Event::Renamed);
        core.tell(permit.caller(), event.with("old_name", format!("{}/{}", key.owner.name(), key.name)));
        Ok(())
    }))
}

async fn move_file(core: &SharedCore, owner: &Owner, from: &BackupName, to: &BackupName) -> Result<()> {
    let (from, to) = (from.clone(), to.clone());
    in_folder(core, owner, move |folder| match folder.rename_new(from.as_str(), to.as_str()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await
}

/// Makes the file's name agree with the recorded one, after a renaming; removes files that have no row.
pub(crate) async fn settle(
    core: &SharedCore,
    owner: &Owner,
    old: &BackupName,
    new: &BackupName,
) -> Result<()> {
    let there = |name: &BackupName| {
        let wanted = BackupKey { owner: owner.clone(), name: name.to_string() };
        async move {
            match get(core, &wanted).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == Kind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        }
    };
    match (there(old).await?, there(new).await?) {
        (true, false) => move_file(core, owner, new, old).await,
        (false, true) => move_file(core, owner, old, new).await,
        (true, true) => Ok(()),
        (false, false) => remove_file(core, owner, new).await,
    }
}

/// Removes a backup whose making did not end, known by its time: one of the same name that was there before stays.
pub(crate) async fn undo_create(
    core: &SharedCore,
    owner: &Owner,
    name: &BackupName,
    created: DateTime<Utc>,
) -> Result<()> {
    let wanted = BackupKey { owner: owner.clone(), name: name.to_string() };
    match get(core, &wanted).await {
        Ok(row) if row.created == created => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    remove_file(core, owner, name).await?;
    let draft = draft(name);
    in_folder(core, owner, move |folder| match folder.remove_file(&*draft) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await?;
    forget(core, &wanted).await
}

/// Starts the removal; the answer is its operation.
///
/// # Errors
/// There is no such backup.
pub async fn delete(core: &SharedCore, permit: &Permit, key: BackupKey) -> Result<Arc<Operation>> {
    get(core, &key).await?;
    let spec = match &key.owner {
        // The reference's own way to name it.
        Owner::Instance(owner) => OperationSpec::task("Removing instance backup", permit.project().as_str())
            .on("container", format!("/1.0/container/{}", owner.name)),
        Owner::Volume(owner) => {
            OperationSpec::task("Deleting custom volume backup", permit.project().as_str())
                .on("volume", format!("/1.0/volume/{}", owner.name))
        }
    };
    let spec = spec.by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move { remove(&core, &permit, &key).await }))
}

/// The row goes first: from then on the journal finishes it.
async fn remove(core: &SharedCore, permit: &Permit, key: &BackupKey) -> Result<()> {
    let name = key.file()?;
    core.undoable(async |undo: &mut Log| {
        undo.push(key.owner.settling(&name, &name)).await?;
        forget(core, key).await?;
        core.faults.point("backup forgotten")?;
        remove_file(core, &key.owner, &name).await
    })
    .await?;
    core.tell(permit.caller(), key.event(permit, Event::Deleted));
    Ok(())
}

async fn forget(core: &SharedCore, key: &BackupKey) -> Result<()> {
    let wanted = key.clone();
    core.db
        .write(move |tx| {
            let (of, row) = find(tx, &wanted)?;
            rows::delete(tx, of, row.id)
        })
        .await
}

async fn remove_file(core: &SharedCore, owner: &Owner, name: &BackupName) -> Result<()> {
    let name = name.clone();
    in_folder(core, owner, move |folder| match folder.remove_file(name.as_str()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await
}

/// Removes all whose time is over; one that cannot be removed is tried again at the next run.
///
/// # Errors
/// The database cannot be read.
pub async fn expire(core: &SharedCore) -> Result<()> {
    for row in core.db.read(|tx| rows::expired(tx, Utc::now())).await? {
        let owner = match &row.pool {
            None => Owner::Instance(InstanceKey::stored(&row.project, &row.owner)?),
            Some(pool) => Owner::Volume(VolumeKey {
                pool: pool.parse()?,
                kind: VolumeKind::Custom,
                project: row.project.parse()?,
                name: row.owner.parse()?,
            }),
        };
        let permit = Permit::daemon(owner.project().clone());
        let key = BackupKey { owner, name: row.name };
        if let Err(error) = remove(core, &permit, &key).await {
            tracing::warn!(backup = key.url(), error = error.chain(), "Failed to remove an expired backup");
        }
    }
    Ok(())
}
