//! Background tasks: idempotent work on a timer, started early by a nudge, without input.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A run of a task.
pub type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One task: what it does with the state it is given.
pub struct Task<S> {
    /// Name in the log and in `/internal/debug`.
    pub name: &'static str,
    /// Time between two runs.
    pub every: Duration,
    /// The work.
    pub run: fn(Arc<S>) -> Run,
}

/// Starts a task early.
#[derive(Clone, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Asks for a run now (or right after the present one).
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    /// Waits for the next nudge.
    pub async fn nudged(&self) {
        self.0.notified().await;
    }
}

/// What was seen of a task's runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How often it began.
    pub runs: u64,
    /// Runs at this moment.
    pub running: bool,
    /// Begin of its last run.
    pub begin: Option<Instant>,
    /// How long the last finished run took.
    pub took: Option<Duration>,
}

/// The runs of all tasks, for `/internal/debug`. Cheap to clone.
#[derive(Clone, Default)]
pub struct Runs(Arc<Mutex<BTreeMap<&'static str, Seen>>>);

impl Runs {
    /// What was seen so far, by name.
    pub fn seen(&self) -> Vec<(&'static str, Seen)> {
        let all = self.0.lock().expect("no panic happens while the lock is held");
        all.iter().map(|(name, seen)| (*name, *seen)).collect()
    }

    fn begins(&self, name: &'static str) {
        let mut all = self.0.lock().expect("no panic happens while the lock is held");
        let seen = all.entry(name).or_default();
        (seen.runs, seen.running, seen.begin) = (seen.runs + 1, true, Some(Instant::now()));
    }

    fn ends(&self, name: &'static str) {
        let mut all = self.0.lock().expect("no panic happens while the lock is held");
        let seen = all.entry(name).or_default();
        (seen.running, seen.took) = (false, seen.begin.map(|begin| begin.elapsed()));
    }
}

/// Runs a task until `end`, first after one interval or a nudge.
pub fn spawn<S: Send + Sync + 'static>(
    state: Arc<S>,
    task: &Task<S>,
    nudge: Nudge,
    runs: Runs,
    end: CancellationToken,
) {
    let (name, every, run) = (task.name, task.every, task.run);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = nudge.nudged() => {}
                () = tokio::time::sleep(every) => {}
            }
            runs.begins(name);
            run(state.clone()).await;
            runs.ends(name);
        }
    });
}
