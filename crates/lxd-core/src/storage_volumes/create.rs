//! `POST /1.0/storage-pools/{pool}/volumes[/custom]`: a new, empty custom volume.

use std::sync::Arc;

use lxd_api::storage_volume::StorageVolumesPost;
use lxd_auth::Permit;
use lxd_db::{Tx, nodes, projects, storage_pools, storage_volumes};
use lxd_storage::{Content, Origin, Pool, Quota, VolumeKind, VolumeRef, config, driver_by_name, transfer};
use lxd_task::OpHandle;
use lxd_types::names::{PoolName, ProjectName, VolumeName};
use lxd_types::{Config, Error, Kind, Result};

use super::{VolumeKey, enter, find, taken};
use crate::backups::Received;
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::projects::{Change, allowed};
use crate::{Core, SharedCore, Undo};

/// A parsed request for a new volume.
#[derive(Clone, Debug)]
pub struct CreateVolume {
    /// Where.
    pub pool: PoolName,
    /// Its name.
    pub name: VolumeName,
    /// What it holds.
    pub content: Content,
    /// Text of the user.
    pub description: String,
    /// Its own keys.
    pub config: Config,
}

impl CreateVolume {
    /// Checks the form of a request; `kind` is that of the URL, if it names one.
    ///
    /// # Errors
    /// The reference's words.
    pub fn parse(pool: &str, kind: Option<&str>, post: &StorageVolumesPost) -> Result<Self> {
        if post.name.is_empty() {
            return Err(Error::bad_request("No name provided"));
        }
        if post.name.contains('/') {
            return Err(Error::bad_request("Storage volume names may not contain slashes"));
        }
        let kind = kind.unwrap_or(&post.kind);
        if kind.is_empty() {
            return Err(Error::bad_request("You must provide a storage volume type of the storage volume"));
        }
        if kind != VolumeKind::Custom.as_str() {
            let text = format!("Currently not allowed to create storage volumes of type {kind:?}");
            return Err(Error::bad_request(text));
        }
        Ok(Self {
            pool: pool.parse().map_err(|_| Error::not_found("Storage pool not found"))?,
            name: post.name.parse()?,
            content: post.content_type.parse()?,
            description: post.description.clone(),
            config: post.config.clone(),
        })
    }

    pub(super) fn key(&self, project: &ProjectName) -> VolumeKey {
        VolumeKey {
            pool: self.pool.clone(),
            kind: VolumeKind::Custom,
            project: project.clone(),
            name: self.name.clone(),
        }
    }
}

/// What will be recorded and made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub pool: storage_pools::Pool,
    pub row: storage_volumes::NewVolume,
    pub volume: VolumeRef,
    pub size: Option<u64>,
}

/// Makes an empty volume.
///
/// # Errors
/// No such pool, the name is taken, wrong keys.
pub async fn create(core: &SharedCore, permit: &Permit, request: CreateVolume) -> Result<()> {
    let (work, permit) = (core.clone(), permit.clone());
    let make = async move { run(&work, &permit, &request, Make::Empty).await };
    core.run("create storage volume", make).await
}

/// What a new volume begins with.
pub(super) enum Make {
    /// Nothing.
    Empty,
    /// What another volume or a snapshot has.
    Copy {
        /// The pool of that.
        pool: Arc<dyn Pool>,
        /// That.
        origin: Origin,
        /// The snapshots that come along, in the order of their making.
        snapshots: Vec<storage_volumes::Snapshot>,
    },
    /// What a backup has.
    Backup {
        /// That.
        backup: Received,
        /// The snapshots that come along, in the order of their making.
        rows: Vec<storage_volumes::Snapshot>,
        /// The operation that does it.
        op: OpHandle,
    },
}

impl Make {
    fn snapshots(&self) -> Vec<storage_volumes::Snapshot> {
        match self {
            Self::Empty => Vec::new(),
            Self::Copy { snapshots, .. } | Self::Backup { rows: snapshots, .. } => snapshots.clone(),
        }
    }
}

