//! Snapshots of custom volumes that are made by the clock, and those whose time is over.

use chrono::{Local, Utc};
use lxd_auth::Caller;
use lxd_db::storage_volumes;
use lxd_storage::VolumeKind;
use lxd_types::{ConfigExt, Result, Schedule};

use super::SnapshotKey;
use super::change::run_delete;
use super::create::{self, Expires};
use crate::SharedCore;
use crate::storage_volumes::VolumeKey;

/// Makes the snapshots that are due in this minute.
pub async fn take_scheduled(core: &SharedCore) {
    let now = Local::now();
    take(core, |schedule| schedule.is_due(&now)).await;
}

/// Makes the snapshots that are due when the daemon starts.
pub async fn at_startup(core: &SharedCore) {
    take(core, Schedule::at_startup).await;
}

async fn take(core: &SharedCore, due: impl Fn(&Schedule) -> bool) {
    let rows = core.db.read(|tx| {
        let filter = storage_volumes::Filter { kind: Some(storage_volumes::CUSTOM), ..Default::default() };
        storage_volumes::list(tx, filter)
    });
    let rows = match rows.await {
        Ok(rows) => rows,
        Err(error) => return log(&error, "Failed to look for scheduled volume snapshots"),
    };
    for row in rows {
        let schedule = row.config.value("snapshots.schedule").parse::<Schedule>();
        if !schedule.is_ok_and(|schedule| due(&schedule)) {
            continue;
        }
        let made = async {
            let key = key(&row)?;
            create::run(core, &Caller::daemon(), &key, None, Expires::ByVolume).await
        };
        if let Err(error) = made.await {
            log(&error, &format!("Failed to make the scheduled snapshot of volume \"{}\"", row.name));
        }
    }
}

/// Removes the snapshots whose time is over.
pub async fn remove_expired(core: &SharedCore) {
    let found = core.db.read(|tx| {
        let expired = storage_volumes::expired_snapshots(tx, Utc::now())?;
        expired.into_iter().map(|row| Ok((storage_volumes::by_id(tx, row.volume_id)?, row.name))).collect()
    });
    let found: Vec<(storage_volumes::Volume, String)> = match found.await {
        Ok(found) => found,
        Err(error) => return log(&error, "Failed to look for expired volume snapshots"),
    };
    for (volume, name) in found {
        let removed = async {
            let key = SnapshotKey { volume: key(&volume)?, name: name.parse()? };
            run_delete(core, &Caller::daemon(), &key).await
        };
        if let Err(error) = removed.await {
            log(&error, &format!("Failed to remove the expired snapshot \"{}/{name}\"", volume.name));
        }
    }
}

fn key(row: &storage_volumes::Volume) -> Result<VolumeKey> {
    Ok(VolumeKey {
        pool: row.pool.parse()?,
        kind: VolumeKind::Custom,
        project: row.project.parse()?,
        name: row.name.parse()?,
    })
}

fn log(error: &lxd_types::Error, what: &str) {
    tracing::error!(error = error.chain(), "{what}");
}
