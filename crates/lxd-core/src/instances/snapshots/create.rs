//! `POST /1.0/instances/{name}/snapshots`.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use lxd_api::StatusCode;
use lxd_api::instance::InstanceSnapshotsPost;
use lxd_auth::Permit;
use lxd_container::Running;
use lxd_db::{snapshots, storage_volumes};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::{InstanceName, SnapshotName};
use lxd_types::{ConfigExt, Error, Expiry, Kind, Result, snapshot_pattern};

use super::super::{InstanceKey, Model, files, load};
use super::{SnapshotKey, enter, pool_of, volume_row};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::require_snapshots;
use crate::{SharedCore, Undo};

/// Where the program is that stores the state of processes.
const CRIU: [&str; 3] = ["/usr/sbin/criu", "/usr/local/sbin/criu", "/usr/bin/criu"];

/// Starts the making of a snapshot; the answer is its operation.
///
/// # Errors
/// There is no such instance, or the name has a slash.
pub async fn create(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    post: InstanceSnapshotsPost,
) -> Result<Arc<Operation>> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    core.db.read(move |tx| load(tx, &wanted)).await?;
    if post.name.contains('/') {
        return Err(Error::bad_request("Invalid snapshot name: Cannot contain \"/\""));
    }
    let spec = OperationSpec::task("Snapshotting instance", key.project.as_str())
        .on("instances", key.url())
        .on("containers", format!("/1.0/containers/{}", key.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |_| async move {
        let _gate = enter(&core, &key, "snapshot")?;
        take_held(&core, &permit, &key, post).await.map(drop)
    }))
}

/// Makes a snapshot; the caller holds the gate. Its name comes from the pattern where the request has none.
///
/// # Errors
/// The name is taken or wrong, or the storage fails; nothing is left then.
pub(super) async fn take_held(
    core: &SharedCore,
    permit: &Permit,
    key: &InstanceKey,
    post: InstanceSnapshotsPost,
) -> Result<SnapshotName> {
    let wanted = key.clone();
    let (model, taken) = core
        .db
        .read(move |tx| {
            let model = load(tx, &wanted)?;
            let taken: Vec<String> =
                snapshots::list(tx, model.row.id)?.into_iter().map(|one| one.name).collect();
            Ok((model, taken))
        })
        .await?;
    if post.stateful {
        return Err(stateful(core, key));
    }
    let now = Utc::now();
    let name = match post.name.as_str() {
        "" => {
            let pattern = model.config.value("snapshots.pattern");
            snapshot_pattern::next_name(pattern, taken.iter().map(String::as_str), &chrono::Local::now())?
        }
        given => given.to_owned(),
    };
    let failed = |error: Error| error.context(format!("Failed creating instance snapshot record {name:?}"));
    let parsed: SnapshotName = name.parse().map_err(|error| failed(Error::from(error)))?;
    if taken.contains(&name) {
        return Err(failed(conflict()));
    }
    let expiry = match post.expires_at {
        Some(given) => (!given.is_never()).then(|| given.0.to_utc()),
        None => model.config.value("snapshots.expiry").parse::<Expiry>()?.after(now),
    };
    let snapshot = SnapshotKey { instance: key.clone(), name: name.clone() };
    make(core, &model, &snapshot, now, expiry).await.map_err(|error| match error.kind() {
        Kind::Conflict => failed(conflict()),
        _ => error,
    })?;
    let event = Lifecycle::new("instance-snapshot-created", snapshot.url()).in_project(&key.project);
    core.tell(permit.caller(), event);
    Ok(parsed)
}

/// Rows, then files; all or nothing.
async fn make(
    core: &SharedCore,
    model: &Model,
    key: &SnapshotKey,
    created: DateTime<Utc>,
    expiry: Option<DateTime<Utc>>,
) -> Result<()> {
    // What the snapshot holds says of itself what it is.
    super::super::backup_yaml::renew_now(core, model.row.id).await?;
    let pool = pool_of(core, &key.instance).await?;
    let volume = key.volume()?;
    let entry = core.runtime.get(&key.instance).filter(|entry| entry.status == StatusCode::RUNNING);
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::CreateSnapshot {
            project: key.instance.project.clone(),
            instance: key.instance.name.clone(),
            name: volume.name.clone(),
            created,
            thaw: entry.is_some(),
        })
        .await?;
        record(core, model, key, created, expiry).await?;
        core.faults.point("snapshot recorded")?;
        let running = entry.as_ref().map(|entry| &entry.running);
        frozen(core, running, async || pool.create_snapshot(&volume).await).await?;
        core.faults.point("snapshot made")?;
        files::link_snapshots(core, &key.instance).await
    })
    .await
}

/// Does something while the processes of a running instance stand still.
pub(in crate::instances) async fn frozen<T>(
    core: &SharedCore,
    running: Option<&Running>,
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let Some(running) = running else { return work().await };
    let containers = core.containers()?;
    containers.freeze(running).await?;
    let done = work().await;
    // It may have ended meanwhile.
    match containers.unfreeze(running).await {
        Err(error) if running.alive() => done.and(Err(error)),
        _ => done,
    }
}

async fn record(
    core: &SharedCore,
    model: &Model,
    key: &SnapshotKey,
    created: DateTime<Utc>,
    expiry: Option<DateTime<Utc>>,
) -> Result<()> {
    let (wanted, name, id) = (key.instance.clone(), key.name.clone(), model.row.id);
    core.db
        .write(move |tx| {
            let row = load(tx, &wanted)?.row;
            if row.id != id {
                return Err(Error::not_found("Instance not found"));
            }
            require_snapshots(tx, &row.project)?;
            let volume = volume_row(tx, &row)?;
            let new = snapshots::Snapshot {
                instance_id: id,
                name: name.clone(),
                created,
                expiry,
                description: String::new(),
                config: row.config,
                devices: row.devices,
                ..snapshots::Snapshot::default()
            };
            snapshots::insert(tx, &new)?;
            storage_volumes::insert_snapshot(
                tx,
                volume.id,
                &name,
                &volume.description,
                expiry,
                &volume.config,
            )
            .map(drop)
        })
        .await
}

fn conflict() -> Error {
    Error::conflict("This \"instances_snapshots\" entry already exists")
        .context("Add snapshot info to the database")
}

/// Why there is no snapshot with the run-time state.
fn stateful(core: &SharedCore, key: &InstanceKey) -> Error {
    let why = match core.runtime.is_running(key) {
        false => "The instance isn't running",
        true if !CRIU.iter().any(|path| Path::new(path).exists()) => "CRIU isn't installed",
        true => "Keeping the run-time state is not supported yet by this server",
    };
    Error::bad_request(format!("Unable to create a stateful snapshot. {why}"))
}
