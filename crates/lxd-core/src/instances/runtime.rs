//! What runs on this member: kept in memory, so that lists of hundreds of instances ask nobody else.

use std::collections::HashMap;
use std::sync::Mutex;

use lxd_api::StatusCode;

use super::InstanceKey;

/// A running instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RuntimeEntry {
    /// Running, frozen, or on the way there.
    pub status: StatusCode,
    /// Its init in the daemon's pid namespace.
    pub init_pid: i32,
    /// The process that stays beside it.
    pub monitor_pid: i32,
}

/// All running instances of this member; those that are not in it are stopped.
#[derive(Default)]
pub struct Runtime {
    /// Held for a look-up or an insertion, never across an await.
    running: Mutex<HashMap<InstanceKey, RuntimeEntry>>,
}

impl Runtime {
    /// The entry of a running instance.
    pub fn get(&self, key: &InstanceKey) -> Option<RuntimeEntry> {
        self.lock().get(key).copied()
    }

    /// The status to be shown.
    pub fn status(&self, key: &InstanceKey) -> StatusCode {
        self.get(key).map_or(StatusCode::STOPPED, |entry| entry.status)
    }

    /// Whether the instance has processes.
    pub fn is_running(&self, key: &InstanceKey) -> bool {
        self.get(key).is_some()
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

    /// Records the end of the run with this monitor; `None` when another run is recorded, or none.
    pub fn remove(&self, key: &InstanceKey, monitor_pid: i32) -> Option<RuntimeEntry> {
        let mut running = self.lock();
        if running.get(key).is_some_and(|entry| entry.monitor_pid == monitor_pid) {
            return running.remove(key);
        }
        None
    }

    /// Moves the entry of a renamed instance.
    pub fn rename(&self, old: &InstanceKey, new: &InstanceKey) {
        let mut running = self.lock();
        if let Some(entry) = running.remove(old) {
            running.insert(new.clone(), entry);
        }
    }

    /// All running instances.
    pub fn all(&self) -> Vec<(InstanceKey, RuntimeEntry)> {
        self.lock().iter().map(|(key, entry)| (key.clone(), *entry)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceKey, RuntimeEntry>> {
        self.running.lock().expect("no panic happens while the lock is held")
    }
}
