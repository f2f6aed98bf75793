//! Looking at backups, renaming, removing and sending them.

use std::fs::File;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lxd_api::instance::{InstanceBackup, InstanceBackupPost};
use lxd_auth::Permit;
use lxd_db::instance_backups as rows;
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::{BackupName, InstanceName};
use lxd_types::{Error, Kind, Result};

use super::super::{InstanceKey, load};
use super::{BackupKey, draft, find, in_folder, view};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo, with_project};

/// The backups of an instance.
///
/// # Errors
/// There is no such instance.
pub async fn list(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<Vec<InstanceBackup>> {
    let key = InstanceKey::new(permit.project(), name);
    let found = core.db.read(move |tx| rows::list(tx, load(tx, &key)?.row.id)).await?;
    Ok(found.into_iter().map(view).collect())
}

/// Their URLs.
///
/// # Errors
/// There is no such instance.
pub async fn urls(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<Vec<String>> {
    let instance = InstanceKey::new(permit.project(), name);
    let found = list(core, permit, name).await?;
    let url = |backup: InstanceBackup| {
        let key = BackupKey { instance: instance.clone(), name: backup.name };
        with_project(&key.url(), &instance.project)
    };
    Ok(found.into_iter().map(url).collect())
}

/// One backup.
///
/// # Errors
/// Not found.
pub async fn get(core: &SharedCore, key: &BackupKey) -> Result<InstanceBackup> {
    let wanted = key.clone();
    core.db.read(move |tx| find(tx, &wanted)).await.map(view)
}

/// The open archive and its size.
///
/// # Errors
/// Not found.
pub async fn open(core: &SharedCore, permit: &Permit, key: &BackupKey) -> Result<(File, u64)> {
    let wanted = key.clone();
    core.db.read(move |tx| find(tx, &wanted)).await?;
    let name = key.file()?;
    let opened = in_folder(core, &key.instance, move |folder| {
        let file = folder.open_file(name.as_str())?;
        let size = file.metadata()?.len();
        Ok((file, size))
    });
    let opened = opened.await?;
    let event = Lifecycle::new("instance-backup-retrieved", key.url()).in_project(&key.instance.project);
    core.tell(permit.caller(), event);
    Ok(opened)
}

/// Starts the renaming; the answer is its operation.
///
/// # Errors
/// There is no such backup, or the new name is wrong.
pub async fn rename(
    core: &SharedCore,
    permit: &Permit,
    key: BackupKey,
    post: InstanceBackupPost,
) -> Result<Arc<Operation>> {
    let wanted = key.clone();
    core.db.read(move |tx| find(tx, &wanted)).await?;
    if post.name.contains('/') {
        return Err(Error::bad_request("Backup names may not contain slashes"));
    }
    let new: BackupName = post.name.parse()?;
    let spec = OperationSpec::task("Renaming instance backup", key.instance.project.as_str())
        .on("instances", key.instance.url())
        .on("containers", format!("/1.0/containers/{}", key.instance.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move {
        let (old, project) = (key.file()?, key.instance.project.clone());
        core.undoable(async |undo: &mut Log| {
            undo.push(Undo::SettleBackup {
                project: project.clone(),
                instance: key.instance.name.clone(),
                old: old.clone(),
                new: new.clone(),
            })
            .await?;
            let (wanted, name) = (key.clone(), new.to_string());
            core.db.write(move |tx| rows::rename(tx, find(tx, &wanted)?.id, &name)).await?;
            core.faults.point("backup renamed in the database")?;
            move_file(&core, &key.instance, &old, &new).await
        })
        .await?;
        let renamed = BackupKey { instance: key.instance.clone(), name: new.to_string() };
        core.tell(
            permit.caller(),
            Lifecycle::new("instance-backup-renamed", renamed.url())
                .in_project(&project)
                .with("old_name", format!("{}/{}", key.instance.name, key.name)),
        );
        Ok(())
    }))
}

async fn move_file(core: &SharedCore, key: &InstanceKey, from: &BackupName, to: &BackupName) -> Result<()> {
    let (from, to) = (from.clone(), to.clone());
    in_folder(core, key, move |folder| match folder.rename_new(from.as_str(), to.as_str()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await
}

/// Makes the file's name agree with the recorded one, after a renaming; removes files that have no row.
pub(crate) async fn settle(
    core: &SharedCore,
    key: &InstanceKey,
    old: &BackupName,
    new: &BackupName,
) -> Result<()> {
    let there = |name: &BackupName| {
        let wanted = BackupKey { instance: key.clone(), name: name.to_string() };
        async move {
            match core.db.read(move |tx| find(tx, &wanted)).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == Kind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        }
    };
    match (there(old).await?, there(new).await?) {
        (true, false) => move_file(core, key, new, old).await,
        (false, true) => move_file(core, key, old, new).await,
        (true, true) => Ok(()),
        (false, false) => remove_file(core, key, new).await,
    }
}

/// Removes a backup whose making did not end, known by its time: one of the same name that was there before stays.
pub(crate) async fn undo_create(
    core: &SharedCore,
    key: &InstanceKey,
    name: &BackupName,
    created: DateTime<Utc>,
) -> Result<()> {
    let wanted = BackupKey { instance: key.clone(), name: name.to_string() };
    let found = wanted.clone();
    match core.db.read(move |tx| find(tx, &found)).await {
        Ok(row) if row.created == created => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    remove_file(core, key, name).await?;
    let draft = draft(name);
    in_folder(core, key, move |folder| match folder.remove_file(&*draft) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await?;
    core.db.write(move |tx| rows::delete(tx, find(tx, &wanted)?.id)).await
}

/// Starts the removal; the answer is its operation.
///
/// # Errors
/// There is no such backup.
pub async fn delete(core: &SharedCore, permit: &Permit, key: BackupKey) -> Result<Arc<Operation>> {
    let wanted = key.clone();
    core.db.read(move |tx| find(tx, &wanted)).await?;
    // The reference's own way to name it.
    let spec = OperationSpec::task("Removing instance backup", key.instance.project.as_str())
        .on("container", format!("/1.0/container/{}", key.instance.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move { remove(&core, &permit, &key).await }))
}

/// The row goes first: from then on the journal finishes it.
pub(super) async fn remove(core: &SharedCore, permit: &Permit, key: &BackupKey) -> Result<()> {
    let name = key.file()?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::SettleBackup {
            project: key.instance.project.clone(),
            instance: key.instance.name.clone(),
            old: name.clone(),
            new: name.clone(),
        })
        .await?;
        let wanted = key.clone();
        core.db.write(move |tx| rows::delete(tx, find(tx, &wanted)?.id)).await?;
        core.faults.point("backup forgotten")?;
        remove_file(core, &key.instance, &name).await
    })
    .await?;
    let event = Lifecycle::new("instance-backup-deleted", key.url()).in_project(&key.instance.project);
    core.tell(permit.caller(), event);
    Ok(())
}

async fn remove_file(core: &SharedCore, key: &InstanceKey, name: &BackupName) -> Result<()> {
    let name = name.clone();
    in_folder(core, key, move |folder| match folder.remove_file(name.as_str()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await
}
