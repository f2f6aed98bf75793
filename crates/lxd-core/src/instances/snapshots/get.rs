//! `GET /1.0/instances/{name}/snapshots` and one of them.

use std::collections::HashMap;

use lxd_api::Timestamp;
use lxd_api::instance::InstanceSnapshot;
use lxd_auth::Permit;
use lxd_db::{Tx, architecture, instances, profiles, snapshots};
use lxd_instance::{expand_config, expand_devices};
use lxd_types::Result;
use lxd_types::names::InstanceName;

use super::super::{InstanceKey, Model, load};
use super::{SnapshotKey, find, pool_of};
use crate::{SharedCore, with_project};

/// What a size is told as where the pool does not count.
const UNKNOWN: i64 = -1;

/// The URLs of an instance's snapshots, in the order of their making.
///
/// # Errors
/// There is no such instance.
pub async fn urls(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<Vec<String>> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    let found = core.db.read(move |tx| snapshots::list(tx, load(tx, &wanted)?.row.id)).await?;
    let url = |snapshot: snapshots::Snapshot| {
        with_project(&format!("{}/snapshots/{}", key.url(), snapshot.name), &key.project)
    };
    Ok(found.into_iter().map(url).collect())
}

/// The snapshots of an instance, in the order of their making.
///
/// # Errors
/// There is no such instance.
pub async fn list(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<Vec<InstanceSnapshot>> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    let mut found = core.db.read(move |tx| views(tx, &load(tx, &wanted)?)).await?;
    for snapshot in &mut found {
        snapshot.size = size(core, &SnapshotKey { instance: key.clone(), name: snapshot.name.clone() }).await;
    }
    Ok(found)
}

/// One snapshot.
///
/// # Errors
/// Not found.
pub async fn get(core: &SharedCore, key: &SnapshotKey) -> Result<InstanceSnapshot> {
    let wanted = key.clone();
    let mut view = core
        .db
        .read(move |tx| {
            let (model, snapshot) = find(tx, &wanted)?;
            let of = profiles::of_instance(tx, model.row.id)?;
            Ok(view(&model.row, &of, snapshot))
        })
        .await?;
    view.size = size(core, key).await;
    Ok(view)
}

/// The snapshots of many instances, without their sizes, by the instance's id.
///
/// # Errors
/// A failure of the database.
pub async fn of_many(core: &SharedCore, wanted: Vec<i64>) -> Result<HashMap<i64, Vec<InstanceSnapshot>>> {
    core.db
        .read(move |tx| {
            let mut all = snapshots::every(tx)?;
            let mut views = HashMap::new();
            for id in &wanted {
                let Some(found) = all.remove(id) else { continue };
                let of = profiles::of_instance(tx, *id)?;
                let row = instances::by_id(tx, *id)?;
                views.insert(*id, found.into_iter().map(|one| view(&row, &of, one)).collect());
            }
            Ok(views)
        })
        .await
}

/// The snapshots of an instance, without their sizes.
///
/// # Errors
/// A failure of the database.
pub(in crate::instances) fn views(tx: &Tx<'_>, model: &Model) -> Result<Vec<InstanceSnapshot>> {
    let of = profiles::of_instance(tx, model.row.id)?;
    Ok(snapshots::list(tx, model.row.id)?.into_iter().map(|one| view(&model.row, &of, one)).collect())
}

async fn size(core: &SharedCore, key: &SnapshotKey) -> i64 {
    let asked = async { pool_of(core, &key.instance).await?.snapshot_usage(&key.volume()?).await };
    asked.await.ok().and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(UNKNOWN)
}

/// A snapshot as it stands in answers: its own keys and devices, the profiles that the instance has now.
fn view(
    row: &instances::Instance,
    of: &[profiles::Profile],
    snapshot: snapshots::Snapshot,
) -> InstanceSnapshot {
    InstanceSnapshot {
        expires_at: snapshot.expiry.map_or_else(Timestamp::zero, Into::into),
        architecture: architecture::name(row.architecture).to_owned(),
        expanded_config: expand_config(of.iter().map(|profile| &profile.config), &snapshot.config),
        expanded_devices: expand_devices(of.iter().map(|profile| &profile.devices), &snapshot.devices),
        config: snapshot.config,
        created_at: snapshot.created.into(),
        devices: snapshot.devices,
        ephemeral: row.ephemeral,
        last_used_at: Timestamp::zero(),
        name: snapshot.name,
        profiles: row.profiles.clone(),
        stateful: snapshot.stateful,
        size: UNKNOWN,
    }
}
