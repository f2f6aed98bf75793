//! Backups whose time is over are removed.

use chrono::Utc;
use lxd_auth::Permit;
use lxd_db::instance_backups as rows;
use lxd_types::Result;

use super::super::InstanceKey;
use super::{BackupKey, manage};
use crate::SharedCore;

/// Removes all that have expired; one that cannot be removed is tried again at the next run.
///
/// # Errors
/// The database cannot be read.
pub async fn run(core: &SharedCore) -> Result<()> {
    let expired = core.db.read(|tx| rows::expired(tx, Utc::now())).await?;
    for (project, instance, name) in expired {
        let key = BackupKey { instance: InstanceKey::stored(&project, &instance)?, name };
        let permit = Permit::daemon(key.instance.project.clone());
        if let Err(error) = manage::remove(core, &permit, &key).await {
            tracing::warn!(backup = key.url(), error = error.chain(), "Failed to remove an expired backup");
        }
    }
    Ok(())
}
