//! Copies of instances and of their snapshots inside this server: what they take over, their files, refreshing them.

use std::sync::Arc;
use std::time::Duration;

use lxd_api::StatusCode;
use lxd_api::instance::{InstanceSource, InstancesPost};
use lxd_auth::{Level, Permit};
use lxd_db::{Tx, snapshots as rows, storage_volumes};
use lxd_storage::{Origin, Pool, VolumeRef, transfer};
use lxd_task::OpHandle;
use lxd_task::gate::Guard;
use lxd_types::names::{InstanceName, ProjectName, SnapshotName};
use lxd_types::{Config, DeviceExt, Devices, Error, Kind, Result};

use super::create::CreatePlan;
use super::snapshots::{self, SnapshotKey};
use super::{InstanceKey, Model, files, load};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Time between two tries while another copy is made of the same instance.
const TURN: Duration = Duration::from_millis(50);

/// What is copied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CopyOf {
    /// The instance.
    pub instance: InstanceKey,
    /// One of its snapshots, instead of the instance itself.
    pub snapshot: Option<SnapshotName>,
    /// Its snapshots come along.
    pub with_snapshots: bool,
    /// One that exists already is made equal.
    pub refresh: bool,
}

impl CopyOf {
    /// The form of the request.
    ///
    /// # Errors
    /// It names no instance.
    pub fn parse(source: &InstanceSource, project: &ProjectName) -> Result<Self> {
        if source.source.is_empty() {
            return Err(Error::bad_request("Must specify a source instance"));
        }
        let (instance, snapshot) = match source.source.split_once('/') {
            Some((instance, snapshot)) => (instance, Some(snapshot.parse()?)),
            None => (source.source.as_str(), None),
        };
        let project = if source.project.is_empty() { project.clone() } else { source.project.parse()? };
        let name: InstanceName = instance.parse()?;
        Ok(Self {
            instance: InstanceKey { project, name },
            with_snapshots: snapshot.is_none() && !source.instance_only && !source.container_only,
            snapshot,
            refresh: source.refresh,
        })
    }

    /// `/1.0/instances/NAME` or `/1.0/instances/NAME/SNAPSHOT`, as operations name it.
    pub fn resource(&self, collection: &str) -> String {
        let url = format!("/1.0/{collection}/{}", self.instance.name);
        self.snapshot.as_ref().map_or(url.clone(), |snapshot| format!("{url}/{snapshot}"))
    }

    fn volume(&self) -> VolumeRef {
        VolumeRef::container(&self.instance.project, &self.instance.name)
    }

    fn origin(&self) -> Origin {
        match &self.snapshot {
            Some(name) => Origin::Snapshot(self.volume().snapshot(name)),
            None => Origin::Volume(self.volume()),
        }
    }
}

/// Completes a request with what the origin has: keys, devices, profiles, architecture; the request's own come first.
///
/// # Errors
/// There is no such instance or snapshot, or the caller may not see it.
pub async fn complete(
    core: &SharedCore,
    permit: &Permit,
    copy: &CopyOf,
    mut post: InstancesPost,
) -> Result<InstancesPost> {
    if copy.instance.project != *permit.project() {
        lxd_auth::authorize(permit.caller(), &copy.instance.project, Level::View)?;
    }
    let wanted = copy.clone();
    let (model, config, devices) = core.db.read(move |tx| origin(tx, &wanted)).await?;
    let mut all: Config = config.into_iter().filter(|(key, _)| is_inherited(key)).collect();
    all.extend(post.config);
    post.config = all;
    let mut all = devices;
    all.extend(post.devices);
    post.devices = all;
    post.profiles = post.profiles.or(Some(model.row.profiles.clone()));
    if post.architecture.is_empty() {
        lxd_db::architecture::name(model.row.architecture).clone_into(&mut post.architecture);
    }
    Ok(post)
}

