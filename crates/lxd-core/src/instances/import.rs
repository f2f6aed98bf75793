//! `POST /1.0/instances` with a backup as body: the instance is made again, with its snapshots (manual 3.4.1). The archive is
//! foreign input: its index goes through the same rules as a request, its files are unpacked by the confined helper.

use std::fs::File;
use std::sync::Arc;

use lxd_api::instance::{Instance, InstanceSnapshot, InstancesPost};
use lxd_auth::Permit;
use lxd_db::{Tx, nodes, snapshots as rows, storage_pools, storage_volumes};
use lxd_storage::VolumeRef;
use lxd_task::OpHandle;
use lxd_task::operation::Operation;
use lxd_types::{Config, ConfigExt, DeviceExt, Error, IdMap, Result};

use super::create::{self, CreatePlan};
use super::source::Source;
use super::{InstanceKey, copy};
use crate::SharedCore;
use crate::backups::{self, Owners, Received};

/// The key that holds the map by which owners are shifted on disk.
const OWNERS: &str = "volatile.last_state.idmap";

/// A received backup of an instance.
#[derive(Debug)]
pub struct Backup {
    received: Received,
    snapshots: Vec<InstanceSnapshot>,
}

/// Starts to make the instance of a received backup, under another name or on another pool where these are given; the
/// answer is the operation.
///
/// # Errors
/// It is no backup, breaks a rule, or the instance exists.
pub async fn import(
    core: &SharedCore,
    permit: &Permit,
    file: File,
    name: &str,
    pool: &str,
) -> Result<Arc<Operation>> {
    let (file, index) = backups::read_index(file).await?;
    let content = index.config.clone().unwrap_or_default();
    let instance =
        content.container.ok_or_else(|| Error::bad_request("The backup does not say what it holds"))?;
    if !matches!(instance.kind.as_str(), "" | "container") {
        return Err(Error::not_implemented("Virtual machines are not supported yet by this server"));
    }
    let mut shifted = Owners { whole: owners(&instance.config)?, ..Owners::default() };
    let mut names = Vec::new();
    for snapshot in &content.snapshots {
        shifted.snapshots.push(owners(&snapshot.config)?);
        names.push(snapshot.name.parse()?);
    }
    let received = Received::new(file, names, &index).shifted(shifted)?;
    let post = request(instance, &index.name, name, pool);
    let key = InstanceKey::new(permit.project(), &post.name.parse()?);
    if copy::exists(core, &key).await? {
        return Err(Error::conflict("Cannot restore volume, already exists on target"));
    }
    create::restore(
        core,
        permit,
        post,
        Source::Backup(Arc::new(Backup { received, snapshots: content.snapshots })),
    )
    .await
}

/// The map by which the owners of the files of an instance, or of its snapshot, are shifted on disk.
fn owners(config: &Config) -> Result<IdMap> {
    match config.value(OWNERS) {
        "" => Ok(IdMap::default()),
        text => serde_json::from_str(text)
            .map_err(|error| Error::bad_request(format!("Invalid {} in the backup: {error}", OWNERS))),
    }
}

