//! Helpers of the file API, kept for the next request: starting one costs more than most requests.
//!
//! An idle helper belongs to an instance in one state. Every action on the instance (it enters the gate) ends them, so
//! none of them is in the way of a start, a stop, a removal or another name, and none shows what was there before. At
//! the daemon's end they end with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use lxd_container::Files;
use lxd_types::{Error, Result};

/// How long an idle helper is kept.
const IDLE: Duration = Duration::from_secs(10);

/// Idle helpers of one instance; requests at the same time need one each.
const MOST: usize = 4;

/// Where a helper works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// In the run of the instance that has this monitor.
    Running(i32),
    /// In the root directory of the stopped instance.
    Stopped,
}

/// The idle helpers of all instances. Cheap to clone.
#[derive(Clone, Default)]
pub struct FileSessions {
    /// Held for a look-up or an insertion, never across an await.
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Actions that began since the start.
    actions: u64,
    idle: HashMap<String, Vec<Idle>>,
}

struct Idle {
    place: Place,
    files: Files,
    since: Instant,
}

/// A helper in use. Dropped, it waits for the next request, unless something is wrong with it or an action on an
/// instance began meanwhile.
pub struct Session {
    home: FileSessions,
    instance: String,
    place: Place,
    /// Actions that had begun when it was taken; none when one was under way: then it is not kept.
    actions: Option<u64>,
    files: Option<Files>,
}

impl FileSessions {
    /// An idle session of an instance, or a closed one. `free` says that no action holds the instance's gate.
    pub fn session(&self, instance: String, place: Place, free: bool) -> Session {
        let mut state = self.lock();
        let actions = free.then_some(state.actions);
        let files = if free { state.take(&instance, place) } else { None };
        drop(state);
        Session { home: self.clone(), instance, place, actions, files }
    }

    /// Ends the idle helpers of an instance, because an action on it begins.
    pub fn end(&self, instance: &str) {
        let mut state = self.lock();
        state.actions += 1;
        state.idle.remove(instance);
    }

    /// Ends helpers that were not used for a while.
    pub fn sweep(&self) {
        self.lock().idle.retain(|_, idle| {
            idle.retain(|one| one.since.elapsed() < IDLE);
            !idle.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic happens while the lock is held")
    }
}

impl State {
    fn take(&mut self, instance: &str, place: Place) -> Option<Files> {
        let idle = self.idle.get_mut(instance)?;
        while let Some(mut one) = idle.pop() {
            if one.place == place && one.files.is_idle() {
                return Some(one.files);
            }
        }
        None
    }

    fn keep(&mut self, session: &Session, files: Files) {
        if session.actions != Some(self.actions) {
            return;
        }
        let idle = self.idle.entry(session.instance.clone()).or_default();
        if idle.len() < MOST {
            idle.push(Idle { place: session.place, files, since: Instant::now() });
        }
    }
}

impl Session {
    /// Whether an idle helper was found.
    pub fn is_open(&self) -> bool {
        self.files.is_some()
    }

    /// Gives it a fresh helper.
    pub fn opened(&mut self, files: Files) {
        self.files = Some(files);
    }

    /// The helper.
    ///
    /// # Errors
    /// It was never opened.
    pub fn files(&mut self) -> Result<&mut Files> {
        self.files.as_mut().ok_or_else(|| Error::internal("The file session is not open"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(mut files) = self.files.take()
            && files.is_idle()
        {
            let home = self.home.clone();
            home.lock().keep(self, files);
        }
    }
}
