//! Background tasks: idempotent work on a timer, started early by a nudge, without input.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

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

/// Runs a task until `end`, first after one interval or a nudge.
pub fn spawn<S: Send + Sync + 'static>(state: Arc<S>, task: &Task<S>, nudge: Nudge, end: CancellationToken) {
    let (name, every, run) = (task.name, task.every, task.run);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = nudge.nudged() => {}
                () = tokio::time::sleep(every) => {}
            }
            tracing::debug!(task = name, "Background task runs");
            run(state.clone()).await;
        }
    });
}
