//! What runs on this member: kept in memory, so that lists of hundreds of instances ask nobody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use lxd_api::StatusCode;
use lxd_container::Running;
use lxd_task::lane::Lane;
use lxd_types::{CpuLimit, CpuSet};
use tokio::sync::watch;

use super::cpus::{Placed, Processors};
use super::{InstanceKey, Model};

/// A running instance. Cheap to clone.
#[derive(Clone)]
pub struct RuntimeEntry {
    /// Its two processes.
    pub running: Running,
    /// Running or frozen.
    pub status: StatusCode,
    /// The container asked to be started again.
    reboot: Arc<AtomicBool>,
    /// Its processors. Held for a look or a change, never across an await.
    processors: Arc<Mutex<Processors>>,
    /// What the start took, until what was recorded meanwhile is applied. Held as `processors` is.
    taken: Arc<Mutex<Option<Model>>>,
    /// Where its control groups are written: the kernel may take its time over that.
    pub lane: Lane,
    /// A stop holds the gate of the instance: who cleans up acts on its behalf.
    stopping: Arc<AtomicBool>,
    /// Becomes true when everything of the run was cleaned up.
    cleaned: watch::Sender<bool>,
}

impl RuntimeEntry {
    /// A container that runs.
    pub fn new(running: Running, status: StatusCode) -> Self {
        Self {
            lane: Lane::new(&running.container().name),
            taken: Arc::default(),
            running,
            status,
            reboot: Arc::default(),
            stopping: Arc::default(),
            processors: Arc::default(),
            cleaned: watch::Sender::new(false),
        }
    }

    /// The processors that it wants and has.
    pub fn processors(&self) -> Processors {
        self.processors.lock().expect("no panic happens while the lock is held").clone()
    }

    /// Notes what it wants from now on.
    pub fn set_wanted(&self, wanted: Option<CpuLimit>) {
        self.processors.lock().expect("no panic happens while the lock is held").wanted = wanted;
    }

    /// Notes what it was given.
    pub fn set_given(&self, given: Option<CpuSet>) {
        self.processors.lock().expect("no panic happens while the lock is held").given = given;
    }

    /// Notes the state that was applied last while the start is not over.
    pub fn set_taken(&self, model: Model) {
        *self.taken.lock().expect("no panic happens while the lock is held") = Some(model);
    }

    /// Takes out what [`RuntimeEntry::set_taken`] noted.
    pub fn take_taken(&self) -> Option<Model> {
        self.taken.lock().expect("no panic happens while the lock is held").take()
    }

    /// Notes that the container asked to be started again.
    pub fn set_reboot(&self) {
        self.reboot.store(true, Ordering::Release);
    }

    /// Whether the container asked to be started again.
    pub fn wants_reboot(&self) -> bool {
        self.reboot.load(Ordering::Acquire)
    }

    /// Notes that a stop holds the gate.
    pub fn set_stopping(&self, stopping: bool) {
        self.stopping.store(stopping, Ordering::Release);
    }

    /// Whether a stop holds the gate.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells who waits that the run was cleaned up.
    pub fn set_cleaned(&self) {
        self.cleaned.send_replace(true);
    }

    /// Waits until the run was cleaned up.
    pub async fn cleaned(&self) {
        // The sender lives in this entry, so the channel cannot be closed.
        let _ = self.cleaned.subscribe().wait_for(|done| *done).await;
    }
}

/// All running instances of this member; those that are not in it are stopped.
#[derive(Default)]
pub struct Runtime {
    /// Held for a look-up or an insertion, never across an await.
    running: Mutex<HashMap<InstanceKey, RuntimeEntry>>,
    /// Processors of instances that are about to start. Held while processors are dealt out.
    pub placed: tokio::sync::Mutex<Placed>,
}

impl Runtime {
    /// The entry of a running instance.
    pub fn get(&self, key: &InstanceKey) -> Option<RuntimeEntry> {
        self.lock().get(key).cloned()
    }

    /// The status to be shown.
    pub fn status(&self, key: &InstanceKey) -> StatusCode {
        self.lock().get(key).map_or(StatusCode::STOPPED, |entry| entry.status)
    }

    /// Whether the instance has processes.
    pub fn is_running(&self, key: &InstanceKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Whether nothing runs.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Records a start.
    pub fn insert(&self, key: &InstanceKey, entry: RuntimeEntry) {
        self.lock().insert(key.clone(), entry);
    }

    /// Changes the status of a running instance; nothing happens when it stopped meanwhile.
    pub fn set_status(&self, key: &InstanceKey, status: StatusCode) {
        if let Some(entry) = self.lock().get_mut(key) {
            entry.status = status;
        }
    }

    /// Records the end of a run; nothing happens when another run is recorded.
    pub fn remove(&self, key: &InstanceKey, monitor: i32) {
        let mut running = self.lock();
        if running.get(key).is_some_and(|entry| entry.running.monitor() == monitor) {
            running.remove(key);
        }
    }

    /// All running instances.
    pub fn all(&self) -> Vec<(InstanceKey, RuntimeEntry)> {
        self.lock().iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceKey, RuntimeEntry>> {
        self.running.lock().expect("no panic happens while the lock is held")
    }
}
