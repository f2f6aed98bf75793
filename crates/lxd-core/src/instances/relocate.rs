//! A stopped instance gets another place: name, project, pool, or several of these at once. It stays the same one, with
//! its snapshots and backups.

use std::sync::Arc;

use lxd_db::{Tx, instances, profiles, projects, snapshots as rows, storage_pools, storage_volumes};
use lxd_device::Registry;
use lxd_instance::{expand_config, expand_devices};
use lxd_storage::{Origin, Pool, VolumeRef, transfer};
use lxd_types::names::SnapshotName;
use lxd_types::{Config, ConfigExt, DeviceExt, Devices, Error, Kind, Result};

use super::devices::Owner;
use super::snapshots::volume_row;
use super::update::plan_update;
use super::{HostIds, InstanceKey, Model, copy, files, load, nics, put_view, rules};
use crate::journal::Log;
use crate::projects::{Change, Newcomer, allowed, allowed_early};
use crate::{SharedCore, Undo};

/// Where an instance is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Project and name.
    pub key: InstanceKey,
    /// The pool of its root volume.
    pub pool: String,
}

impl Place {
    fn volume(&self) -> VolumeRef {
        VolumeRef::container(&self.key.project, &self.key.name)
    }
}

/// Where an instance shall go.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// Project and name.
    pub key: InstanceKey,
    /// The pool; where it is when none is given.
    pub pool: Option<String>,
    /// Its snapshots stay behind, and end.
    pub drop_snapshots: bool,
}

/// What will be recorded, from the facts of one transaction.
struct Plan {
    pool: String,
    /// Only in another project: what the instance has there, and all that holds then.
    there: Option<There>,
}

struct There {
    project_id: i64,
    change: instances::Change,
    config: Config,
    devices: Devices,
}

/// Moves it; the caller holds the gates of both keys and knows that it does not run.
///
/// # Errors
/// The place is taken, the other project refuses it, or the storage fails; then it is where it was.
pub(super) async fn relocate(core: &SharedCore, old: &InstanceKey, wish: &Wish) -> Result<()> {
    let pool = super::pool_name(core, old).await?;
    let pool = pool.ok_or_else(|| Error::not_found("The instance's root volume is not recorded"))?;
    let from = Place { key: old.clone(), pool };
    let to = look(core, &from, wish).await?;
    if from == to {
        return Ok(());
    }
    let source = crate::storage_pools::open(core, &from.pool).await?;
    let target = crate::storage_pools::open(core, &to.pool).await?;
    if from.pool != to.pool && target.exists(&to.volume()).await? {
        let text = format!("Volume {} already exists on pool {:?}", to.key.name, to.pool);
        return Err(Error::conflict(text));
    }
    let wanted = old.clone();
    let before = core.db.read(move |tx| load(tx, &wanted)).await?;
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::MoveInstance {
            project: from.key.project.clone(),
            name: from.key.name.clone(),
            pool: from.pool.clone(),
            to_project: to.key.project.clone(),
            to_name: to.key.name.clone(),
            to_pool: to.pool.clone(),
        })
        .await?;
        // What is written into the files meanwhile would be lost.
        let _turn = core.backup_files.wait(&from.key.to_string()).await;
        carry(core, &source, &from, &target, &to, wish.drop_snapshots).await?;
        core.faults.point("volume moved")?;
        record(core, &from, &to, wish).await?;
        // The commit: from here on recovery finishes.
        core.faults.point("instance moved")?;
        finish(core, &from, &to).await
    })
    .await?;
    tell_networks(core, &before, &to.key).await;
    Ok(())
}

