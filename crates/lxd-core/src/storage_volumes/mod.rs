//! Storage volumes: one file per action (`/1.0/storage-pools/{pool}/volumes`).

pub(crate) mod backup;
mod copy;
mod create;
mod delete;
mod get;
mod relocate;
mod rename;
pub mod snapshots;
mod update;

use lxd_auth::Permit;
use lxd_db::used_by::User;
use lxd_db::{Tx, nodes, projects, storage_pools, storage_volumes};
use lxd_storage::{Content, VolumeRef};
use lxd_task::gate;
use lxd_types::names::{InstanceName, PoolName, ProjectName, VolumeName};
use lxd_types::{Error, Result};

use crate::Core;
use crate::instances::InstanceKey;

pub use backup::import;
pub use copy::copy;
pub use create::{CreateVolume, create, undo_create};
pub use delete::{delete, remove_leftover};
pub use get::{Listed, get, list, state};
pub use relocate::settle;
pub use rename::{Renamed, rename};
pub use update::update;

pub use lxd_storage::VolumeKind;

/// Names a volume as a request does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VolumeKey {
    /// The pool.
    pub pool: PoolName,
    /// The type.
    pub kind: VolumeKind,
    /// The project of the request.
    pub project: ProjectName,
    /// The name.
    pub name: VolumeName,
}

impl VolumeKey {
    /// The parts of a URL.
    ///
    /// # Errors
    /// A part is no name; such a volume does not exist.
    pub fn parse(permit: &Permit, pool: &str, kind: &str, name: &str) -> Result<Self> {
        let kind = kind.parse()?;
        Ok(Self {
            pool: pool.parse().map_err(|_| Error::not_found("Storage pool not found"))?,
            kind,
            project: permit.project().clone(),
            name: name.parse().map_err(|_| not_found())?,
        })
    }

    /// What the database calls a volume of a driver.
    pub(crate) fn of(pool: &PoolName, volume: &VolumeRef) -> Self {
        Self {
            pool: pool.clone(),
            kind: volume.kind,
            project: volume.project.clone(),
            name: volume.name.clone(),
        }
    }

    /// The volume for its driver, where the key's project owns it; what it holds is not known from this.
    pub(crate) fn volume(&self) -> VolumeRef {
        VolumeRef::new(self.kind, self.project.clone(), self.name.clone())
    }

    /// The URL without project.
    pub fn url(&self) -> String {
        format!("{}/volumes/{}/{}", crate::storage_pools::url(self.pool.as_str()), self.kind, self.name)
    }
}

/// What the database knows of a volume and its pool.
#[derive(Clone, Debug)]
struct Found {
    pool: storage_pools::Pool,
    row: storage_volumes::Volume,
}

impl Found {
    /// The volume for its driver.
    fn volume(&self) -> Result<VolumeRef> {
        volume_ref(&self.row)
    }
}

/// The volume of a row for its driver.
fn volume_ref(row: &storage_volumes::Volume) -> Result<VolumeRef> {
    let kind = VolumeKind::from_number(row.kind)
        .ok_or_else(|| Error::internal(format!("Unknown volume type {} in the database", row.kind)))?;
    Ok(VolumeRef::new(kind, row.project.parse()?, row.name.parse()?).with_content(content(row)))
}

fn content(row: &storage_volumes::Volume) -> Content {
    if row.content == storage_volumes::BLOCK { Content::Block } else { Content::Filesystem }
}

/// The rows of a volume and its pool.
fn find(tx: &Tx<'_>, key: &VolumeKey) -> Result<Found> {
    let pool = storage_pools::get(tx, key.pool.as_str(), nodes::LONE)?;
    let project = owner(tx, key.kind, &key.project)?;
    let row = storage_volumes::get(tx, pool.id, project, key.kind.number(), key.name.as_str())?;
    Ok(Found { pool, row })
}

/// The row's id of a volume.
pub(crate) fn id(tx: &Tx<'_>, key: &VolumeKey) -> Result<i64> {
    Ok(find(tx, key)?.row.id)
}

/// The id of the project that has the volumes of this type for a project.
fn owner(tx: &Tx<'_>, kind: VolumeKind, project: &ProjectName) -> Result<i64> {
    match kind {
        VolumeKind::Custom => projects::owner_of(tx, project.as_str(), "storage.volumes"),
        VolumeKind::Image => Ok(projects::DEFAULT),
        _ => projects::require(tx, project.as_str()),
    }
}

/// Enters the gates of volumes, all or none. A volume has one gate, whichever of the projects that share it is asked: that
/// of the project that owns it.
pub(crate) async fn enter<const N: usize>(
    core: &Core,
    volumes: [&VolumeKey; N],
    action: &'static str,
) -> Result<gate::Guard> {
    let wanted: Vec<VolumeKey> = volumes.into_iter().cloned().collect();
    let keys = core.db.read(move |tx| wanted.iter().map(|key| gate_key(tx, key)).collect::<Result<Vec<_>>>());
    core.gates.enter_all(keys.await?, action).map_err(|taken| Error::busy(taken.to_string()))
}

/// The name of a volume's gate.
fn gate_key(tx: &Tx<'_>, key: &VolumeKey) -> Result<String> {
    Ok(format!("{}?project={}", key.url(), owner(tx, key.kind, &key.project)?))
}

/// The first of the users that is a running instance.
fn running_user(core: &Core, users: &[User]) -> Result<Option<InstanceName>> {
    for user in users {
        let User::Instance { project, name } = user else { continue };
        let key = InstanceKey { project: project.parse()?, name: name.parse()? };
        if core.runtime.is_running(&key) {
            return Ok(Some(key.name));
        }
    }
    Ok(None)
}

/// Refuses what must not be done to a volume in which the server itself keeps something (`storage.images_volume`,
/// `storage.backups_volume`); for a caller that holds the gate.
fn refuse_own(core: &Core, row: &storage_volumes::Volume, refusal: Error) -> Result<()> {
    match crate::server::stores::is_used(&core.server.config(), row) {
        true => Err(refusal),
        false => Ok(()),
    }
}

fn not_found() -> Error {
    Error::not_found("Storage pool volume not found")
}

fn taken() -> Error {
    Error::conflict("Volume by that name already exists")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_volume_has_one_gate_however_many_projects_share_it() {
        let dir = tempfile::tempdir().unwrap();
        let db = lxd_db::Db::open(dir.path()).unwrap();
        let key = |project: &str| VolumeKey {
            pool: "p".parse().unwrap(),
            kind: VolumeKind::Custom,
            project: project.parse().unwrap(),
            name: "v".parse().unwrap(),
        };
        let own = lxd_types::Config::from([("features.storage.volumes".to_owned(), "true".to_owned())]);
        db.write(move |tx| {
            projects::insert(tx, "shares", "", &lxd_types::Config::new())?;
            projects::insert(tx, "own", "", &own).map(drop)
        })
        .await
        .unwrap();
        let keys = [key("default"), key("shares"), key("own")];
        let keys = db.read(move |tx| keys.iter().map(|key| gate_key(tx, key)).collect::<Result<Vec<_>>>());
        let keys = keys.await.unwrap();
        assert_eq!(keys[0], keys[1]);
        assert_ne!(keys[0], keys[2]);
    }
}