/// The making, inside the volume's gate.
pub(super) async fn run(
    core: &SharedCore,
    permit: &Permit,
    request: &CreateVolume,
    make: Make,
) -> Result<()> {
    let key = request.key(permit.project());
    let busy = |error: Error| if error.kind() == Kind::Busy { taken() } else { error };
    let _gate = enter(core, [&key], "create").await.map_err(busy)?;
    let (wanted, place) = (request.clone(), key.clone());
    let plan = core.db.read(move |tx| plan(tx, &place, &wanted)).await?;
    let pool = crate::storage_pools::open_row(core, &plan.pool).await?;
    // Data without a row is not ours: it is neither used nor, by an undo, removed.
    if pool.exists(&plan.volume).await? {
        return Err(taken());
    }
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::ForgetVolume { pool: key.pool.clone(), volume: plan.volume.clone() }).await?;
        let (wanted, place) = (request.clone(), key.clone());
        let snapshots = make.snapshots();
        // Facts may have changed since the first look: plan again in the transaction that decides.
        core.db
            .write(move |tx| {
                let plan = self::plan(tx, &place, &wanted)?;
                let id = storage_volumes::insert(tx, &plan.row).map_err(conflict)?;
                allowed(tx, plan.volume.project.as_str(), Change::NewVolume)?;
                snapshots.iter().try_for_each(|snapshot| insert_snapshot(tx, id, snapshot))
            })
            .await?;
        core.faults.point("volume recorded")?;
        put(core, &pool, &plan, make).await?;
        core.faults.point("volume made")
    })
    .await?;
    let event = Lifecycle::new("storage-volume-created", key.url()).in_project(&key.project);
    core.tell(permit.caller(), event.with("type", key.kind.as_str()));
    Ok(())
}

/// Makes the volume in its pool.
async fn put(core: &SharedCore, pool: &Arc<dyn Pool>, plan: &Plan, make: Make) -> Result<()> {
    let (from, origin, snapshots) = match make {
        Make::Empty => return pool.create(&plan.volume, plan.size, None).await,
        Make::Copy { pool, origin, snapshots } => (pool, origin, snapshots),
        Make::Backup { backup, op, .. } => {
            return crate::backups::fill(core, &op, &backup, pool, &plan.volume, plan.size).await;
        }
    };
    let names = snapshots.iter().map(|snapshot| Ok(snapshot.name.parse()?)).collect::<Result<Vec<_>>>()?;
    transfer::copy(&from, &origin, pool, &plan.volume, &names).await?;
    if plan.size.is_some() && pool.resize(&plan.volume, plan.size).await? == Quota::NotEnforced {
        tracing::warn!(volume = %plan.volume, "The size is recorded, but this storage pool cannot enforce it");
    }
    Ok(())
}

/// Adds the row of a snapshot that came with its volume.
pub(super) fn insert_snapshot(tx: &Tx<'_>, volume: i64, row: &storage_volumes::Snapshot) -> Result<()> {
    storage_volumes::insert_snapshot(tx, volume, &row.name, &row.description, row.expiry, &row.config)
        .map(drop)
}

fn conflict(error: Error) -> Error {
    if error.kind() == Kind::Conflict { taken() } else { error }
}

/// Decides what a new volume will be, from the facts of one transaction.
pub(super) fn plan(tx: &Tx<'_>, key: &VolumeKey, request: &CreateVolume) -> Result<Plan> {
    let pool = storage_pools::get(tx, key.pool.as_str(), nodes::LONE)?;
    if pool.state != storage_pools::CREATED {
        return Err(Error::unavailable(format!("Storage pool \"{}\" is not ready", key.pool)));
    }
    let project_id = super::owner(tx, key.kind, &key.project)?;
    let owner = project_name(project_id, &key.project);
    if storage_volumes::find(tx, pool.id, project_id, key.kind.number(), key.name.as_str())?.is_some() {
        return Err(taken());
    }
    let volume = VolumeRef::custom(&owner, &request.name).with_content(request.content);
    let config = config::with_pool_defaults(&pool.config, &request.config);
    config::check_volume(driver_by_name(&pool.driver)?, &volume, &config)
        // The reference's status.
        .map_err(|error| error.with_kind(Kind::Internal))?;
    let size = config::size(&config)?;
    let row = storage_volumes::NewVolume {
        name: request.name.to_string(),
        pool_id: pool.id,
        kind: key.kind.number(),
        description: request.description.clone(),
        content: request.content.number(),
        config,
        ..storage_volumes::NewVolume::here(project_id)
    };
    Ok(Plan { pool, row, volume, size })
}

/// The name of the project that owns the volume: that of the request, or `default`.
fn project_name(id: i64, asked: &ProjectName) -> ProjectName {
    if id == projects::DEFAULT { ProjectName::default_project() } else { asked.clone() }
}

/// Removes what an unfinished create made.
///
/// # Errors
/// The pool is not there, files cannot be removed.
pub async fn undo_create(core: &Core, pool: &PoolName, volume: &VolumeRef) -> Result<()> {
    let driver = crate::storage_pools::open(core, pool.as_str()).await?;
    match driver.delete(volume).await {
        Err(error) if error.kind() != Kind::NotFound => return Err(error),
        _ => {}
    }
    let key = VolumeKey::of(pool, volume);
    core.db
        .write(move |tx| match find(tx, &key) {
            Ok(found) => storage_volumes::delete(tx, found.row.id),
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await
}
