//! The threads that talk to SQLite: jobs wait in one queue per set of connections.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use lxd_types::{Error, Result};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::group::{self, Change, Commits, Pending};
use crate::tx::Tx;

/// Work for one connection.
enum Job {
    /// Has the connection for itself.
    Alone(Box<dyn FnOnce(&mut Connection) + Send>),
    /// A change; those that wait at the same time are committed together.
    Change(Box<dyn Change>),
}

/// Changes that are committed together at most: the first of them waits for the last.
const TOGETHER: usize = 64;

/// Threads with one connection each, fed by one queue. Dropping it ends them after the work that waits.
pub(crate) struct Workers {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    waits: Arc<Waits>,
}

/// How long work waited for a connection.
#[derive(Default)]
struct Waits {
    jobs: AtomicU64,
    total: AtomicU64,
    longest: AtomicU64,
}

/// Waiting times of one set of connections since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WaitStats {
    /// Transactions asked for.
    pub jobs: u64,
    /// Sum of the times that they waited for a connection, in microseconds.
    pub total_us: u64,
    /// The longest such time, in microseconds.
    pub longest_us: u64,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Waits {
    fn note(&self, asked: Instant) {
        let waited = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.jobs.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(waited, Ordering::Relaxed);
        self.longest.fetch_max(waited, Ordering::Relaxed);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs catch panics themselves; the queue's own data is never half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes that stand at the head of the queue.
    fn changes(&self, first: Box<dyn Change>) -> Vec<Box<dyn Change>> {
        let (mut state, mut changes) = (self.lock(), vec![first]);
        while changes.len() < TOGETHER {
            match state.jobs.pop_front() {
                Some(Job::Change(change)) => changes.push(change),
                Some(other) => {
                    state.jobs.push_front(other);
                    break;
                }
                None => break,
            }
        }
        changes
    }

    /// The next job; `None` when the queue was closed and is empty.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Workers {
    /// One thread per connection.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(name: &str, connections: Vec<Connection>, commits: &Arc<Commits>) -> Result<Self> {
        let queue = Arc::new(Queue::default());
        let mut threads = Vec::with_capacity(connections.len());
        for mut conn in connections {
            let (queue, commits) = (Arc::clone(&queue), Arc::clone(commits));
            let thread = std::thread::Builder::new()
                .name(format!("db-{name}"))
                .spawn(move || {
                    while let Some(job) = queue.next() {
                        match job {
                            Job::Alone(work) => work(&mut conn),
                            Job::Change(first) => group::commit(&conn, queue.changes(first), &commits),
                        }
                    }
                })
                .map_err(|e| {
                    Error::with_source(lxd_types::Kind::Internal, "Failed to start a database thread", e)
                })?;
            threads.push(thread);
        }
        Ok(Self { queue, threads: Mutex::new(threads), waits: Arc::default() })
    }

    /// Runs `work` on one of the connections and waits for its answer. A caller that stops waiting does not stop
    /// the work. A panic in `work` is an internal error; the thread goes on.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, wait) = oneshot::channel();
        let (asked, waits) = (Instant::now(), Arc::clone(&self.waits));
        self.push(Job::Alone(Box::new(move |conn| {
            waits.note(asked);
            // After a panic the transaction was rolled back by its guard, so the connection is sound.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(conn)))
                .unwrap_or_else(|_| Err(Error::internal("A database query panicked")));
            // Nobody waits any more: the work is done all the same.
            let _ = answer.send(outcome);
        })));
        wait.await.unwrap_or_else(|_| Err(Error::unavailable("The database is closed")))
    }

    /// Runs `work` in a transaction, which it may share with others, and waits until that is committed.
    pub(crate) async fn change<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, wait) = oneshot::channel();
        let (asked, waits) = (Instant::now(), Arc::clone(&self.waits));
        let noted = move |tx: &Tx<'_>| {
            waits.note(asked);
            work(tx)
        };
        self.push(Job::Change(Box::new(Pending::new(noted, answer))));
        wait.await.unwrap_or_else(|_| Err(Error::unavailable("The database is closed")))
    }

    /// Waiting times since the start.
    pub(crate) fn waits(&self) -> WaitStats {
        WaitStats {
            jobs: self.waits.jobs.load(Ordering::Relaxed),
            total_us: self.waits.total.load(Ordering::Relaxed),
            longest_us: self.waits.longest.load(Ordering::Relaxed),
        }
    }

    fn push(&self, job: Job) {
        let mut state = self.queue.lock();
        if !state.closed {
            state.jobs.push_back(job);
            drop(state);
            self.queue.wake.notify_one();
        }
    }

    /// Lets the threads finish what waits and joins them; later work answers "closed".
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.wake.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A job may hold the last handle: a thread does not wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.close();
    }
}
