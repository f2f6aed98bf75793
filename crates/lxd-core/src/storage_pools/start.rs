//! Making all pools usable when the daemon starts.

use lxd_db::{nodes, storage_pools};
use lxd_types::Result;

use crate::SharedCore;

/// Mounts every finished pool; one that cannot be used is logged and does not stop the others.
///
/// # Errors
/// A failure of the database.
pub async fn mount_all(core: &SharedCore) -> Result<()> {
    let pools = core.db.read(|tx| storage_pools::list(tx, nodes::LONE)).await?;
    let mut mounting = tokio::task::JoinSet::new();
    for row in pools.into_iter().filter(|row| row.state == storage_pools::CREATED) {
        let core = core.clone();
        mounting.spawn(async move {
            let mounted = async { super::open_row(&core, &row)?.mount_pool().await }.await;
            if let Err(error) = mounted {
                tracing::error!(pool = row.name, error = error.chain(), "The storage pool is not available");
            }
        });
    }
    while mounting.join_next().await.is_some() {}
    Ok(())
}