/// The place that a wish means; what would be refused is refused before anything is done.
async fn look(core: &SharedCore, from: &Place, wish: &Wish) -> Result<Place> {
    let pool = wish.pool.as_ref().unwrap_or(&from.pool);
    if wish.key.project == from.key.project {
        let failed = |error: Error| error.context("Failed loading storage pool");
        crate::storage_pools::open(core, pool).await.map_err(failed)?;
        return Ok(Place { key: wish.key.clone(), pool: pool.clone() });
    }
    let failed = |error: Error| error.context("Failed creating instance record");
    let (registry, ids) = (core.device_registry(), core.host_ids.clone());
    let (old, wanted, pool) = (from.key.clone(), wish.clone(), pool.to_owned());
    let planned = core.db.read(move |tx| {
        let model = load(tx, &old)?;
        let plan = plan(tx, &registry, &ids, &model, &wanted, &pool)?;
        if let Some(there) = &plan.there {
            let newcomer = Newcomer {
                name: wanted.key.name.to_string(),
                kind: model.kind(),
                config: there.config.clone(),
                devices: there.devices.clone(),
            };
            let change = Change::NewInstance(&wanted.key);
            allowed_early(tx, wanted.key.project.as_str(), change, newcomer)?;
        }
        Ok((model, plan))
    });
    let (model, plan) = planned.await.map_err(failed)?;
    if let Some(there) = &plan.there {
        let owner =
            Owner { key: &wish.key, kind: model.kind(), own: &there.change.config, config: &there.config };
        super::devices::check_added(core, owner, &Devices::new(), &there.devices)
            .await
            .map_err(|error| failed(error.context("Failed initialising instance")))?;
    }
    Ok(Place { key: wish.key.clone(), pool: plan.pool })
}

/// What is recorded of an instance that goes to another project. As the reference does, its root disk becomes one of its
/// own, so that it stays in the pool that is meant whatever the profiles there say.
fn plan(
    tx: &Tx<'_>,
    registry: &Registry,
    ids: &Result<HostIds, String>,
    model: &Model,
    wish: &Wish,
    pool: &str,
) -> Result<Plan> {
    let project = projects::get(tx, wish.key.project.as_str())?;
    if instances::find(tx, project.id, wish.key.name.as_str())?.is_some() {
        return Err(taken());
    }
    let owner = projects::owner_of(tx, &project.name, "profiles")?;
    let of = profiles::by_names(tx, owner, &model.row.profiles)?;
    let expanded = |own: &Devices| expand_devices(of.iter().map(|one| &one.devices), own);
    let failed = |error: Error| error.context("Failed initialising instance");
    let mut there = Model { key: wish.key.clone(), ..model.clone() };
    there.row.project_id = project.id;
    there.row.project.clone_from(&project.name);
    there.row.name = wish.key.name.to_string();
    storage_pools::require(tx, pool).map_err(|error| failed(error.context("Failed loading storage pool")))?;
    let own = root_on(&model.devices, pool).map_err(failed)?;
    let of_profiles = expanded(&there.row.devices);
    let named = of_profiles.iter().find(|(_, device)| device.is_root_disk());
    let root = own.into_values().next().unwrap_or_default();
    let name = named.or_else(|| model.devices.iter().find(|(_, device)| device.is_root_disk()));
    there.row.devices.extend(name.map(|(name, _)| (name.clone(), root)));
    there.devices = expanded(&there.row.devices);
    let (pool, _) = rules::root_disk(&there.devices)
        .map_err(|error| failed(error.context("Failed detecting root disk device")))?;
    there.row.config.retain(|key, _| stays(key));
    crate::networks::nics::remember(&mut there.row.config, &model.devices, &there.devices);
    there.config = expand_config(of.iter().map(|one| &one.config), &there.row.config);
    let change = plan_update(tx, registry, ids, &there, put_view(&there))?.change;
    let (config, devices) = (there.config, there.devices);
    Ok(Plan { pool, there: Some(There { project_id: project.id, change, config, devices }) })
}

/// What the server remembers of a stopped instance. The rest is of a run, or was set by hand where that was allowed.
fn stays(key: &str) -> bool {
    let Some(volatile) = key.strip_prefix("volatile.") else { return true };
    const KEPT: [&str; 8] = [
        "apply_template",
        "base_image",
        "cloud-init.instance-id",
        "idmap.base",
        "idmap.next",
        "last_state.idmap",
        "last_state.power",
        "uuid",
    ];
    let of_device = |key: &str| matches!(key.rsplit_once('.'), Some((_, "hwaddr" | "name" | "apply_quota")));
    KEPT.contains(&volatile) || of_device(volatile)
}

