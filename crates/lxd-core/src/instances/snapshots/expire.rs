//! Snapshots whose time is over are removed.

use chrono::Utc;
use lxd_auth::Permit;
use lxd_db::snapshots;
use lxd_types::Result;

use super::super::InstanceKey;
use super::{SnapshotKey, delete, enter};
use crate::SharedCore;

/// Removes all that have expired. One that cannot be removed now (its instance is busy) is tried again at the next run.
///
/// # Errors
/// The database cannot be read.
pub async fn run(core: &SharedCore) -> Result<()> {
    let expired = core.db.read(|tx| snapshots::expired(tx, Utc::now())).await?;
    for (project, instance, name) in expired {
        let key = SnapshotKey { instance: InstanceKey::stored(&project, &instance)?, name };
        if let Err(error) = one(core, &key).await {
            tracing::warn!(
                snapshot = key.full(),
                error = error.chain(),
                "Failed to remove an expired snapshot"
            );
        }
    }
    Ok(())
}

async fn one(core: &SharedCore, key: &SnapshotKey) -> Result<()> {
    let _gate = enter(core, &key.instance, "snapshot delete")?;
    delete::delete_held(core, &Permit::daemon(key.instance.project.clone()), key).await
}
