//! Group commit: changes that wait for the writer at the same time share one transaction, and so one sync of the disk.
//!
//! Each has a savepoint of its own, so that one that fails leaves the others alone. When the common transaction fails
//! as a whole (disk full, a failed commit), each change runs again in a transaction of its own: whoever is told
//! "done" has been committed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use lxd_types::{Error, Result};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{is_disk_full, sql};
use crate::reserve;
use crate::tx::Tx;

/// How changes of one database are committed.
#[derive(Default)]
pub(crate) struct Commits {
    /// Debug mode `LXD_DB_TWICE=1`: every closure runs twice, with a rollback between.
    pub twice: bool,
    /// Where space is kept back for a full disk.
    pub dir: PathBuf,
    /// Transactions that changed anything.
    pub done: AtomicU64,
}

/// A change that waits for the writer.
pub(crate) trait Change: Send {
    /// Runs it in the open transaction; false when it must not be committed.
    fn run(&mut self, conn: &Connection) -> bool;

    /// Tells the caller what came of it; an error is the transaction's.
    fn tell(self: Box<Self>, committed: Result<()>);
}

/// [`Change`] by a closure.
pub(crate) struct Pending<T, F> {
    work: F,
    outcome: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Pending<T, F> {
    pub(crate) fn new(work: F, answer: oneshot::Sender<Result<T>>) -> Self {
        Self { work, outcome: None, answer }
    }
}

impl<T, F> Change for Pending<T, F>
where
    T: Send,
    F: Fn(&Tx<'_>) -> Result<T> + Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(&Tx::new(conn))))
            .unwrap_or_else(|_| Err(Error::internal("A database query panicked")));
        let good = outcome.is_ok();
        self.outcome = Some(outcome);
        good
    }

    fn tell(self: Box<Self>, committed: Result<()>) {
        let outcome = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            // Its own error says more than that of the transaction.
            (Err(_), Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), None) => Err(Error::internal("A change was committed without being run")),
        };
        // Nobody waits any more: the work is done all the same.
        let _ = self.answer.send(outcome);
    }
}

/// Runs changes, together when there are several, and tells each what came of it.
pub(crate) fn commit(conn: &Connection, mut changes: Vec<Box<dyn Change>>, commits: &Commits) {
    if changes.len() > 1 && !commits.twice {
        match together(conn, &mut changes, commits) {
            Ok(()) => return changes.into_iter().for_each(|change| change.tell(Ok(()))),
            Err(error) => {
                tracing::debug!(error = %error.chain(), "A common transaction failed, each change gets its own");
            }
        }
    }
    for mut change in changes {
        let mut done = alone(conn, &mut *change, commits);
        if done.as_ref().is_err_and(is_disk_full) && reserve::release(&commits.dir) {
            tracing::error!("The disk is full; space that was kept back is used");
            done = alone(conn, &mut *change, commits);
        }
        change.tell(done);
    }
}

fn together(conn: &Connection, changes: &mut [Box<dyn Change>], commits: &Commits) -> Result<()> {
    let before = conn.total_changes();
    let open = Open::begin(conn)?;
    for change in changes {
        step(conn, "SAVEPOINT one")?;
        let good = change.run(conn);
        if conn.is_autocommit() {
            // SQLite gave the whole transaction up, and with it the changes before this one.
            return Err(Error::internal("The transaction was rolled back"));
        }
        if !good {
            step(conn, "ROLLBACK TO one")?;
        }
        step(conn, "RELEASE one")?;
    }
    open.commit(before, commits)
}

/// One change in a transaction of its own. That it failed by itself is no error here.
fn alone(conn: &Connection, change: &mut dyn Change, commits: &Commits) -> Result<()> {
    if commits.twice {
        let open = Open::begin(conn)?;
        let good = change.run(conn);
        drop(open);
        if !good {
            return Ok(());
        }
    }
    let before = conn.total_changes();
    let open = Open::begin(conn)?;
    if change.run(conn) { open.commit(before, commits) } else { Ok(()) }
}

/// An open transaction that is rolled back unless it was committed: a panic must not leave it open.
struct Open<'a> {
    conn: &'a Connection,
}

impl<'a> Open<'a> {
    fn begin(conn: &'a Connection) -> Result<Self> {
        step(conn, "BEGIN IMMEDIATE")?;
        Ok(Self { conn })
    }

    fn commit(self, before: u64, commits: &Commits) -> Result<()> {
        // On failure the transaction is still open and the guard rolls it back.
        step(self.conn, "COMMIT")?;
        if self.conn.total_changes() != before {
            commits.done.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = step(self.conn, "ROLLBACK")
        {
            tracing::error!(error = %error.chain(), "Failed to roll back a database transaction");
        }
    }
}

pub(crate) fn step(conn: &Connection, text: &str) -> Result<()> {
    conn.prepare_cached(text).and_then(|mut s| s.execute([])).map(drop).map_err(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Asked = (Box<dyn Change>, oneshot::Receiver<Result<usize>>);

    fn insert(key: &'static str) -> Asked {
        change(move |tx| tx.execute("INSERT INTO t VALUES (?1)", [key]))
    }

    fn change(work: impl Fn(&Tx<'_>) -> Result<usize> + Send + 'static) -> Asked {
        let (answer, wait) = oneshot::channel();
        (Box::new(Pending::new(work, answer)), wait)
    }

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (k TEXT UNIQUE)").unwrap();
        conn
    }

    fn keys(conn: &Connection) -> Vec<String> {
        let mut statement = conn.prepare("SELECT k FROM t ORDER BY k").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(rusqlite::Result::unwrap).collect()
    }

    #[test]
    fn one_commit_for_all_and_a_failure_harms_only_itself() {
        let (conn, commits) = (database(), Commits::default());
        let panics = change(|tx| {
            tx.execute("INSERT INTO t VALUES ('half')", [])?;
            panic!("on purpose")
        });
        let all = [insert("a"), insert("a"), panics, insert("b")];
        let (changes, waits): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        commit(&conn, changes, &commits);
        let good: Vec<bool> = waits.into_iter().map(|wait| wait.blocking_recv().unwrap().is_ok()).collect();
        assert_eq!(good, [true, false, false, true]);
        assert_eq!(keys(&conn), ["a", "b"]);
        assert_eq!(commits.done.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_lost_transaction_is_done_again_one_by_one() {
        let (conn, commits) = (database(), Commits::default());
        let ends_it = change(|tx| {
            tx.execute("INSERT INTO t VALUES ('c')", [])?;
            tx.execute("INSERT OR ROLLBACK INTO t VALUES ('c')", [])
        });
        let (changes, waits): (Vec<_>, Vec<_>) = [insert("a"), ends_it, insert("b")].into_iter().unzip();
        commit(&conn, changes, &commits);
        let good: Vec<bool> = waits.into_iter().map(|wait| wait.blocking_recv().unwrap().is_ok()).collect();
        assert_eq!(good, [true, false, true]);
        assert_eq!(keys(&conn), ["a", "b"]);
        assert!(conn.is_autocommit());
    }
}