/// Brings the volume to its new place. In the same pool it is renamed, else copied.
async fn carry(
    core: &SharedCore,
    source: &Arc<dyn Pool>,
    from: &Place,
    target: &Arc<dyn Pool>,
    to: &Place,
    drop_snapshots: bool,
) -> Result<()> {
    if from.pool == to.pool {
        return ignore_missing(source.rename(&from.volume(), &to.volume()).await);
    }
    let wanted = from.key.clone();
    let found = core.db.read(move |tx| rows::list(tx, load(tx, &wanted)?.row.id)).await?;
    let names = found.iter().filter(|_| !drop_snapshots).map(|one| one.name.parse().map_err(Error::from));
    let names: Vec<SnapshotName> = names.collect::<Result<_>>()?;
    transfer::copy(source, &Origin::Volume(from.volume()), target, &to.volume(), &names).await
}

/// One transaction: the facts again, the rules again, the rows.
async fn record(core: &SharedCore, from: &Place, to: &Place, wish: &Wish) -> Result<()> {
    let (registry, ids) = (core.device_registry(), core.host_ids.clone());
    let (from, to, wish) = (from.clone(), to.clone(), wish.clone());
    let other = from.key.project != to.key.project;
    let recorded = core.db.write(move |tx| {
        let model = load(tx, &from.key)?;
        let plan = match other {
            true => plan(tx, &registry, &ids, &model, &wish, &to.pool)?,
            false => Plan { pool: to.pool.clone(), there: None },
        };
        if plan.pool != to.pool {
            return Err(Error::conflict("The root disk was moved to another storage pool meanwhile"));
        }
        let volume = volume_row(tx, &model.row)?;
        let project_id = plan.there.as_ref().map_or(model.row.project_id, |there| there.project_id);
        let (name, pool_id) = (to.key.name.as_str(), storage_pools::require(tx, &to.pool)?);
        instances::relocate(tx, model.row.id, project_id, name).map_err(conflict)?;
        storage_volumes::relocate(tx, volume.id, pool_id, project_id, name)?;
        if let Some(there) = &plan.there {
            instances::update(tx, model.row.id, &there.change)?;
            let none = Devices::new();
            crate::networks::nics::check(tx, &to.key, &there.change.config, &none, &there.devices)?;
        }
        if from.key.name != to.key.name {
            set_template(tx, &model, other)?;
        }
        if from.pool != to.pool {
            set_root(tx, &model, plan.there.as_ref(), &to.pool)?;
        }
        if from.pool != to.pool || wish.drop_snapshots {
            follow_snapshots(tx, &to, volume.id, wish.drop_snapshots)?;
        }
        let change = if other { Change::NewInstance(&to.key) } else { Change::Instance(&to.key) };
        allowed(tx, to.key.project.as_str(), change)
    });
    let failed = |error: Error| error.context("Failed creating instance record");
    recorded.await.map_err(|error| if other { failed(error) } else { error })
}

/// A renamed instance applies the templates for that at its next start; one that never started those of its making.
fn set_template(tx: &Tx<'_>, model: &Model, other_project: bool) -> Result<()> {
    if other_project && !model.row.config.value("volatile.apply_template").is_empty() {
        return Ok(());
    }
    let key = ("volatile.apply_template".to_owned(), Some("rename".to_owned()));
    instances::set_keys(tx, model.row.id, &[key].into())
}

/// Says in the devices of the instance on which pool it is now.
fn set_root(tx: &Tx<'_>, model: &Model, there: Option<&There>, pool: &str) -> Result<()> {
    if there.is_some() {
        return Ok(()); // The plan said so.
    }
    let mut devices = model.row.devices.clone();
    devices.extend(root_on(&model.devices, pool)?);
    instances::set_devices(tx, model.row.id, &devices)
}

