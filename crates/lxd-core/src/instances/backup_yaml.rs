//! `backup.yaml` in the root volumes of instances: renewed in the background after each change, so that an instance can
//! be found again from its volume alone. The database notes in the same transaction that the file is stale.

use lxd_api::profile::Profile;
use lxd_api::storage_pool::StoragePool;
use lxd_api::storage_volume::{StorageVolume, StorageVolumeSnapshot};
use lxd_db::{Tx, instances, nodes, profiles, storage_pools, storage_volumes};
use lxd_instance::backup_yaml::{BackupYaml, FILE_MODE, FILE_NAME};
use lxd_storage::{VolumeKind, VolumeRef};
use lxd_types::error::Context;
use lxd_types::{Error, Kind, Result};
use tokio::sync::OwnedMutexGuard;

use super::model::of_row;
use super::{InstanceKey, instance_view};
use crate::SharedCore;

/// What one file is made of.
struct Content {
    key: InstanceKey,
    pool: String,
    file: BackupYaml,
}

/// Renews the files of all instances that changed. One that cannot be written stays stale and is tried again.
///
/// # Errors
/// The database cannot be read or written.
pub async fn renew(core: &SharedCore) -> Result<()> {
    let stale = core.db.read(|tx| instances::stale(tx, nodes::LONE)).await?;
    let mut written = Vec::new();
    for (id, generation) in stale {
        match renew_one(core, id).await {
            Ok(()) => written.push((id, generation)),
            Err(error) => tracing::warn!(instance = id, error = error.chain(), "Failed to renew backup.yaml"),
        }
    }
    if written.is_empty() {
        return Ok(());
    }
    core.db.write(move |tx| instances::clear_stale(tx, &written)).await
}

/// Renews the file of an instance at once: before a snapshot, a copy or a backup.
///
/// # Errors
/// It cannot be written.
pub async fn renew_now(core: &SharedCore, id: i64) -> Result<()> {
    renew_one(core, id).await
}

async fn renew_one(core: &SharedCore, id: i64) -> Result<()> {
    let Some((content, _turn)) = mine(core, id).await? else { return Ok(()) };
    let text = content.file.render()?;
    let pool = crate::storage_pools::open(core, &content.pool).await?;
    let root = pool.mount(&VolumeRef::container(&content.key.project, &content.key.name)).await?;
    tokio::task::spawn_blocking(move || root.dir.write_atomic(FILE_NAME, text.as_bytes(), FILE_MODE))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        .context("Failed to write backup.yaml")
}

/// What the file is made of, with the turn to write it; `None` when there is no instance or volume any more. Whoever
/// removes or renames the volume waits for the turn, so the row is looked at in it, once more where it got another name.
async fn mine(core: &SharedCore, id: i64) -> Result<Option<(Content, OwnedMutexGuard<()>)>> {
    let known = async {
        loop {
            let row = core.db.read(move |tx| instances::by_id(tx, id)).await?;
            let key = InstanceKey { project: row.project.parse()?, name: row.name.parse()? };
            let turn = core.backup_files.wait(&key.to_string()).await;
            match present(core, id).await? {
                Some(content) if content.key != key => {}
                content => return Ok(content.map(|content| (content, turn))),
            }
        }
    };
    match known.await {
        Err(error) if Error::kind(&error) == Kind::NotFound => Ok(None),
        other => other,
    }
}

/// Everything that stands in the file of an instance, as it is now.
///
/// # Errors
/// It has no volume, or there is no such instance.
pub async fn content(core: &SharedCore, id: i64) -> Result<BackupYaml> {
    let content = present(core, id).await?;
    Ok(content.ok_or_else(|| Error::not_found("The instance's root volume is not recorded"))?.file)
}

async fn present(core: &SharedCore, id: i64) -> Result<Option<Content>> {
    let mut content = core.db.read(move |tx| load(tx, id)).await?;
    if let Some(content) = &mut content
        && let Some(instance) = &mut content.file.container
    {
        let status = core.runtime.status(&content.key);
        (instance.status, instance.status_code) = (status.text().to_owned(), status);
    }
    Ok(content)
}

/// Everything that stands in the file; `None` while the instance has no volume.
fn load(tx: &Tx<'_>, id: i64) -> Result<Option<Content>> {
    let row = instances::by_id(tx, id)?;
    let of = profiles::of_instance(tx, id)?;
    let kind = VolumeKind::Container;
    let volumes = storage_volumes::anywhere(tx, row.project_id, kind.number(), &row.name)?;
    let Some(volume) = volumes.into_iter().next() else { return Ok(None) };
    let pool = storage_pools::get(tx, &volume.pool, nodes::LONE)?;
    let model = of_row(row, &of.iter().collect::<Vec<_>>())?;
    let file = BackupYaml {
        container: Some(instance_view(&model, lxd_api::StatusCode::STOPPED)),
        pool: Some(StoragePool {
            config: pool.config,
            description: pool.description,
            name: pool.name.clone(),
            driver: pool.driver,
            status: "Created".to_owned(),
            locations: pool.locations,
            ..StoragePool::default()
        }),
        profiles: of.into_iter().map(profile).collect(),
        snapshots: super::snapshots::views(tx, &model)?,
        volume_snapshots: storage_volumes::snapshots(tx, volume.id)?
            .into_iter()
            .map(volume_snapshot)
            .collect(),
        volume: Some(StorageVolume {
            config: volume.config,
            description: volume.description,
            name: volume.name,
            kind: kind.as_str().to_owned(),
            location: volume.node,
            content_type: "filesystem".to_owned(),
            project: volume.project,
            ..StorageVolume::default()
        }),
    };
    Ok(Some(Content { key: model.key, pool: pool.name, file }))
}

fn volume_snapshot(row: storage_volumes::Snapshot) -> StorageVolumeSnapshot {
    StorageVolumeSnapshot {
        description: row.description,
        expires_at: row.expiry.map(Into::into).unwrap_or_default(),
        name: row.name,
        config: row.config,
        content_type: "filesystem".to_owned(),
        ..StorageVolumeSnapshot::default()
    }
}

fn profile(row: profiles::Profile) -> Profile {
    Profile {
        config: row.config,
        description: row.description,
        devices: row.devices,
        name: row.name,
        ..Profile::default()
    }
}
