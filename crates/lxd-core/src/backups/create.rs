//! `POST …/backups`.

use std::sync::Arc;

use chrono::Utc;
use lxd_api::Timestamp;
use lxd_auth::Permit;
use lxd_db::backups as rows;
use lxd_instance::backup_yaml::Index;
use lxd_storage::{Pool, SnapshotRef, VolumeRef};
use lxd_task::gate::Guard;
use lxd_task::operation::Operation;
use lxd_task::{OpHandle, OperationSpec};
use lxd_types::compression::Compression;
use lxd_types::names::{BackupName, SnapshotName};
use lxd_types::{Error, Kind, Result, snapshot_pattern};

use super::{BackupKey, Event, Owner, archive};
use crate::journal::Log;
use crate::projects::require_backups;
use crate::{SharedCore, instances, storage_volumes};

/// A wish for a backup.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Its name; one of ours when empty.
    pub name: String,
    /// When it goes.
    pub expires_at: Timestamp,
    /// Without snapshots.
    pub alone: bool,
    /// In the form of the storage driver, where that has one.
    pub optimized: bool,
    /// How it is compressed; as server and project say when empty.
    pub compression: String,
}

/// What a backup is made of; the gate keeps actions away that would change it.
pub(crate) type Held = (Guard, Material);

/// What a backup is made of.
pub(crate) struct Material {
    /// Its pool.
    pub pool: Arc<dyn Pool>,
    /// Its volume.
    pub volume: VolumeRef,
    /// The snapshots that come along, oldest first.
    pub snapshots: Vec<SnapshotName>,
    /// The facts about it.
    pub index: Index,
    /// Somebody may write into it.
    pub live: bool,
}

/// Starts the making of a backup; the answer is its operation.
///
/// # Errors
/// There is no such instance or volume, or name or compression are wrong.
pub async fn create(
    core: &SharedCore,
    permit: &Permit,
    owner: Owner,
    request: Request,
) -> Result<Arc<Operation>> {
    let wanted = owner.clone();
    let taken = core.db.read(move |tx| rows::list(tx, wanted.row(tx)?)).await?;
    if request.name.contains('/') {
        return Err(Error::bad_request("Backup names may not contain slashes"));
    }
    let name: BackupName = match request.name.as_str() {
        "" => {
            let names = taken.iter().map(|backup| backup.name.as_str());
            snapshot_pattern::next_name("backup%d", names, &Utc::now())?.parse()?
        }
        given => given.parse()?,
    };
    let (chosen, setting) = (&request.compression, "backups.compression_algorithm");
    let compression = crate::projects::compression(core, owner.project(), setting, chosen).await?;
    let spec = spec(permit, &owner, &name);
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core.operations.clone().spawn(spec, move |op| async move {
        let key = BackupKey { owner, name: name.to_string() };
        let what = match key.owner {
            Owner::Instance(_) => "Create backup",
            Owner::Volume(_) => "Create volume backup",
        };
        let done = run(&core, &op, &key, &name, &request, compression).await;
        done.map_err(|error| error.context(what))?;
        core.tell(permit.caller(), key.event(&permit, Event::Created));
        Ok(())
    }))
}

fn spec(permit: &Permit, owner: &Owner, name: &BackupName) -> OperationSpec {
    let backup = format!("/1.0/backups/{name}");
    let spec = match owner {
        Owner::Instance(key) => OperationSpec::task("Backing up instance", permit.project().as_str())
            .on("backups", backup)
            .on("instances", key.url())
            .on("containers", format!("/1.0/containers/{}", key.name)),
        Owner::Volume(key) => OperationSpec::task("Creating custom volume backup", permit.project().as_str())
            .on("backups", backup)
            .on("storage_volumes", format!("/1.0/storage_volumes/{}", key.name)),
    };
    spec.by(permit.caller().requestor())
}

async fn run(
    core: &SharedCore,
    op: &OpHandle,
    key: &BackupKey,
    name: &BackupName,
    request: &Request,
    compression: Compression,
) -> Result<()> {
    let (_gate, mut material) = match &key.owner {
        Owner::Instance(owner) => instances::backup::material(core, op, owner, request.alone).await?,
        Owner::Volume(owner) => storage_volumes::backup::material(core, owner, request.alone).await?,
    };
    // Where the driver has no form of its own the backup is portable, as the reference does.
    let optimized = request.optimized && material.pool.streams().is_some();
    (material.index.optimized, material.index.optimized_header) = (optimized, optimized);
    let row = rows::Backup {
        name: key.name.clone(),
        created: Utc::now(),
        expiry: (!request.expires_at.is_never()).then(|| request.expires_at.0.to_utc()),
        alone: request.alone,
        optimized,
        ..rows::Backup::default()
    };
    let _inside = core.backup_store.enter().await;
    core.undoable(async |undo: &mut Log| {
        undo.push(key.owner.forget(name, row.created)).await?;
        record(core, key, row.clone()).await?;
        core.faults.point("backup recorded")?;
        let still = still(core, undo, key, &material).await?;
        let packed = match &still {
            Some(still) if optimized => {
                archive::pack_streams(core, key, name, &material, still, compression).await
            }
            _ => archive::pack(core, key, name, &material, still.as_ref(), compression).await,
        };
        if let Some(snapshot) = still {
            material.pool.delete_snapshot(&snapshot).await?;
        }
        packed?;
        core.faults.point("backup packed")
    })
    .await
}

async fn record(core: &SharedCore, key: &BackupKey, row: rows::Backup) -> Result<()> {
    let owner = key.owner.clone();
    let recorded = core.db.write(move |tx| {
        require_backups(tx, owner.project().as_str())?;
        rows::insert(tx, owner.row(tx)?, &row).map(drop)
    });
    recorded.await.map_err(|error| match error.kind() {
        Kind::Conflict => {
            Error::conflict(format!("Backup \"{}/{}\" already exists", key.owner.name(), key.name))
        }
        _ => error,
    })
}

/// What is in use, and what the driver sends, is packed from a snapshot that is made for this.
async fn still(
    core: &SharedCore,
    undo: &mut Log,
    key: &BackupKey,
    material: &Material,
) -> Result<Option<SnapshotRef>> {
    if !material.live && !material.index.optimized {
        return Ok(None);
    }
    let name: SnapshotName = format!("lxd-backup-{}", uuid::Uuid::new_v4().simple()).parse()?;
    let snapshot = material.volume.snapshot(&name);
    match &key.owner {
        Owner::Instance(owner) => {
            instances::backup::still(core, undo, owner, &material.pool, &snapshot).await?;
        }
        Owner::Volume(owner) => {
            storage_volumes::backup::still(undo, owner, &material.pool, &snapshot).await?;
        }
    }
    Ok(Some(snapshot))
}
