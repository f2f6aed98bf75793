//! Lanes: foreign blocking calls (liblxc, storage tools, `statfs` on network file systems) of one instance
//! or pool. At most two threads, a deadline; a full or late lane answers at once and harms nobody else.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lxd_types::{Error, Result};
use tokio::sync::Semaphore;

/// Calls of one object that may be under way at once.
const WIDTH: usize = 2;

/// The lane of one object. Cheap to clone.
#[derive(Clone)]
pub struct Lane {
    name: Arc<str>,
    places: Arc<Semaphore>,
    late: Arc<Mutex<Option<Instant>>>,
}

impl Lane {
    /// A lane for the named object.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), places: Arc::new(Semaphore::new(WIDTH)), late: Arc::default() }
    }

    /// The object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls under way.
    pub fn calls(&self) -> usize {
        WIDTH - self.places.available_permits()
    }

    /// Since when it has not answered.
    pub fn late_since(&self) -> Option<Instant> {
        *self.late.lock().expect("no panic happens while the lock is held")
    }

    /// Runs a blocking call on a thread of its own.
    ///
    /// # Errors
    /// `Unavailable` when the lane is full or the deadline passes; the call goes on in its thread and keeps
    /// its place until it returns.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        if self.places.available_permits() == 0 && self.late_since().is_some() {
            return Err(self.unanswered());
        }
        let end = tokio::time::Instant::now() + deadline;
        let place = tokio::time::timeout_at(end, self.places.clone().acquire_owned())
            .await
            .map_err(|_| self.unanswered())?
            .map_err(|_| Error::internal("The lane was closed"))?;
        let late = self.late.clone();
        let task = tokio::task::spawn_blocking(move || {
            let value = call();
            drop(place);
            *late.lock().expect("no panic happens while the lock is held") = None;
            value
        });
        match tokio::time::timeout_at(end, task).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => Err(Error::with_source(
                lxd_types::Kind::Internal,
                format!("A call for {} failed", self.name),
                panic,
            )),
            Err(_) => Err(self.unanswered()),
        }
    }

    fn unanswered(&self) -> Error {
        let mut late = self.late.lock().expect("no panic happens while the lock is held");
        let since = late.get_or_insert_with(Instant::now).elapsed().as_secs();
        Error::unavailable(format!("The state of {} is unknown, not answering since {since}s", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_types::Kind;

    #[tokio::test]
    async fn a_hanging_call_does_not_hold_the_caller() {
        let lane = Lane::new("c1");
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let late = lane.run(Duration::from_millis(20), move || wait.recv()).await;
        assert_eq!(late.unwrap_err().kind(), Kind::Unavailable);
        assert!(lane.calls() == 1 && lane.late_since().is_some());
        assert_eq!(lane.run(Duration::from_secs(5), || 7).await.unwrap(), 7);
        let (_stop, wait) = std::sync::mpsc::channel::<()>();
        let second = lane.run(Duration::from_millis(20), move || wait.recv()).await;
        assert_eq!(second.unwrap_err().kind(), Kind::Unavailable);
        let begun = Instant::now();
        let full = lane.run(Duration::from_secs(60), || 8).await;
        assert!(full.is_err() && begun.elapsed() < Duration::from_secs(30), "a full lane answers at once");
        release.send(()).unwrap();
    }
}
