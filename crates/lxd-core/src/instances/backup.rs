//! What backups of instances are made of ([`crate::backups`]).

use std::sync::Arc;

use lxd_api::StatusCode;
use lxd_api::instance::InstanceSource;
use lxd_instance::backup_yaml::Index;
use lxd_storage::{Pool, SnapshotRef, VolumeRef};
use lxd_task::OpHandle;
use lxd_types::Result;

use super::copy::{self, CopyOf};
use super::{InstanceKey, backup_yaml, load, snapshots};
use crate::backups::{Held, Material};
use crate::journal::Log;
use crate::{SharedCore, Undo};

/// Holds an instance and gathers what its backup needs.
///
/// # Errors
/// There is no such instance, or another action holds it.
pub(crate) async fn material(
    core: &SharedCore,
    op: &OpHandle,
    key: &InstanceKey,
    alone: bool,
) -> Result<Held> {
    let source = InstanceSource { source: key.name.to_string(), ..InstanceSource::default() };
    let gate = copy::hold(core, op, &CopyOf::parse(&source, &key.project)?).await?;
    let wanted = key.clone();
    let id = core.db.read(move |tx| Ok(load(tx, &wanted)?.row.id)).await?;
    backup_yaml::renew_now(core, id).await?;
    let mut content = backup_yaml::content(core, id).await?;
    if alone {
        content.snapshots.clear();
        content.volume_snapshots.clear();
    }
    let pool = snapshots::pool_of(core, key).await?;
    let names: Vec<String> = content.snapshots.iter().map(|snapshot| snapshot.name.clone()).collect();
    let index = Index {
        name: key.name.to_string(),
        backend: content.pool.as_ref().map_or_else(String::new, |pool| pool.driver.clone()),
        pool: pool.spec().name.to_string(),
        snapshots: names.clone(),
        kind: "container".to_owned(),
        config: Some(content),
        ..Index::default()
    };
    let snapshots = names.iter().map(|name| Ok(name.parse()?)).collect::<Result<Vec<_>>>()?;
    let volume = VolumeRef::container(&key.project, &key.name);
    Ok((gate, Material { pool, volume, snapshots, index, live: core.runtime.is_running(key) }))
}

/// A running instance stands still only while a snapshot is made of its volume, not while that is packed.
///
/// # Errors
/// The storage fails.
pub(crate) async fn still(
    core: &SharedCore,
    undo: &mut Log,
    key: &InstanceKey,
    pool: &Arc<dyn Pool>,
    snapshot: &SnapshotRef,
) -> Result<()> {
    // It has no row, so undoing removes its files.
    undo.push(Undo::FinishDeleteSnapshot {
        project: key.project.clone(),
        instance: key.name.clone(),
        name: snapshot.name.clone(),
        pool: super::pool_name(core, key).await?,
    })
    .await?;
    undo.push(Undo::Thaw { project: key.project.clone(), name: key.name.clone() }).await?;
    let entry = core.runtime.get(key).filter(|entry| entry.status == StatusCode::RUNNING);
    let running = entry.as_ref().map(|entry| &entry.running);
    snapshots::frozen(core, running, async || pool.create_snapshot(snapshot).await).await
}
