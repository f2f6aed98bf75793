//! What was found, as rows: the rules of a request hold for each instance, and those of its project.

use chrono::Utc;
use lxd_api::Timestamp;
use lxd_api::instance::InstanceSnapshot;
use lxd_db::{Tx, instances, networks, nodes, profiles, projects, snapshots, storage_pools, storage_volumes};
use lxd_device::Registry;
use lxd_instance::{expand_config, expand_devices};
use lxd_storage::VolumeKind;
use lxd_types::arch::Architecture;
use lxd_types::{Config, ConfigExt, DeviceExt, Devices, Error, InstanceKind, Result};

use super::scan::{Described, Looked, Scan, Unknown};
use super::shift;
use crate::SharedCore;
use crate::instances::{HostIds, check_recovered, device_facts, idmap};
use crate::projects::{Change, allowed};

/// What has to be made by the user before, in the words of the reference; empty when all can be recorded.
///
/// # Errors
/// A rule forbids an instance, or there is one of its name on another pool.
pub fn missing(tx: &Tx<'_>, rules: &Rules) -> Result<Vec<String>> {
    let scan = &rules.scan;
    let mut missing = Missing { scan, found: Vec::new() };
    for unknown in scan.pools.iter().flat_map(|pool| &pool.volumes) {
        missing.look(tx, unknown)?;
    }
    if missing.found.is_empty() {
        let described =
            scan.pools.iter().flat_map(|pool| &pool.volumes).filter_map(|one| one.instance.as_ref());
        for one in described {
            rules.plan(tx, one)?;
        }
    }
    Ok(missing.found)
}

/// What the rows of instances depend on, beside the database.
pub struct Rules {
    registry: Registry,
    ids: Result<HostIds, String>,
    scan: Scan,
}

impl Rules {
    /// For what was found.
    pub fn of(core: &SharedCore, scan: &Scan) -> Self {
        Self { registry: core.device_registry(), ids: core.host_ids.clone(), scan: scan.clone() }
    }

    /// The row of an instance, after all rules were asked.
    fn plan(&self, tx: &Tx<'_>, one: &Described) -> Result<instances::NewInstance> {
        self.row(tx, one).map_err(|error| {
            let (name, project) = (one.key.name.as_str(), one.key.project.as_str());
            error.context(format!("Failed recovering instance {name:?} in project {project:?}"))
        })
    }

    fn row(&self, tx: &Tx<'_>, one: &Described) -> Result<instances::NewInstance> {
        let key = &one.key;
        let instance = one.file.container.as_ref().ok_or_else(|| Error::internal("Nothing is described"))?;
        let project = projects::get(tx, key.project.as_str())?;
        if instances::find(tx, project.id, key.name.as_str())?.is_some() {
            return Err(Error::conflict("An instance of this name exists: rename it first"));
        }
        let owner = projects::owner_of(tx, &project.name, "profiles")?;
        let of = profiles::by_names(tx, owner, &instance.profiles)?;
        let mut own = instance.config.clone();
        own.retain(|_, value| !value.is_empty());
        let config = expand_config(of.iter().map(|profile| &profile.config), &own);
        let expand = |own: &Devices| expand_devices(of.iter().map(|profile| &profile.devices), own);
        let own_devices =
            with_root(&instance.devices, &expand(&instance.devices), &instance.expanded_devices);
        let devices = expand(&own_devices);
        let mut facts = device_facts(tx, &project)?;
        facts.pools.extend(self.scan.pools.iter().map(|pool| pool.name().to_owned()));
        check_recovered(&self.registry, &own, &instance.profiles, &own_devices, &devices, &facts)?;
        idmap::assign(tx, &mut own, &config, &self.ids)?;
        own.insert(shift::OWNERS.to_owned(), "[]".to_owned());
        let architecture: Architecture = instance
            .architecture
            .parse()
            .map_err(|_| Error::bad_request(format!("Unknown architecture {:?}", instance.architecture)))?;
        Ok(instances::NewInstance {
            project_id: project.id,
            node_id: nodes::LONE,
            name: key.name.to_string(),
            architecture: architecture.id(),
            kind: InstanceKind::Container.id(),
            ephemeral: instance.ephemeral,
            created: time(instance.created_at).unwrap_or_else(Utc::now),
            stateful: instance.stateful,
            last_used: time(instance.last_used_at),
            description: instance.description.clone(),
            config: own,
            devices: own_devices,
            profiles: of.iter().map(|profile| profile.id).collect(),
        })
    }
}

struct Missing<'a> {
    scan: &'a Scan,
    found: Vec<String>,
}