/// The instance, and the keys and devices of what is copied of it.
fn origin(tx: &Tx<'_>, copy: &CopyOf) -> Result<(Model, Config, Devices)> {
    let (project, name) = (copy.instance.project.as_str(), copy.instance.name.as_str());
    let failed =
        |error: Error| error.context(format!("Failed to fetch instance {name:?} in project {project:?}"));
    match &copy.snapshot {
        None => {
            let model = load(tx, &copy.instance).map_err(failed)?;
            let (config, devices) = (model.row.config.clone(), model.row.devices.clone());
            Ok((model, config, devices))
        }
        Some(name) => {
            let key = SnapshotKey { instance: copy.instance.clone(), name: name.to_string() };
            let (model, snapshot) = snapshots::find(tx, &key)?;
            Ok((model, snapshot.config, snapshot.devices))
        }
    }
}

/// The architecture of what is copied.
///
/// # Errors
/// There is no such instance or snapshot.
pub(crate) fn architecture_of(tx: &Tx<'_>, copy: &CopyOf) -> Result<String> {
    let model = load(tx, &copy.instance)?;
    if let Some(name) = &copy.snapshot {
        let key = SnapshotKey { instance: copy.instance.clone(), name: name.to_string() };
        snapshots::find(tx, &key)?;
    }
    Ok(lxd_db::architecture::name(model.row.architecture).to_owned())
}

/// The files of what is copied, and their pool.
///
/// # Errors
/// The pool cannot be used.
pub(crate) async fn origin_of(core: &SharedCore, copy: &CopyOf) -> Result<(Arc<dyn Pool>, Origin)> {
    Ok((snapshots::pool_of(core, &copy.instance).await?, copy.origin()))
}

/// Keys that are not of one instance alone.
fn is_inherited(key: &str) -> bool {
    !key.starts_with("volatile.") || matches!(key, "volatile.base_image" | "volatile.last_state.idmap")
}

/// Holds the gate of the origin, so that it is not changed meanwhile. Copies of one instance wait for each other.
///
/// # Errors
/// It is busy with something else, or the operation was cancelled.
pub async fn hold(core: &SharedCore, op: &OpHandle, copy: &CopyOf) -> Result<Guard> {
    loop {
        match core.gates.enter(copy.instance.to_string(), "copy") {
            Ok(gate) => return Ok(gate),
            Err(taken) if taken.action == "copy" => {
                op.check()?;
                tokio::time::sleep(TURN).await;
            }
            Err(taken) => return Err(Error::from(taken).context("Failed to create instance copy operation")),
        }
    }
}

/// Records the snapshots that come along. Where the copy is on another pool, so are they.
///
/// # Errors
/// A failure of the database.
pub fn record_snapshots(
    tx: &Tx<'_>,
    copy: &CopyOf,
    plan: &CreatePlan,
    instance: i64,
    volume: i64,
) -> Result<()> {
    if !copy.with_snapshots {
        return Ok(());
    }
    let source = load(tx, &copy.instance)?;
    for snapshot in rows::list(tx, source.row.id)? {
        insert(tx, &snapshot, &plan.row.devices, instance, volume)?;
    }
    Ok(())
}

/// Records a copy of a snapshot for an instance with these devices of its own.
fn insert(tx: &Tx<'_>, of: &rows::Snapshot, own: &Devices, instance: i64, volume: i64) -> Result<()> {
    let mut new = rows::Snapshot { instance_id: instance, stateful: false, ..of.clone() };
    with_root(&mut new.devices, own);
    rows::insert(tx, &new)?;
    storage_volumes::insert_snapshot(tx, volume, &new.name, &new.description, new.expiry, &Config::new())
        .map(drop)
}

/// Gives the devices of a snapshot the root disk that its instance has of its own: a snapshot is where its instance is.
pub(super) fn with_root(devices: &mut Devices, own: &Devices) {
    let Some((name, root)) = own.iter().find(|(_, device)| device.is_root_disk()) else { return };
    devices.retain(|_, device| !device.is_root_disk());
    devices.insert(name.clone(), root.clone());
}

