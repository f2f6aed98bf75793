//! A warning while a pool is nearly full.

use std::sync::Arc;

use lxd_db::warnings::Subject;
use lxd_db::{nodes, storage_pools};
use lxd_storage::PoolResources;
use lxd_types::Result;

use crate::Core;
use crate::warnings::WarningType;

/// From this part of its space on, in percent, a pool is nearly full.
const NEARLY: u64 = 90;

/// Looks at every pool that can be used.
pub async fn look_at_space(core: Arc<Core>) {
    if let Err(error) = look(&core).await {
        tracing::error!(error = error.chain(), "Failed to look at the space of the storage pools");
    }
}

async fn look(core: &Core) -> Result<()> {
    let rows = core.db.read(|tx| storage_pools::list(tx, nodes::LONE)).await?;
    for row in rows.into_iter().filter(|row| row.state == storage_pools::CREATED) {
        let subject = Subject {
            type_code: WarningType::PoolFull as i64,
            node_id: Some(nodes::LONE),
            entity_id: Some(row.id),
            ..Subject::default()
        };
        // One that does not answer has a warning of its own.
        let Ok(pool) = super::open_row(core, &row).await else { continue };
        let Ok(space) = pool.resources().await else { continue };
        match percent(space) {
            Some(used) => {
                let text = format!("Storage pool \"{}\" is {used} % full", row.name);
                core.warn_about(subject, &text).await;
            }
            None => core.warning_resolved(subject).await,
        }
    }
    Ok(())
}

/// How full it is, when it is nearly full.
fn percent(space: PoolResources) -> Option<u64> {
    let used = (u128::from(space.space_used) * 100).checked_div(space.space_total.into())?;
    u64::try_from(used).ok().filter(|used| *used >= NEARLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_tenths_are_nearly_full() {
        let space = |space_used, space_total| PoolResources { space_used, space_total, ..Default::default() };
        assert_eq!(percent(space(89, 100)), None);
        assert_eq!(percent(space(95, 100)), Some(95));
        assert_eq!(percent(space(u64::MAX, u64::MAX)), Some(100));
        assert_eq!(percent(space(0, 0)), None);
    }
}
