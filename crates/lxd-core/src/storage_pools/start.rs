//! Making all pools usable when the daemon starts. A broken one does not stop the others; it is tried again.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use lxd_db::warnings::Subject;
use lxd_db::{nodes, storage_pools};
use lxd_types::Result;

use crate::SharedCore;
use crate::warnings::WarningType;

/// The shortest and the longest time between two tries to make a broken pool usable.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

/// The pools that cannot be used at present.
#[derive(Debug, Default)]
pub struct Unavailable {
    /// Held for a look-up or an insertion, never across an await.
    names: Mutex<BTreeSet<String>>,
}

impl Unavailable {
    /// Whether this pool is one of them.
    pub fn contains(&self, name: &str) -> bool {
        self.names.lock().expect("no panic happens while the lock is held").contains(name)
    }

    fn set(&self, name: &str, unavailable: bool) {
        let mut names = self.names.lock().expect("no panic happens while the lock is held");
        if unavailable {
            names.insert(name.to_owned());
        } else {
            names.remove(name);
        }
    }
}

/// Mounts every finished pool.
///
/// # Errors
/// A failure of the database.
pub async fn mount_all(core: &SharedCore) -> Result<()> {
    let pools = core.db.read(|tx| storage_pools::list(tx, nodes::LONE)).await?;
    let mut mounting = tokio::task::JoinSet::new();
    for row in pools.into_iter().filter(|row| row.state == storage_pools::CREATED) {
        mounting.spawn(mount_or_warn(core.clone(), row));
    }
    while mounting.join_next().await.is_some() {}
    Ok(())
}

/// Mounts a pool; when that fails a warning says so until a later try succeeds.
async fn mount_or_warn(core: SharedCore, row: storage_pools::Pool) {
    let subject = subject(row.id);
    match mount(&core, &row).await {
        Ok(()) => core.warning_resolved(subject).await,
        Err(error) => {
            core.unavailable_pools.set(&row.name, true);
            core.warn_about(subject, &error.chain()).await;
            tokio::spawn(retry(core, row.name, subject));
        }
    }
}

async fn mount(core: &SharedCore, row: &storage_pools::Pool) -> Result<()> {
    super::open::driver(core, row)?.mount_pool().await
}

/// Tries again until the pool is usable or gone; then the instances on it are started that were to be.
async fn retry(core: SharedCore, name: String, subject: Subject) {
    let [mut pause, longest] = PAUSES;
    loop {
        tokio::select! {
            () = core.end.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(longest);
        let wanted = name.clone();
        let found = core.db.read(move |tx| {
            storage_pools::list(tx, nodes::LONE).map(|all| all.into_iter().find(|row| row.name == wanted))
        });
        let Ok(found) = found.await else { continue };
        let Some(row) = found else { break };
        if mount(&core, &row).await.is_ok() {
            tracing::info!(pool = name, "The storage pool is available again");
            break;
        }
    }
    core.unavailable_pools.set(&name, false);
    core.warning_resolved(subject).await;
    if let Err(error) = crate::instances::reconcile::autostart_on(&core, &name).await {
        tracing::error!(
            pool = name,
            error = error.chain(),
            "Failed to start the instances of a storage pool"
        );
    }
}

fn subject(id: i64) -> Subject {
    Subject {
        type_code: WarningType::PoolUnavailable as i64,
        node_id: Some(nodes::LONE),
        entity_id: Some(id),
        ..Subject::default()
    }
}