/// Copies the files: the volume and the snapshots that were recorded. A running origin stands still meanwhile.
///
/// # Errors
/// The storage fails; nothing is left then.
pub async fn copy_files(
    core: &SharedCore,
    undo: &mut Log,
    copy: &CopyOf,
    key: &InstanceKey,
    plan: &CreatePlan,
) -> Result<()> {
    let wanted = key.clone();
    let names = core.db.read(move |tx| names(&rows::list(tx, load(tx, &wanted)?.row.id)?)).await?;
    let source = snapshots::pool_of(core, &copy.instance).await?;
    let target = crate::storage_pools::open(core, &plan.pool).await?;
    let (from, to) = (copy.origin(), VolumeRef::container(&key.project, &key.name));
    still(core, undo, copy, async || transfer::copy(&source, &from, &target, &to, &names).await).await?;
    if plan.size.is_some() {
        target.resize(&to, plan.size).await?;
    }
    files::link_snapshots(core, key).await
}

fn names(snapshots: &[rows::Snapshot]) -> Result<Vec<SnapshotName>> {
    snapshots.iter().map(|one| one.name.parse().map_err(Error::from)).collect()
}

/// Does something while the origin's processes stand still; they go on even after a kill of the daemon.
async fn still<T>(
    core: &SharedCore,
    undo: &mut Log,
    copy: &CopyOf,
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let entry = core.runtime.get(&copy.instance);
    let entry = entry.filter(|entry| copy.snapshot.is_none() && entry.status == StatusCode::RUNNING);
    if entry.is_some() {
        let InstanceKey { project, name } = copy.instance.clone();
        undo.push(Undo::Thaw { project, name }).await?;
    }
    snapshots::frozen(core, entry.as_ref().map(|entry| &entry.running), work).await
}

/// Lets an instance go on that was stopped for a copy.
pub(crate) async fn thaw(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let Some(entry) = core.runtime.get(key) else { return Ok(()) };
    let containers = core.containers()?;
    if containers.frozen(&entry.running) {
        containers.unfreeze(&entry.running).await?;
        core.runtime.set_status(key, StatusCode::RUNNING);
    }
    Ok(())
}

/// Tells of the snapshots that came with a new instance.
pub async fn tell_snapshots(core: &SharedCore, permit: &Permit, key: &InstanceKey) {
    let wanted = key.clone();
    let found = core.db.read(move |tx| rows::list(tx, load(tx, &wanted)?.row.id)).await.unwrap_or_default();
    for snapshot in found {
        let url = format!("{}/snapshots/{}", key.url(), snapshot.name);
        core.tell(permit.caller(), Lifecycle::new("instance-snapshot-created", url).in_project(&key.project));
    }
}