impl Missing<'_> {
    fn note(&mut self, text: String) {
        if !self.found.contains(&text) {
            self.found.push(text);
        }
    }

    fn look(&mut self, tx: &Tx<'_>, unknown: &Unknown) -> Result<()> {
        let project = unknown.volume.project.as_str();
        if projects::find(tx, project)?.is_none() {
            self.note(format!("Project {project:?}"));
            return Ok(());
        }
        let Some(instance) = unknown.instance.as_ref().and_then(|one| one.file.container.as_ref()) else {
            return Ok(());
        };
        let owner = projects::owner_of(tx, project, "profiles")?;
        for name in &instance.profiles {
            if profiles::find(tx, owner, name)?.is_none() {
                self.note(format!("Profile {name:?} in project {project:?}"));
            }
        }
        let networks = projects::owner_of(tx, project, "networks")?;
        let networks = networks::list(tx, Some(networks), nodes::LONE)?;
        let pools = storage_pools::names(tx)?;
        for device in instance.devices.values().chain(instance.expanded_devices.values()) {
            if let Some(name) = device.set("network").filter(|_| device.kind() == "nic")
                && !networks.iter().any(|network| network.name == name)
            {
                self.note(format!("Network {name:?} in project {project:?}"));
            }
            if let Some(name) = device.set("pool").filter(|_| device.kind() == "disk")
                && !pools.iter().any(|pool| pool == name)
                && !self.scan.pools.iter().any(|pool| pool.name() == name)
            {
                self.note(format!("Storage pool {name:?}"));
            }
        }
        Ok(())
    }
}

/// The devices of an instance, with the root disk that it had where its profiles have none (any more).
fn with_root(own: &Devices, present: &Devices, before: &Devices) -> Devices {
    let mut own = own.clone();
    if !present.values().any(DeviceExt::is_root_disk)
        && let Some((name, root)) = before.iter().find(|(_, device)| device.is_root_disk())
    {
        own.insert(name.clone(), root.clone());
    }
    own
}

fn time(at: Timestamp) -> Option<chrono::DateTime<Utc>> {
    (!at.is_never()).then(|| at.0.to_utc())
}

/// Records everything, in one transaction.
///
/// # Errors
/// Somebody else was faster, or a project forbids it.
pub async fn all(core: &SharedCore, scan: &Scan) -> Result<()> {
    let rules = Rules::of(core, scan);
    core.db
        .write(move |tx| {
            let mut pools = Vec::new();
            for pool in &rules.scan.pools {
                pools.push(pool_id(tx, pool)?);
            }
            for (pool, id) in rules.scan.pools.iter().zip(pools) {
                for unknown in &pool.volumes {
                    record(tx, &rules, id, unknown)?;
                }
            }
            Ok(())
        })
        .await
}

fn pool_id(tx: &Tx<'_>, pool: &Looked) -> Result<i64> {
    if let Some(id) = pool.id {
        return Ok(id);
    }
    let (name, driver) = (pool.name(), pool.driver.as_str());
    let config = &pool.spec.config;
    storage_pools::insert(tx, nodes::LONE, name, driver, &pool.description, config, storage_pools::CREATED)
}

fn record(tx: &Tx<'_>, rules: &Rules, pool_id: i64, unknown: &Unknown) -> Result<()> {
    let project = unknown.volume.project.as_str();
    let project_id = projects::require(tx, project)?;
    let Some(one) = &unknown.instance else {
        let new = storage_volumes::NewVolume {
            name: unknown.volume.name.to_string(),
            pool_id,
            kind: VolumeKind::Custom.number(),
            content: unknown.volume.content.number(),
            ..storage_volumes::NewVolume::here(project_id)
        };
        let volume = storage_volumes::insert(tx, &new)?;
        for name in &unknown.snapshots {
            storage_volumes::insert_snapshot(tx, volume, name.as_str(), "", None, &Config::new())?;
        }
        return allowed(tx, project, Change::NewVolume);
    };
    let row = rules.plan(tx, one)?;
    let instance = instances::insert(tx, &row)?;
    allowed(tx, project, Change::NewInstance(&one.key))?;
    let of = one.file.volume.clone().unwrap_or_default();
    let new = storage_volumes::NewVolume {
        name: row.name,
        pool_id,
        kind: VolumeKind::Container.number(),
        description: of.description,
        config: of.config,
        ..storage_volumes::NewVolume::here(project_id)
    };
    let volume = storage_volumes::insert(tx, &new)?;
    for snapshot in &one.file.snapshots {
        record_snapshot(tx, one, snapshot, instance, volume)?;
    }
    Ok(())
}

fn record_snapshot(
    tx: &Tx<'_>,
    one: &Described,
    snapshot: &InstanceSnapshot,
    instance: i64,
    volume: i64,
) -> Result<()> {
    let mut config = snapshot.config.clone();
    config.insert(shift::OWNERS.to_owned(), "[]".to_owned());
    let new = snapshots::Snapshot {
        instance_id: instance,
        name: snapshot.name.clone(),
        created: time(snapshot.created_at).unwrap_or_else(Utc::now),
        stateful: snapshot.stateful,
        expiry: time(snapshot.expires_at),
        config,
        devices: snapshot.devices.clone(),
        ..snapshots::Snapshot::default()
    };
    snapshots::insert(tx, &new)?;
    let of = one.file.volume_snapshots.iter().find(|of| of.name == snapshot.name);
    let of = of.cloned().unwrap_or_default();
    storage_volumes::insert_snapshot(tx, volume, &new.name, &of.description, new.expiry, &of.config)?;
    Ok(())
}