/// The snapshots are where their instance is, or end.
fn follow_snapshots(tx: &Tx<'_>, to: &Place, volume: i64, drop_snapshots: bool) -> Result<()> {
    let model = load(tx, &to.key)?;
    for mut snapshot in rows::list(tx, model.row.id)? {
        if drop_snapshots {
            let of_volume = storage_volumes::get_snapshot(tx, volume, &snapshot.name)?;
            storage_volumes::delete_snapshot(tx, of_volume.id)?;
            rows::delete(tx, &snapshot)?;
            continue;
        }
        copy::with_root(&mut snapshot.devices, &model.row.devices);
        rows::set_devices(tx, &snapshot, &snapshot.devices)?;
    }
    Ok(())
}

/// The root disk on another pool, by its name.
fn root_on(expanded: &Devices, pool: &str) -> Result<Devices> {
    let (name, root) = expanded
        .iter()
        .find(|(_, device)| device.is_root_disk())
        .ok_or_else(|| Error::not_found("No root device could be found"))?;
    let mut root = root.clone();
    root.insert("pool".to_owned(), pool.to_owned());
    Ok([(name.clone(), root)].into())
}

/// What is left to do when the instance is recorded at `to`.
async fn finish(core: &SharedCore, from: &Place, to: &Place) -> Result<()> {
    if from.pool != to.pool {
        let pool = crate::storage_pools::open(core, &from.pool).await?;
        ignore_missing(pool.delete(&from.volume()).await)?;
    }
    if from.key != to.key {
        return files::rename_directories(core, &from.key, &to.key).await;
    }
    files::link_snapshots(core, &to.key).await?;
    files::prepare_directories(core, &to.key).await
}

/// The networks know the instance under its new name. What fails is made good by the next start.
async fn tell_networks(core: &SharedCore, before: &Model, new: &InstanceKey) {
    if before.key == *new {
        return;
    }
    let without = Model { devices: Devices::new(), ..before.clone() };
    if let Err(error) = nics::changed(core, before, &without).await {
        tracing::warn!(instance = %before.key, error = error.chain(), "A network did not forget a moved instance");
    }
    nics::announce(core, new).await;
}

/// The instances' row is taken: the reference's text.
pub(super) fn taken() -> Error {
    Error::conflict("This \"instances\" entry already exists").context("Add instance info to the database")
}

fn conflict(error: Error) -> Error {
    if error.kind() == Kind::Conflict { taken() } else { error }
}

fn ignore_missing(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    }
}

/// Ends an interrupted move: the files go where the row is, whatever was done.
pub(crate) async fn settle(core: &SharedCore, old: Place, new: Place) -> Result<()> {
    let recorded = match old.key == new.key {
        true => super::pool_name(core, &new.key).await?.is_some_and(|pool| pool == new.pool),
        false => match (copy::exists(core, &old.key).await?, copy::exists(core, &new.key).await?) {
            (true, true) => return Ok(()), // It was refused: the place is another's.
            (old, _) => !old,
        },
    };
    let (from, to) = if recorded { (old, new) } else { (new, old) };
    if super::pool_name(core, &to.key).await?.is_none_or(|pool| pool != to.pool) {
        return Ok(()); // It is gone, or went on from there.
    }
    if from.pool == to.pool {
        let pool = crate::storage_pools::open(core, &to.pool).await?;
        let both = pool.exists(&from.volume()).await? && pool.exists(&to.volume()).await?;
        if !both {
            // It finishes one that stopped between the volume and its snapshots, too.
            ignore_missing(pool.rename(&from.volume(), &to.volume()).await)?;
        }
    }
    finish(core, &from, &to).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_a_run_or_set_by_hand_stays_behind() {
        for key in ["user.a", "limits.cpu", "volatile.uuid", "volatile.eth0.hwaddr", "volatile.idmap.next"] {
            assert!(stays(key), "{key}");
        }
        for key in ["volatile.eth0.host_name", "volatile.eth0.last_state.created", "volatile.x"] {
            assert!(!stays(key), "{key}");
        }
    }
}