/// Whether an instance exists.
///
/// # Errors
/// A failure of the database.
pub async fn exists(core: &SharedCore, key: &InstanceKey) -> Result<bool> {
    let wanted = key.clone();
    match core.db.read(move |tx| load(tx, &wanted).map(drop)).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes files and snapshots of an existing instance those of the origin; only what differs is written. Its
/// configuration stays.
///
/// # Errors
/// It runs, one of both is busy, or the storage fails: then it is made good by refreshing again.
pub async fn refresh(
    core: &SharedCore,
    permit: &Permit,
    op: &OpHandle,
    key: &InstanceKey,
    copy: &CopyOf,
) -> Result<()> {
    if *key == copy.instance {
        return Err(Error::bad_request("An instance cannot be refreshed from itself"));
    }
    let _gate = core.gates.enter(key.to_string(), "refresh")?;
    let _source = hold(core, op, copy).await?;
    if core.runtime.is_running(key) {
        return Err(Error::bad_request("Cannot refresh a running instance"));
    }
    let missing =
        if copy.with_snapshots { adopt_snapshots(core, permit, key, copy).await? } else { Vec::new() };
    op.check()?;
    let source = snapshots::pool_of(core, &copy.instance).await?;
    let target = snapshots::pool_of(core, key).await?;
    let (from, to) = (copy.origin(), VolumeRef::container(&key.project, &key.name));
    core.undoable(async |undo: &mut Log| {
        for one in &missing {
            undo.push(Undo::CreateSnapshot {
                project: key.project.clone(),
                instance: key.name.clone(),
                name: one.name.parse()?,
                created: one.created,
                thaw: false,
            })
            .await?;
        }
        let (wanted, new) = (key.clone(), missing.clone());
        core.db
            .write(move |tx| {
                let model = load(tx, &wanted)?;
                let volume = snapshots::volume_row(tx, &model.row)?;
                new.iter().try_for_each(|one| insert(tx, one, &model.row.devices, model.row.id, volume.id))
            })
            .await?;
        let names = names(&missing)?;
        still(core, undo, copy, async || transfer::refresh(&source, &from, &target, &to, &names).await)
            .await?;
        files::link_snapshots(core, key).await
    })
    .await?;
    for one in &missing {
        let url = format!("{}/snapshots/{}", key.url(), one.name);
        core.tell(permit.caller(), Lifecycle::new("instance-snapshot-created", url).in_project(&key.project));
    }
    Ok(())
}

/// Removes the snapshots that the origin does not have, and answers those that are missing, oldest first.
async fn adopt_snapshots(
    core: &SharedCore,
    permit: &Permit,
    key: &InstanceKey,
    copy: &CopyOf,
) -> Result<Vec<rows::Snapshot>> {
    let (here, there) = (key.clone(), copy.instance.clone());
    let read = core.db.read(move |tx| {
        let of = |key| rows::list(tx, load(tx, key)?.row.id);
        Ok((of(&here)?, of(&there)?))
    });
    let (present, wanted) = read.await?;
    let same = |a: &rows::Snapshot, b: &rows::Snapshot| a.name == b.name && a.created == b.created;
    for extra in present.iter().filter(|one| !wanted.iter().any(|other| same(one, other))) {
        let gone = SnapshotKey { instance: key.clone(), name: extra.name.clone() };
        snapshots::delete_held(core, permit, &gone).await?;
    }
    Ok(wanted.into_iter().filter(|one| !present.iter().any(|other| same(one, other))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn only_what_is_common_is_inherited() {
        for key in ["user.a", "limits.cpu", "volatile.base_image", "volatile.last_state.idmap"] {
            assert!(is_inherited(key), "{key}");
        }
        for key in
            ["volatile.uuid", "volatile.eth0.hwaddr", "volatile.idmap.next", "volatile.last_state.power"]
        {
            assert!(!is_inherited(key), "{key}");
        }
    }

    #[test]
    fn sources_are_parsed() {
        let project = ProjectName::default_project();
        let source = |source: &str| InstanceSource { source: source.to_owned(), ..InstanceSource::default() };
        assert!(CopyOf::parse(&source(""), &project).is_err());
        let copy = CopyOf::parse(&source("c1"), &project).unwrap();
        assert!(copy.with_snapshots && copy.snapshot.is_none());
        let copy = CopyOf::parse(&source("c1/s1"), &project).unwrap();
        assert!(!copy.with_snapshots);
        assert_eq!(copy.resource("instances"), "/1.0/instances/c1/s1");
        assert!(CopyOf::parse(&source("c1/../x"), &project).is_err());
    }

    #[test]
    fn snapshots_move_with_their_root() {
        let own: Devices =
            [("root".to_owned(), device(&[("type", "disk"), ("path", "/"), ("pool", "b")]))].into();
        let mut devices: Devices =
            [("r".to_owned(), device(&[("type", "disk"), ("path", "/"), ("pool", "a")]))].into();
        with_root(&mut devices, &own);
        assert_eq!(devices, own);
        let mut inherited = Devices::new();
        with_root(&mut inherited, &own);
        assert_eq!(inherited, own);
        with_root(&mut inherited, &Devices::new());
        assert_eq!(inherited, own);
    }
}
