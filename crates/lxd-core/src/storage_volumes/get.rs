//! `GET /1.0/storage-pools/{pool}/volumes…` and `…/state`.

use lxd_api::storage_volume::{StorageVolume, StorageVolumeState, StorageVolumeStateUsage};
use lxd_auth::{Caller, Permit};
use lxd_db::{Tx, nodes, storage_pools, storage_volumes};
use lxd_storage::VolumeKind;
use lxd_types::names::ProjectName;
use lxd_types::{Config, Result};

use super::{VolumeKey, content, find, volume_ref};
use crate::{Core, with_project};

/// A volume of a list, with its URL.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its URL, with the project where that is not `default`.
    pub url: String,
    /// The object.
    pub volume: StorageVolume,
}

/// The volumes of a pool that a project sees: all types, or one.
///
/// # Errors
/// "Storage pool not found", "Project not found".
pub async fn list(core: &Core, permit: &Permit, pool: &str, kind: Option<VolumeKind>) -> Result<Vec<Listed>> {
    let (pool, project, caller) = (pool.to_owned(), permit.project().clone(), permit.caller().clone());
    let config = core.server.config();
    core.db
        .read(move |tx| {
            let pool = storage_pools::get(tx, &pool, nodes::LONE)?;
            let mut listed = Vec::new();
            for kind in VolumeKind::ALL.into_iter().filter(|each| kind.is_none_or(|kind| kind == *each)) {
                listed.extend(of_kind(tx, (&config, &caller), &project, &pool, kind)?);
            }
            Ok(listed)
        })
        .await
}

fn of_kind(
    tx: &Tx<'_>,
    asked: (&Config, &Caller),
    project: &ProjectName,
    pool: &storage_pools::Pool,
    kind: VolumeKind,
) -> Result<Vec<Listed>> {
    let filter = storage_volumes::Filter {
        pool_id: Some(pool.id),
        project_id: Some(super::owner(tx, kind, project)?),
        kind: Some(kind.number()),
    };
    let rows = storage_volumes::list(tx, filter)?;
    let mut listed = Vec::new();
    for row in rows {
        let url = format!("{}/volumes/{kind}/{}", crate::storage_pools::url(&pool.name), row.name);
        let owner: ProjectName = row.project.parse()?;
        let mut snapshots = storage_volumes::snapshots(tx, row.id)?;
        snapshots.sort_by(|a, b| a.name.cmp(&b.name));
        let volume = view(tx, asked, row)?;
        let snapshots = snapshots.into_iter().map(|snapshot| Listed {
            url: with_project(&format!("{url}/snapshots/{}", snapshot.name), &owner),
            volume: snapshot_view(&volume, snapshot),
        });
        let snapshots: Vec<Listed> = snapshots.collect();
        listed.push(Listed { url: with_project(&url, &owner), volume });
        listed.extend(snapshots);
    }
    Ok(listed)
}

/// A snapshot as lists of volumes show it.
fn snapshot_view(of: &StorageVolume, snapshot: storage_volumes::Snapshot) -> StorageVolume {
    // That of an instance is used by the instance's snapshot.
    let users = if of.kind == VolumeKind::Custom.as_str() { &[][..] } else { &of.used_by };
    let users = users.iter().map(|url| {
        let (path, query) = url.split_at(url.find('?').unwrap_or(url.len()));
        format!("{path}/snapshots/{}{query}", snapshot.name)
    });
    let users = users.collect();
    StorageVolume {
        name: format!("{}/{}", of.name, snapshot.name),
        description: snapshot.description,
        config: snapshot.config,
        used_by: users,
        ..of.clone()
    }
}

/// One volume.
///
/// # Errors
/// "Storage pool not found", "Storage pool volume not found".
pub async fn get(core: &Core, permit: &Permit, key: &VolumeKey) -> Result<StorageVolume> {
    let (key, caller, config) = (key.clone(), permit.caller().clone(), core.server.config());
    core.db.read(move |tx| view(tx, (&config, &caller), find(tx, &key)?.row)).await
}

/// What a volume takes.
///
/// # Errors
/// "Not supported" where the driver does not count.
pub async fn state(core: &Core, key: &VolumeKey) -> Result<StorageVolumeState> {
    let key = key.clone();
    let found = core.db.read(move |tx| find(tx, &key)).await?;
    let pool = crate::storage_pools::open_row(core, &found.pool).await?;
    let used = pool.usage(&volume_ref(&found.row)?).await?;
    let size = lxd_storage::config::size(&found.row.config)?.unwrap_or(0);
    let total = i64::try_from(size).unwrap_or(i64::MAX);
    Ok(StorageVolumeState { usage: Some(StorageVolumeStateUsage { used, total }) })
}

/// A volume as a caller sees it, on a server of this configuration.
fn view(
    tx: &Tx<'_>,
    (config, caller): (&Config, &Caller),
    row: storage_volumes::Volume,
) -> Result<StorageVolume> {
    let users = storage_volumes::used_by(tx, &row)?;
    let own = crate::server::stores::is_used(config, &row).then(|| "/1.0".to_owned());
    let kind = VolumeKind::from_number(row.kind).map_or("", VolumeKind::as_str);
    Ok(StorageVolume {
        content_type: content(&row).as_str().to_owned(),
        kind: kind.to_owned(),
        used_by: own
            .into_iter()
            .chain(users.iter().filter(|user| caller.sees(user.project())).map(|user| user.url()))
            .collect(),
        location: row.node,
        project: row.project,
        config: row.config,
        description: row.description,
        name: row.name,
        ..StorageVolume::default()
    })
}
