//! `PUT` and `PATCH /1.0/instances/{name}`: the transaction decides, then the running instance follows.

use std::sync::Arc;

use lxd_api::instance::InstancePut;
use lxd_auth::Permit;
use lxd_db::{Tx, instances, profiles, projects};
use lxd_instance::{expand_config, expand_devices};
use lxd_types::arch::Architecture;
use lxd_types::names::InstanceName;
use lxd_types::{Config, Devices, Error, Kind, Result};

use super::{HostIds, InstanceKey, Model, facts, load, put_view, rules};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;
use crate::projects::{Change, Newcomer, allowed, allowed_early, check_volatile};

/// How the new fields follow from the present ones; may be called again when another change came first.
pub type Merge = dyn Fn(InstancePut) -> Result<InstancePut> + Send + Sync;

/// Changes an instance. The new fields are made from those of the same transaction, so that two clients that
/// change different keys at once both succeed.
///
/// # Errors
/// There is no such instance, the `merge` refuses, a rule is broken, or the running instance cannot follow; nothing
/// is changed then.
pub async fn update(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    merge: Box<Merge>,
) -> Result<()> {
    let key = InstanceKey::new(permit.project(), name);
    let _turn = super::apply::turn(core, &key).await;
    let (registry, ids) = (core.device_registry(), core.host_ids.clone());
    let (wanted, merge): (_, Arc<Merge>) = (key.clone(), merge.into());
    let planned = {
        let (wanted, merge, registry, ids) = (wanted.clone(), merge.clone(), registry.clone(), ids.clone());
        core.db.read(move |tx| {
            let old = load(tx, &wanted)?;
            let plan = plan_update(tx, &registry, &ids, &old, merge(put_view(&old))?)?;
            let devices = plan.devices.clone();
            let changed = Newcomer::changed(&old, plan.config, plan.devices);
            allowed_early(tx, &old.row.project, Change::Instance(&wanted), changed)?;
            Ok((old, devices))
        })
    };
    // The host is asked outside of the transaction; the rules are applied again inside.
    let (old, devices) = planned.await?;
    super::devices::check_added(core, (&old).into(), &old.devices, &devices).await?;
    let (old, new) = core
        .db
        .write(move |tx| {
            let old = load(tx, &wanted)?;
            let plan = plan_update(tx, &registry, &ids, &old, merge(put_view(&old))?)?;
            instances::update(tx, old.row.id, &plan.change)?;
            allowed(tx, &old.row.project, Change::Instance(&wanted))?;
            Ok((old, load(tx, &wanted)?))
        })
        .await?;
    if let Err(error) = super::apply::changed(core, &old, &new).await {
        super::revert::change(core, &old, &new).await?;
        return Err(error);
    }
    core.tell(permit.caller(), Lifecycle::new("instance-updated", key.url()).in_project(&key.project));
    Ok(())
}

/// Refuses profiles that do not exist.
///
/// # Errors
/// Not found.
pub async fn require_profiles(core: &SharedCore, permit: &Permit, names: Vec<String>) -> Result<()> {
    let project = permit.project().to_string();
    core.db
        .read(move |tx| {
            let owner = projects::owner_of(tx, &project, "profiles")?;
            check_profiles_exist(tx, owner, &names)
        })
        .await
}

fn check_profiles_exist(tx: &Tx<'_>, owner: i64, names: &[String]) -> Result<()> {
    for name in names {
        if profiles::find(tx, owner, name)?.is_none() {
            return Err(Error::not_found("Profile not found"));
        }
    }
    Ok(())
}

/// The fields that a version of the object is made of.
///
/// # Errors
/// Not found.
pub async fn put_fields(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<InstancePut> {
    let key = InstanceKey::new(permit.project(), name);
    Ok(put_view(&core.db.read(move |tx| load(tx, &key)).await?))
}

/// What a change would record, and the devices that would hold then.
pub(super) struct UpdatePlan {
    /// What would be recorded.
    pub(super) change: instances::Change,
    /// The keys that would hold.
    pub(super) config: Config,
    /// The devices that would hold.
    pub(super) devices: Devices,
}

/// The plan of a change, from the facts of this transaction.
pub(super) fn plan_update(
    tx: &Tx<'_>,
    registry: &lxd_device::Registry,
    ids: &Result<HostIds, String>,
    old: &Model,
    put: InstancePut,
) -> Result<UpdatePlan> {
    let project = projects::get(tx, &old.row.project)?;
    let owner = projects::owner_of(tx, &project.name, "profiles")?;
    rules::check_profiles(&put.profiles)?;
    check_profiles_exist(tx, owner, &put.profiles)?;
    let of = profiles::by_names(tx, owner, &put.profiles)?;
    let mut own: Config = put.config.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    rules::check_changed_config(&old.row.config, &own, old.kind())?;
    check_volatile(&project, old.kind(), old.key.name.as_str(), &old.row.config, &own)?;
    let config = expand_config(of.iter().map(|p| &p.config), &own);
    let devices = expand_devices(of.iter().map(|p| &p.devices), &put.devices);
    let facts = facts::device_facts(tx, &project)?;
    rules::check_devices(registry, old.kind(), &put.devices, &facts)
        .map_err(|error| error.context("Invalid devices"))?;
    check_expanded(registry, old, &devices, &facts)?;
    crate::networks::nics::remember(&mut own, &old.devices, &devices);
    crate::networks::nics::check(tx, &old.key, &own, &old.devices, &devices)?;
    super::idmap::assign(tx, &mut own, &config, ids)
        .map_err(|error| error.context("Failed to get ID map"))?;
    let architecture = rules::architecture(&put.architecture)?
        .or_else(|| Architecture::from_id(old.row.architecture))
        .ok_or_else(|| Error::internal("The instance's architecture is unknown"))?;
    if architecture.id() != old.row.architecture {
        rules::check_runs(architecture)?;
    }
    let change = instances::Change {
        architecture: architecture.id(),
        ephemeral: put.ephemeral,
        description: put.description,
        config: own,
        devices: put.devices,
        profiles: of.iter().map(|p| p.id).collect(),
    };
    Ok(UpdatePlan { change, config, devices })
}

/// Checks the devices that would hold, and that the root disk stays where it is.
fn check_expanded(
    registry: &lxd_device::Registry,
    old: &Model,
    devices: &Devices,
    facts: &lxd_device::Facts,
) -> Result<()> {
    if devices.is_empty() {
        // No profile and no device at all: it cannot start, but what it has on its disk stays.
        return Ok(());
    }
    let invalid = |error: Error| error.context("Invalid expanded devices").with_kind(Kind::BadRequest);
    let (pool, _) = rules::root_disk(devices)
        .map_err(|error| invalid(error.context("Failed detecting root disk device")))?;
    if let Ok((present, _)) = rules::root_disk(&old.devices)
        && present != pool
    {
        let text = format!("Cannot update root disk device pool name to {pool:?}");
        return Err(Error::bad_request(text));
    }
    rules::check_devices(registry, old.kind(), devices, facts).map_err(invalid)
}
