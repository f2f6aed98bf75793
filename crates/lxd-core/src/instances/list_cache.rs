//! The instances as the last list found them, kept while nothing changes: clients ask for lists over and over.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use lxd_db::instances;
use lxd_types::Result;

use super::{Model, models};
use crate::SharedCore;

/// How long a list that nobody asks for is kept.
const IDLE: Duration = Duration::from_secs(30);

/// The last list of all instances.
#[derive(Default)]
pub struct ListCache {
    /// Held for a look-up or an insertion, never across an await.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    /// [`lxd_db::Db::global_changes`] before it was read: what is newer makes it worthless.
    changes: u64,
    used: Instant,
    models: Arc<Vec<Model>>,
}

impl ListCache {
    /// Forgets a list that was not asked for in a while.
    pub fn sweep(&self) {
        self.lock().take_if(|kept| kept.used.elapsed() > IDLE);
    }

    fn get(&self, changes: u64) -> Option<Arc<Vec<Model>>> {
        let mut kept = self.lock();
        let kept = kept.as_mut().filter(|kept| kept.changes == changes)?;
        kept.used = Instant::now();
        Some(kept.models.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().expect("no panic happens while the lock is held")
    }
}

/// All instances of all projects, sorted by project and name.
///
/// # Errors
/// A failure of the database.
pub(super) async fn all(core: &SharedCore) -> Result<Arc<Vec<Model>>> {
    // Asked for first: a change that comes while the list is read makes it old at once, never the other way round.
    let changes = core.db.global_changes();
    if let Some(models) = core.lists.get(changes) {
        return Ok(models);
    }
    let models = Arc::new(core.db.read(|tx| models(tx, instances::Filter::default())).await?);
    *core.lists.lock() = Some(Kept { changes, used: Instant::now(), models: models.clone() });
    Ok(models)
}