/// The backup as a request for a new instance.
fn request(instance: Instance, own: &str, name: &str, pool: &str) -> InstancesPost {
    let same_name = name.is_empty() || name == own;
    let mut devices = instance.devices;
    if !pool.is_empty() {
        let root = instance.expanded_devices.iter().find(|(_, device)| device.is_root_disk());
        let (device, mut root) = root.map_or_else(
            || ("root".to_owned(), [("type", "disk"), ("path", "/")].map(owned).into()),
            |(device, root)| (device.clone(), root.clone()),
        );
        root.insert("pool".to_owned(), pool.to_owned());
        devices.insert(device, root);
    }
    InstancesPost {
        name: if name.is_empty() { own.to_owned() } else { name.to_owned() },
        architecture: instance.architecture,
        config: instance.config.into_iter().filter(|(key, _)| is_restored(key, same_name)).collect(),
        devices,
        ephemeral: instance.ephemeral,
        profiles: Some(instance.profiles),
        description: instance.description,
        kind: "container".to_owned(),
        ..InstancesPost::default()
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// An instance that comes back under its name is the same one for cloud-init and for its network.
fn is_restored(key: &str, same_name: bool) -> bool {
    let Some(volatile) = key.strip_prefix("volatile.") else { return true };
    match volatile {
        "base_image" | "apply_template" => true,
        "cloud-init.instance-id" => same_name,
        _ => same_name && volatile.ends_with(".hwaddr"),
    }
}

/// Records the snapshots of the backup.
///
/// # Errors
/// A failure of the database.
pub fn record_snapshots(
    tx: &Tx<'_>,
    backup: &Backup,
    plan: &CreatePlan,
    instance: i64,
    volume: i64,
) -> Result<()> {
    for snapshot in &backup.snapshots {
        let mut devices = snapshot.devices.clone();
        copy::with_root(&mut devices, &plan.row.devices);
        let mut config = snapshot.config.clone();
        config.insert(OWNERS.to_owned(), "[]".to_owned());
        let expiry = (!snapshot.expires_at.is_never()).then(|| snapshot.expires_at.0.to_utc());
        let new = rows::Snapshot {
            instance_id: instance,
            name: snapshot.name.clone(),
            created: snapshot.created_at.0.to_utc(),
            expiry,
            config,
            devices,
            ..rows::Snapshot::default()
        };
        rows::insert(tx, &new)?;
        storage_volumes::insert_snapshot(tx, volume, &new.name, "", expiry, &Config::new())?;
    }
    Ok(())
}

/// Unpacks the snapshots, oldest first, each into the volume of which it is then made, and at last the instance.
///
/// # Errors
/// The archive is damaged or hostile, or the storage fails.
pub async fn fill(
    core: &SharedCore,
    op: &OpHandle,
    backup: &Backup,
    key: &InstanceKey,
    plan: &CreatePlan,
) -> Result<()> {
    let pool = crate::storage_pools::open(core, &plan.pool).await?;
    let volume = VolumeRef::container(&key.project, &key.name);
    let name = plan.pool.clone();
    let row = core.db.read(move |tx| storage_pools::get(tx, &name, nodes::LONE)).await?;
    backup.received.check_driver(&row.driver)?;
    backups::fill(core, op, &backup.received, &pool, &volume, plan.size).await?;
    super::files::link_snapshots(core, key).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_instance::keys::volatile;

    #[test]
    fn another_name_is_another_instance() {
        for key in ["user.a", "volatile.base_image"] {
            assert!(is_restored(key, true) && is_restored(key, false), "{key}");
        }
        for key in ["volatile.eth0.hwaddr", "volatile.cloud-init.instance-id"] {
            assert!(is_restored(key, true) && !is_restored(key, false), "{key}");
        }
        for key in
            ["volatile.uuid", "volatile.idmap.next", "volatile.last_state.power", "volatile.eth0.host_name"]
        {
            assert!(!is_restored(key, true), "{key}");
        }
    }

    #[test]
    fn a_pool_overrides_the_root_disk() {
        let root: Config = [("type", "disk"), ("path", "/"), ("pool", "a")].map(owned).into();
        let instance = Instance {
            expanded_devices: [("disk0".to_owned(), root)].into(),
            profiles: vec!["default".to_owned()],
            ..Instance::default()
        };
        let post = request(instance, "c1", "c2", "b");
        assert_eq!((post.name.as_str(), post.devices["disk0"]["pool"].as_str()), ("c2", "b"));
    }

    #[test]
    fn maps_of_owners_are_read() {
        let config = |value: &str| -> Config { [(OWNERS, value)].map(owned).into() };
        assert!(owners(&config("[]")).unwrap().is_empty() && owners(&Config::new()).unwrap().is_empty());
        let map = IdMap::range(100_000, 65_536).unwrap();
        assert_eq!(owners(&config(&volatile::idmap_text(&map))).unwrap(), map);
        assert!(owners(&config("[{}]")).is_err() && owners(&config("x")).is_err());
    }
}
