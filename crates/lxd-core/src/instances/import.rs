//! `POST /1.0/instances` with a backup as body: the instance is made again, with its snapshots (manual 3.4.1). The archive is
//! foreign input: its index goes through the same rules as a request, its files are unpacked by the confined helper.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use lxd_api::instance::{Instance, InstanceSnapshot, InstancesPost};
use lxd_auth::Permit;
use lxd_db::{Tx, snapshots as rows, storage_volumes};
use lxd_image::read_member;
use lxd_instance::backup_yaml::{self, Index};
use lxd_storage::{Pool, VolumeRef, fill_with};
use lxd_sys::Dir;
use lxd_task::OpHandle;
use lxd_task::operation::Operation;
use lxd_types::helper::{Format, Unpack, UnpackLimits, Unpacked};
use lxd_types::names::SnapshotName;
use lxd_types::{Config, ConfigExt, DeviceExt, Error, IdMap, Kind, Result};
use tokio::io::AsyncWriteExt;

use super::create::{self, CreatePlan};
use super::source::Source;
use super::{InstanceKey, copy};
use crate::SharedCore;

/// The file with the facts about a backup.
const INDEX: &str = "backup/index.yaml";

/// The key that holds the map by which owners are shifted on disk.
const OWNERS: &str = "volatile.last_state.idmap";

/// A received backup.
#[derive(Debug)]
pub struct Backup {
    /// Has no name on disk: it goes with the daemon, however that ends.
    file: File,
    snapshots: Vec<(SnapshotName, InstanceSnapshot)>,
    /// The map by which the host that packed it shifted the owners of the instance's files.
    owners: IdMap,
}

/// Receives a backup.
///
/// # Errors
/// The client went away, or the disk is full.
pub async fn receive(
    core: &SharedCore,
    mut body: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
) -> Result<File> {
    let failed = |error| Error::with_source(Kind::Internal, "Failed to receive the backup", error);
    let folder = core.paths.backups();
    let file = tokio::task::spawn_blocking(move || {
        use lxd_sys::dir::OFlags;
        Dir::open(folder)?.open_raw(".", OFlags::TMPFILE | OFlags::RDWR, 0o600).map(File::from)
    });
    let file = file.await.map_err(|panic| Error::internal(panic.to_string()))?.map_err(failed)?;
    let mut file = tokio::fs::File::from_std(file);
    while let Some(block) = body.next().await {
        file.write_all(&block.map_err(failed)?).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(file.into_std().await)
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
    let (file, index) = tokio::task::spawn_blocking(move || read_index(file))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        // The reference's answer, status included.
        .map_err(|error| error.with_kind(Kind::Internal))?;
    if index.optimized {
        return Err(Error::not_implemented("Backups in the form of a storage driver are not supported yet"));
    }
    let content = index.config.unwrap_or_default();
    let instance =
        content.container.ok_or_else(|| Error::bad_request("The backup does not say what it holds"))?;
    if !matches!(instance.kind.as_str(), "" | "container") {
        return Err(Error::not_implemented("Virtual machines are not supported yet by this server"));
    }
    let owners = owners(&instance.config)?;
    let mut snapshots = Vec::new();
    for snapshot in content.snapshots {
        self::owners(&snapshot.config)?;
        snapshots.push((snapshot.name.parse()?, snapshot));
    }
    let post = request(instance, &index.name, name, pool);
    let key = InstanceKey::new(permit.project(), &post.name.parse()?);
    if copy::exists(core, &key).await? {
        return Err(Error::conflict("Cannot restore volume, already exists on target"));
    }
    create::restore(core, permit, post, Source::Backup(Arc::new(Backup { file, snapshots, owners }))).await
}

/// The facts about a backup.
fn read_index(mut file: File) -> Result<(File, Index)> {
    let rewound = file.seek(SeekFrom::Start(0));
    rewound.map_err(|error| Error::with_source(Kind::Internal, "Failed to read the backup", error))?;
    let text = read_member(&mut file, INDEX, backup_yaml::LIMIT)?;
    let text = text.ok_or_else(|| Error::bad_request(format!("Backup is missing {INDEX:?}")))?;
    Ok((file, lxd_image::parse_yaml(&text)?))
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
    for (name, snapshot) in &backup.snapshots {
        let mut devices = snapshot.devices.clone();
        copy::with_root(&mut devices, &plan.row.devices);
        let mut config = snapshot.config.clone();
        config.insert(OWNERS.to_owned(), "[]".to_owned());
        let expiry = (!snapshot.expires_at.is_never()).then(|| snapshot.expires_at.0.to_utc());
        let new = rows::Snapshot {
            instance_id: instance,
            name: name.to_string(),
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
    let mut made = false;
    for (name, snapshot) in &backup.snapshots {
        let part = Part { from: format!("backup/snapshots/{name}"), owners: owners(&snapshot.config)? };
        replace(core, op, backup, &pool, &volume, part, made).await?;
        pool.create_snapshot(&volume.snapshot(name)).await?;
        made = true;
    }
    let part = Part { from: "backup/container".to_owned(), owners: backup.owners.clone() };
    replace(core, op, backup, &pool, &volume, part, made).await?;
    if plan.size.is_some() {
        pool.resize(&volume, plan.size).await?;
    }
    super::files::link_snapshots(core, key).await
}

/// A part of the archive: its name, and by which map the owners of its files are shifted.
struct Part {
    from: String,
    owners: IdMap,
}

/// Makes a part of the archive the content of the volume, which may be there already.
async fn replace(
    core: &SharedCore,
    op: &OpHandle,
    backup: &Backup,
    pool: &Arc<dyn Pool>,
    volume: &VolumeRef,
    part: Part,
    made: bool,
) -> Result<()> {
    // A descriptor of its own: each reader begins at the beginning.
    let archive = File::open(format!("/proc/self/fd/{}", backup.file.as_raw_fd()))
        .map_err(|error| Error::with_source(Kind::Internal, "Failed to open the backup", error))?;
    if made {
        let mounted = pool.mount(volume).await?;
        let dir = mounted.dir.clone();
        let cleared = tokio::task::spawn_blocking(move || dir.clear());
        cleared
            .await
            .map_err(|panic| Error::internal(panic.to_string()))?
            .map_err(|error| Error::with_source(Kind::Internal, "Failed to clear the volume", error))?;
        let done = unpack(core, op, archive, &mounted.dir, part).await;
        return done.and(pool.unmount(volume).await);
    }
    let (core, op) = (core.clone(), op.clone());
    let fill = fill_with(move |dir: Arc<Dir>| async move { unpack(&core, &op, archive, &dir, part).await });
    pool.create(volume, None, Some(fill)).await
}

async fn unpack(core: &SharedCore, op: &OpHandle, archive: File, target: &Dir, part: Part) -> Result<()> {
    let job = Unpack {
        format: Format::Detect,
        strip: part.from,
        only: Vec::new(),
        stop_early: false,
        owners: part.owners,
        devices: true,
        limits: UnpackLimits::default(),
    };
    let fds = [archive.as_fd(), target.as_fd()];
    let mut helper = core.helper()?.start("unpack", &job, &fds, None).await?;
    // Leaving this function kills the helper: that is how a cancelled operation ends it.
    tokio::select! {
        () = op.cancelled() => op.check(),
        done = helper.answer::<Unpacked>() => match done {
            Ok(unpacked) if unpacked.entries == 0 => Err(Error::bad_request("The backup lacks files")),
            other => other.map(drop).map_err(|error| error.context("Failed to unpack the backup")),
        },
    }
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
