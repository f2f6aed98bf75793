//! What backups of custom volumes are made of ([`crate::backups`]), and volumes that are made of backups.

use std::fs::File;
use std::sync::Arc;

use lxd_api::storage_volume::{StorageVolume, StorageVolumeSnapshot};
use lxd_auth::Permit;
use lxd_db::storage_volumes;
use lxd_instance::backup_yaml::{BackupYaml, Index};
use lxd_storage::{Pool, SnapshotRef, VolumeKind, config, driver_by_name};
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::{PoolName, SnapshotName};
use lxd_types::{Config, Error, Result};

use super::create::{self, CreateVolume, Make};
use super::{VolumeKey, content, enter, find, running_user, volume_ref};
use crate::backups::{self, Held, Material, Received};
use crate::journal::Log;
use crate::{SharedCore, Undo};

/// Holds a volume and gathers what its backup needs.
///
/// # Errors
/// There is no such volume, or another action holds it.
pub(crate) async fn material(core: &SharedCore, key: &VolumeKey, alone: bool) -> Result<Held> {
    let gate = enter(core, [key], "backup").await?;
    let wanted = key.clone();
    let (found, users, rows) = core
        .db
        .read(move |tx| {
            let found = find(tx, &wanted)?;
            let users = storage_volumes::used_by(tx, &found.row)?;
            let rows = if alone { Vec::new() } else { storage_volumes::snapshots(tx, found.row.id)? };
            Ok((found, users, rows))
        })
        .await?;
    let snapshots = rows.iter().map(|row| Ok(row.name.parse()?)).collect::<Result<Vec<SnapshotName>>>()?;
    let index = Index {
        name: found.row.name.clone(),
        backend: found.pool.driver.clone(),
        pool: found.pool.name.clone(),
        snapshots: rows.iter().map(|row| row.name.clone()).collect(),
        kind: VolumeKind::Custom.as_str().to_owned(),
        config: Some(described(&found.row, rows)),
        ..Index::default()
    };
    let pool = crate::storage_pools::open_row(core, &found.pool).await?;
    let live = running_user(core, &users)?.is_some();
    Ok((gate, Material { pool, volume: volume_ref(&found.row)?, snapshots, index, live }))
}

/// What stands in the index.
fn described(row: &storage_volumes::Volume, snapshots: Vec<storage_volumes::Snapshot>) -> BackupYaml {
    let content_type = content(row).as_str().to_owned();
    let snapshot = |snapshot: storage_volumes::Snapshot| StorageVolumeSnapshot {
        description: snapshot.description,
        expires_at: snapshot.expiry.map(Into::into).unwrap_or_default(),
        name: snapshot.name,
        config: snapshot.config,
        content_type: content_type.clone(),
        ..StorageVolumeSnapshot::default()
    };
    BackupYaml {
        volume_snapshots: snapshots.into_iter().map(snapshot).collect(),
        volume: Some(StorageVolume {
            config: row.config.clone(),
            description: row.description.clone(),
            name: row.name.clone(),
            kind: VolumeKind::Custom.as_str().to_owned(),
            location: row.node.clone(),
            content_type,
            project: row.project.clone(),
            ..StorageVolume::default()
        }),
        ..BackupYaml::default()
    }
}

/// Running instances write into a volume on; a snapshot keeps it as it is.
///
/// # Errors
/// The storage fails.
pub(crate) async fn still(
    undo: &mut Log,
    key: &VolumeKey,
    pool: &Arc<dyn Pool>,
    snapshot: &SnapshotRef,
) -> Result<()> {
    undo.push(Undo::ForgetVolumeSnapshot { pool: key.pool.clone(), snapshot: snapshot.clone() }).await?;
    pool.create_snapshot(snapshot).await
}

/// Starts to make a volume of a received backup, under another name where one is given; the answer is the operation.
///
/// # Errors
/// It is no backup of a custom volume, or breaks a rule.
pub async fn import(
    core: &SharedCore,
    permit: &Permit,
    file: File,
    pool: &str,
    name: &str,
) -> Result<Arc<Operation>> {
    let (file, index) = backups::read_index(file).await?;
    let pool: PoolName = pool.parse().map_err(|_| Error::not_found("Storage pool not found"))?;
    let asked = pool.to_string();
    let driver = core
        .db
        .read(move |tx| Ok(lxd_db::storage_pools::get(tx, &asked, lxd_db::nodes::LONE)?.driver))
        .await?;
    let (request, snapshots) = request(&driver, &index, pool, name)?;
    let names = snapshots.iter().map(|row| Ok(row.name.parse()?)).collect::<Result<Vec<_>>>()?;
    let backup = Received::new(file, names, &index);
    backup.check_driver(&driver)?;
    let spec = OperationSpec::task("Restoring custom volume backup", permit.project().as_str())
        .on("storage_volumes", format!("/1.0/storage_volumes/{}", request.name))
        .by(permit.caller().requestor());
    let (work, permit) = (core.clone(), permit.clone());
    Ok(core.operations.spawn(spec, move |op| async move {
        let make = Make::Backup { backup, rows: snapshots, op };
        let made = create::run(&work, &permit, &request, make).await;
        made.map_err(|error| error.context("Create custom volume from backup"))
    }))
}

/// The index as a request for a new volume, and the rows of its snapshots.
fn request(
    driver: &str,
    index: &Index,
    pool: PoolName,
    name: &str,
) -> Result<(CreateVolume, Vec<storage_volumes::Snapshot>)> {
    let content = index.config.clone().unwrap_or_default();
    let volume = content.volume.filter(|_| index.kind == VolumeKind::Custom.as_str());
    let volume = volume.ok_or_else(|| Error::bad_request("The backup does not hold a custom volume"))?;
    let request = CreateVolume {
        pool,
        name: if name.is_empty() { index.name.parse()? } else { name.parse()? },
        content: volume.content_type.parse()?,
        description: volume.description,
        config: without_map(volume.config),
    };
    let described = |name: &String| {
        content.volume_snapshots.iter().find(|one| one.name == *name).cloned().unwrap_or_else(|| {
            StorageVolumeSnapshot { name: name.clone(), ..StorageVolumeSnapshot::default() }
        })
    };
    let reference = request.key(&lxd_types::names::ProjectName::default_project()).volume();
    let mut rows = Vec::new();
    for snapshot in index.snapshots.iter().map(described) {
        let _checked: SnapshotName = snapshot.name.parse()?;
        let config = without_map(snapshot.config);
        config::check_volume(driver_by_name(driver)?, &reference, &config)?;
        rows.push(storage_volumes::Snapshot {
            id: 0,
            volume_id: 0,
            name: snapshot.name,
            description: snapshot.description,
            expiry: (!snapshot.expires_at.is_never()).then(|| snapshot.expires_at.0.to_utc()),
            config,
        });
    }
    Ok((request, rows))
}

/// Owners in an archive are those of no map.
fn without_map(config: Config) -> Config {
    config.into_iter().filter(|(key, _)| !key.starts_with("volatile.idmap")).collect()
}
