//! The instances as they were found last, kept while nothing changes: clients ask for them over and over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use lxd_db::{Tx, Version, instances};
use lxd_types::{Error, Result};

use super::{InstanceKey, Listed, Model, load, models, put_view};
use crate::SharedCore;

/// How long what nobody asks for is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A list of more leaves so much free memory behind that it is given back at once.
const MANY: usize = 100;

/// Most single instances that are kept.
const SINGLE: usize = 64;

/// The last list of all instances, and single ones.
#[derive(Default)]
pub struct ListCache {
    /// Held for a look-up or an insertion, never across an await.
    kept: Mutex<Kept>,
}

/// What is true as long as the database is as it was.
#[derive(Default)]
struct Kept {
    /// Before anything was read: what is newer makes all worthless.
    version: Option<Version>,
    used: Option<Instant>,
    all: Option<Arc<Listed>>,
    single: HashMap<InstanceKey, Arc<Single>>,
}

/// One instance and the version of its object.
#[derive(Debug)]
pub struct Single {
    /// A list of this one.
    pub listed: Listed,
    /// The JSON of the members that can be changed, which the version is a hash of.
    pub fields: Box<[u8]>,
}

impl ListCache {
    /// Forgets what was not asked for in a while.
    pub fn sweep(&self) {
        let mut kept = self.lock();
        if kept.used.is_some_and(|used| used.elapsed() > IDLE) {
            *kept = Kept::default();
        }
    }

    /// What is kept and still true.
    fn get<T>(&self, version: Option<Version>, find: impl FnOnce(&Kept) -> Option<Arc<T>>) -> Option<Arc<T>> {
        let mut kept = self.lock();
        if version.is_none() || kept.version != version {
            return None;
        }
        kept.used = Some(Instant::now());
        find(&kept)
    }

    /// Keeps something that was read after this version was asked for.
    fn put(&self, version: Option<Version>, add: impl FnOnce(&mut Kept)) {
        if version.is_none() {
            return;
        }
        let mut kept = self.lock();
        if kept.version != version {
            *kept = Kept { version, ..Kept::default() };
        }
        kept.used = Some(Instant::now());
        add(&mut kept);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic happens while the lock is held")
    }
}

/// All instances of all projects, sorted by project and name.
///
/// # Errors
/// A failure of the database.
pub(super) async fn all(core: &SharedCore) -> Result<Arc<Listed>> {
    // Asked for first: a change that comes while the list is read makes it old at once, never the other way round.
    let version = core.db.global_version();
    if let Some(all) = core.lists.get(version, |kept| kept.all.clone()) {
        return Ok(all);
    }
    let all = Arc::new(core.db.read(read_all).await?);
    core.lists.put(version, |kept| kept.all = Some(all.clone()));
    Ok(all)
}

/// What is read is many times as large as what is kept of it.
fn read_all(tx: &Tx<'_>) -> Result<Listed> {
    let all = models(tx, instances::Filter::default())?;
    let listed = Listed::new(&all)?;
    if all.len() > MANY {
        drop(all);
        lxd_sys::memory::give_back();
    }
    Ok(listed)
}

/// One instance.
///
/// # Errors
/// Not found.
pub(super) async fn single(core: &SharedCore, key: &InstanceKey) -> Result<Arc<Single>> {
    let version = core.db.global_version();
    if let Some(one) = core.lists.get(version, |kept| kept.single.get(key).cloned()) {
        return Ok(one);
    }
    let wanted = key.clone();
    let one = Arc::new(core.db.read(move |tx| Single::new(&load(tx, &wanted)?)).await?);
    core.lists.put(version, |kept| {
        if kept.single.len() >= SINGLE {
            kept.single.clear();
        }
        kept.single.insert(key.clone(), one.clone());
    });
    Ok(one)
}

impl Single {
    fn new(model: &Model) -> Result<Self> {
        let fields =
            serde_json::to_vec(&put_view(model)).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Self { listed: Listed::new([model])?, fields: fields.into() })
    }
}
