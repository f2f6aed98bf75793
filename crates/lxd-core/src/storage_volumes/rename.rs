//! `POST /1.0/storage-pools/{pool}/volumes/custom/{name}`: a new name, pool or project.

use std::sync::Arc;

use lxd_api::storage_volume::StorageVolumePost;
use lxd_auth::{Level, Permit};
use lxd_db::used_by::User;
use lxd_db::{Devices, Tx, instances, nodes, profiles, projects, storage_pools};
use lxd_storage::VolumeKind;
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::{PoolName, ProjectName};
use lxd_types::{Error, Result};

use super::relocate::relocate;
use super::{VolumeKey, find, owner};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// What became of the request.
pub enum Renamed {
    /// It is done: the volume has this key.
    Done(VolumeKey),
    /// The move goes on.
    Moving(Arc<Operation>),
}

/// Gives a custom volume a new name, in the devices that name it too, or moves it to another pool or project.
///
/// # Errors
/// "Storage pool volume not found", the name is taken, another type, or the caller may not change the other project.
pub async fn rename(
    core: &SharedCore,
    permit: &Permit,
    key: VolumeKey,
    post: &StorageVolumePost,
) -> Result<Renamed> {
    let wanted = key.clone();
    let found = core.db.read(move |tx| find(tx, &wanted)).await;
    let verb = if post.pool.is_empty() || post.pool == key.pool.as_str() { "Renaming" } else { "Moving" };
    if key.kind != VolumeKind::Custom {
        let text = format!("{verb} storage volumes of type \"{}\" is not allowed", key.kind);
        return Err(Error::bad_request(text));
    }
    let found = found?;
    if post.name.contains('/') {
        return Err(Error::bad_request("Storage volume names may not contain slashes"));
    }
    let (pool, project) = (target_pool(&key, post)?, target_project(core, permit, &key, post).await?);
    let new = VolumeKey { pool, project, name: post.name.parse()?, ..key.clone() };
    let place = new.clone();
    let look = move |tx: &Tx<'_>| {
        storage_pools::get(tx, place.pool.as_str(), nodes::LONE)?;
        owner(tx, place.kind, &place.project)
    };
    let owner = core.db.read(look).await?;
    let stays = new.pool == key.pool && owner == found.row.project_id;
    let (work, permit) = (core.clone(), permit.clone());
    if stays {
        let renaming = async move {
            relocate(&work, &key, &new).await?;
            let event = Lifecycle::new("storage-volume-renamed", new.url()).in_project(&new.project);
            work.tell(permit.caller(), event.with("old_name", key.name.as_str()));
            Ok(Renamed::Done(new))
        };
        return core.run("rename storage volume", renaming).await;
    }
    let spec =
        OperationSpec::task("Moving storage volume", key.project.as_str()).by(permit.caller().requestor());
    let moving = core.operations.spawn(spec, move |_| async move {
        relocate(&work, &key, &new).await?;
        let came = Lifecycle::new("storage-volume-created", new.url()).in_project(&new.project);
        work.tell(permit.caller(), came.with("type", new.kind.as_str()));
        let gone = Lifecycle::new("storage-volume-deleted", key.url()).in_project(&key.project);
        work.tell(permit.caller(), gone);
        Ok(())
    });
    Ok(Renamed::Moving(moving))
}

fn target_pool(key: &VolumeKey, post: &StorageVolumePost) -> Result<PoolName> {
    if post.pool.is_empty() {
        return Ok(key.pool.clone());
    }
    post.pool.parse().map_err(|_| Error::not_found("Storage pool not found"))
}

/// The project that the volume goes to; whoever changes what that has from `default` must be allowed to there.
async fn target_project(
    core: &SharedCore,
    permit: &Permit,
    key: &VolumeKey,
    post: &StorageVolumePost,
) -> Result<ProjectName> {
    if post.project.is_empty() || post.project == key.project.as_str() {
        return Ok(key.project.clone());
    }
    let project: ProjectName = post.project.parse().map_err(|_| Error::not_found("Project not found"))?;
    lxd_auth::authorize(permit.caller(), &project, Level::Volumes)?;
    let owner = crate::projects::owner_name(core, &project, "storage.volumes").await?;
    lxd_auth::authorize(permit.caller(), &owner.parse()?, Level::Volumes)?;
    Ok(project)
}

/// Renames the volume in every disk device that names it.
pub(super) fn rename_in_users(tx: &Tx<'_>, users: &[User], old: &VolumeKey, new: &VolumeKey) -> Result<()> {
    for user in users {
        match user {
            User::Instance { project, name } => rename_in_instance(tx, project, name, old, new)?,
            User::Profile { project, name } => rename_in_profile(tx, project, name, old, new)?,
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
