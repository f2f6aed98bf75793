//! `POST /1.0/storage-pools/{pool}/volumes/custom/{name}` with a new name.

use lxd_auth::Permit;
use lxd_db::used_by::User;
use lxd_db::{Devices, Tx, instances, profiles, projects, storage_volumes};
use lxd_storage::{VolumeKind, VolumeRef};
use lxd_types::names::{PoolName, VolumeName};
use lxd_types::{Error, Kind, Result};

use super::{VolumeKey, busy, find, running_user, taken};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{Core, SharedCore, Undo};

/// Gives a custom volume a new name, in the devices that name it too.
///
/// # Errors
/// "Storage pool volume not found", the name is taken, another type.
pub async fn rename(core: &SharedCore, permit: &Permit, key: VolumeKey, name: &str) -> Result<VolumeKey> {
    let text = format!("Renaming storage volumes of type \"{}\" is not allowed", key.kind);
    if key.kind != VolumeKind::Custom {
        return Err(Error::bad_request(text));
    }
    if name.contains('/') {
        return Err(Error::bad_request("Storage volume names may not contain slashes"));
    }
    let new = VolumeKey { name: name.parse()?, ..key.clone() };
    let (work, permit) = (core.clone(), permit.clone());
    core.run("rename storage volume", async move {
        run(&work, &permit, &key, &new).await?;
        Ok(new)
    })
    .await
}

async fn run(core: &SharedCore, permit: &Permit, old: &VolumeKey, new: &VolumeKey) -> Result<()> {
    if old.name == new.name {
        return Err(taken());
    }
    let _gates = core.gates.enter_all([old.gate(), new.gate()], "rename").map_err(busy)?;
    let wanted = old.clone();
    let (found, users) = core
        .db
        .read(move |tx| {
            let found = find(tx, &wanted)?;
            let users = storage_volumes::used_by(tx, &found.row)?;
            Ok((found, users))
        })
        .await?;
    if running_user(core, &users)?.is_some() {
        return Err(Error::bad_request("Volume is still in use by running instances"));
    }
    let volume = found.volume()?;
    let pool = crate::storage_pools::open_row(core, &found.pool)?;
    core.undoable(async |undo: &mut Log| {
        let step =
            Undo::RenameVolume { pool: old.pool.clone(), volume: volume.clone(), name: new.name.clone() };
        check_free(core, new).await?;
        undo.push(step).await?;
        pool.rename(&volume, &new.name).await?;
        let (from, to) = (old.clone(), new.clone());
        core.db.write(move |tx| record(tx, &from, &to)).await
    })
    .await?;
    let event = Lifecycle::new("storage-volume-renamed", new.url()).in_project(&new.project);
    core.tell(permit.caller(), event.with("old_name", old.name.as_str()));
    Ok(())
}

async fn check_free(core: &SharedCore, new: &VolumeKey) -> Result<()> {
    let wanted = new.clone();
    match core.db.read(move |tx| find(tx, &wanted)).await {
        Ok(_) => Err(taken()),
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Renames the row and every disk device that names the volume, in one transaction.
fn record(tx: &Tx<'_>, old: &VolumeKey, new: &VolumeKey) -> Result<()> {
    let found = find(tx, old)?;
    let users = storage_volumes::used_by(tx, &found.row)?;
    storage_volumes::rename(tx, found.row.id, new.name.as_str())
        .map_err(|error| if error.kind() == Kind::Conflict { taken() } else { error })?;
    for user in users {
        match user {
            User::Instance { project, name } => rename_in_instance(tx, &project, &name, old, new)?,
            User::Profile { project, name } => rename_in_profile(tx, &project, &name, old, new)?,
            _ => {}
        }
    }
    Ok(())
}

fn rename_in_instance(
    tx: &Tx<'_>,
    project: &str,
    name: &str,
    old: &VolumeKey,
    new: &VolumeKey,
) -> Result<()> {
    let instance = instances::get_in(tx, project, name)?;
    let owner = projects::owner_of(tx, project, "profiles")?;
    let of = profiles::by_names(tx, owner, &instance.profiles)?;
    let change = instances::Change {
        architecture: instance.architecture,
        ephemeral: instance.ephemeral,
        description: instance.description,
        config: instance.config,
        devices: renamed(instance.devices, old, new),
        profiles: of.iter().map(|profile| profile.id).collect(),
    };
    instances::update(tx, instance.id, &change)
}

fn rename_in_profile(tx: &Tx<'_>, project: &str, name: &str, old: &VolumeKey, new: &VolumeKey) -> Result<()> {
    let project_id = projects::require(tx, project)?;
    let profile = profiles::get(tx, project_id, name)?;
    profiles::update(
        tx,
        profile.id,
        &profile.description,
        &profile.config,
        &renamed(profile.devices, old, new),
    )
}

/// The devices with the new name of the volume in those that name it.
fn renamed(mut devices: Devices, old: &VolumeKey, new: &VolumeKey) -> Devices {
    for device in devices.values_mut() {
        let is = |key: &str, value: &str| device.get(key).is_some_and(|given| given == value);
        if is("type", "disk") && is("pool", old.pool.as_str()) && is("source", old.name.as_str()) {
            device.insert("source".to_owned(), new.name.to_string());
        }
    }
    devices
}

/// Gives the files the name that the row has.
///
/// # Errors
/// The pool is not there, files cannot be renamed.
pub async fn undo_rename(core: &Core, pool: &PoolName, volume: &VolumeRef, name: &VolumeName) -> Result<()> {
    let key = VolumeKey::of(pool, volume);
    match core.db.read(move |tx| find(tx, &key)).await {
        Ok(_) => {}
        // The row has the new name: the rename was complete.
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let driver = crate::storage_pools::open(core, pool.as_str()).await?;
    let renamed = volume.renamed(name);
    if driver.exists(volume).await? && driver.exists(&renamed).await? {
        return Ok(()); // It was refused: the name is taken.
    }
    match driver.rename(&renamed, &volume.name).await {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    }
}
