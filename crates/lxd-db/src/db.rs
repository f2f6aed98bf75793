//! The handle: transactions on the global and the local database.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::Connection;

use crate::error::sql;
use crate::group::{Commits, step};
use crate::open::{self, Paths};
use crate::tx::Tx;
use crate::version::{Version, Versions};
use crate::worker::{WaitStats, Workers};
use crate::{backup, patch, reserve, schema};

/// Read connections to the global database.
const READERS: usize = 2;

/// The databases of one server. Cheap to clone; the files are closed with the last handle.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    // In this order they end: the writer goes last and empties the write-ahead log.
    readers: Workers,
    local: Workers,
    writer: Workers,
    global_commits: Arc<Commits>,
    local_commits: Arc<Commits>,
    paths: Paths,
    // Behind the connections, see there.
    versions: Versions,
}

/// What the database has done since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DbStats {
    /// Transactions that changed the global database.
    pub global_commits: u64,
    /// Transactions that changed the local database.
    pub local_commits: u64,
    /// Waiting for a read connection to the global database.
    pub reads: WaitStats,
    /// Waiting for the writer of the global database.
    pub writes: WaitStats,
    /// Waiting for the local database.
    pub local: WaitStats,
}

impl DbStats {
    /// All transactions that changed anything.
    pub fn commits(&self) -> u64 {
        self.global_commits + self.local_commits
    }
}

impl Db {
    /// Opens `database/local.db` and `database/global/db.bin` below the server's directory; makes them when they
    /// are missing, and brings them to the present schema. Blocks; call it once, at the start.
    ///
    /// # Errors
    /// The directory belongs to another LXD or to a newer server (then nothing was changed), or the files cannot
    /// be used.
    pub fn open(lxd_dir: &Path) -> Result<Self> {
        open::check_foreign(lxd_dir)?;
        let now = Utc::now();
        let paths = Paths::below(lxd_dir);
        if !open::is_missing(&paths.local)? && open::is_missing(&paths.global)? {
            return Err(Error::internal(format!(
                "{} is missing although {} is there; put back a copy of it (*.bak)",
                paths.global.display(),
                paths.local.display(),
            )));
        }
        open::make_dirs(&paths)?;
        let opened = match Opened::all(&paths, now) {
            Err(error) if reserve::is_needed(&paths.dir) => {
                tracing::error!(error = error.chain(), "The disk is full; space that was kept back is used");
                Opened::all(&paths, now)?
            }
            other => other?,
        };
        keep_reserve(&paths);
        let versions = Versions::of(&paths.global)?;
        let twice = std::env::var_os("LXD_DB_TWICE").is_some_and(|v| v == "1");
        let commits = || Arc::new(Commits { twice, dir: paths.dir.clone(), ..Commits::default() });
        let (global_commits, local_commits) = (commits(), commits());
        Ok(Self {
            inner: Arc::new(Inner {
                readers: Workers::start("read", opened.readers, &global_commits)?,
                local: Workers::start("local", vec![opened.local], &local_commits)?,
                writer: Workers::start("write", vec![opened.writer], &global_commits)?,
                global_commits,
                local_commits,
                paths,
                versions,
            }),
        })
    }

    /// Runs `work` on a consistent view of the global database.
    ///
    /// # Errors
    /// What `work` answers, or a failure of the database.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.inner.readers.run(move |conn| view(conn, &work)).await
    }

    /// Runs `work` in one transaction on the global database: all of it is kept, or, when it fails, nothing. Changes
    /// that are asked for at the same time are committed together.
    ///
    /// `work` may run again and must have no effect besides its queries.
    ///
    /// # Errors
    /// What `work` answers, or a failure of the database.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.inner.writer.change(work).await
    }

    /// [`Db::read`] on the local database.
    ///
    /// # Errors
    /// As there.
    pub async fn local_read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.inner.local.run(move |conn| view(conn, &work)).await
    }

    /// [`Db::write`] on the local database.
    ///
    /// # Errors
    /// As there.
    pub async fn local_write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.inner.local.change(work).await
    }

    /// Keeps some space back again after a full disk; nothing happens while it is there or the disk is full.
    pub async fn keep_reserve(&self) {
        let inner = Arc::clone(&self.inner);
        // A panic in it is told by the runtime.
        let _ = tokio::task::spawn_blocking(move || keep_reserve(&inner.paths)).await;
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.inner.paths
    }

    /// Writes all that was committed into `database/global/db.bin` itself and empties its log, so that other programs
    /// can read the file alone (`lxd sql global .sync`).
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn sync_global(&self) -> Result<()> {
        let work = |conn: &mut Connection| {
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sql)
        };
        self.inner.writer.run(work).await
    }

    /// The state of the global database; it changes with every commit, also of another program. None while a commit is
    /// under way: then nobody can tell.
    pub fn global_version(&self) -> Option<Version> {
        self.inner.versions.present()
    }

    /// Commits and waiting times since the start.
    pub fn stats(&self) -> DbStats {
        let inner = &self.inner;
        DbStats {
            global_commits: inner.global_commits.done.load(Ordering::Relaxed),
            local_commits: inner.local_commits.done.load(Ordering::Relaxed),
            reads: inner.readers.waits(),
            writes: inner.writer.waits(),
            local: inner.local.waits(),
        }
    }

    /// Finishes the work that waits and closes the files; later calls answer "unavailable". Blocks for as long as
    /// that takes.
    pub fn close(&self) {
        self.inner.readers.close();
        self.inner.local.close();
        self.inner.writer.close();
    }
}

/// The connections of a server.
struct Opened {
    writer: Connection,
    local: Connection,
    readers: Vec<Connection>,
}

impl Opened {
    fn all(paths: &Paths, now: DateTime<Utc>) -> Result<Self> {
        let writer = one(&paths.global, &open::GLOBAL, paths, now)?;
        let local = one(&paths.local, &open::LOCAL, paths, now)?;
        let readers = (0..READERS).map(|_| open::open_reader(&paths.global)).collect::<Result<_>>()?;
        Ok(Self { writer, local, readers })
    }
}

fn one(path: &Path, kind: &open::Kind, paths: &Paths, now: DateTime<Utc>) -> Result<Connection> {
    if open::is_missing(path)? {
        open::create(path, kind, now)?;
    }
    present(path, kind, paths, now)
}

fn keep_reserve(paths: &Paths) {
    if let Err(error) = reserve::keep(&paths.dir) {
        tracing::warn!(%error, "No space could be kept back for a full disk");
    }
}

/// Opens a database and brings it to the present: the administrator's patch, then the missing steps of the schema,
/// each after a copy.
fn present(path: &Path, kind: &open::Kind, paths: &Paths, now: DateTime<Utc>) -> Result<Connection> {
    let mut conn = open::open_writer(path)?;
    let found = schema::version(&conn)?;
    schema::refuse_newer(kind.name, found, kind.steps, &backup::kept_before_change(paths, kind))?;
    let patch = patch::waiting(paths, kind)?;
    if patch.is_some() || found < schema::newest(kind.steps) {
        backup::before_change(&conn, paths, kind)?;
    }
    if let Some((path, text)) = patch {
        patch::apply(&mut conn, &path, &text)?;
    }
    schema::migrate(&mut conn, kind.steps, now, |_| Ok(()))?;
    Ok(conn)
}

fn view<T>(conn: &Connection, work: &impl Fn(&Tx<'_>) -> Result<T>) -> Result<T> {
    let view = View::open(conn)?;
    let outcome = work(&Tx::new(conn));
    drop(view);
    outcome
}

/// A consistent view that is left in any case: a panic must not leave it open.
struct View<'a> {
    conn: &'a Connection,
}

impl<'a> View<'a> {
    fn open(conn: &'a Connection) -> Result<Self> {
        step(conn, "BEGIN DEFERRED")?;
        Ok(Self { conn })
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = step(self.conn, "ROLLBACK")
        {
            tracing::error!(error = %error.chain(), "Failed to leave a view of the database");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::testing::temporary;

    #[tokio::test]
    async fn a_failed_write_leaves_nothing() {
        let (db, _dir) = temporary();
        let failed: Result<()> = db
            .write(|tx| {
                config::set(tx, "user.a", "1")?;
                Err(Error::bad_request("no"))
            })
            .await;
        assert_eq!(failed.unwrap_err().chain(), "no");
        assert!(db.read(config::all).await.unwrap().is_empty());
        assert_eq!(db.stats().global_commits, 0);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_rolls_back() {
        let (db, _dir) = temporary();
        let failed: Result<()> = db
            .write(|tx| {
                config::set(tx, "user.a", "1")?;
                panic!("on purpose")
            })
            .await;
        assert!(failed.is_err());
        db.write(|tx| config::set(tx, "user.b", "1")).await.unwrap();
        assert_eq!(db.read(config::all).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn readers_cannot_write_and_see_commits_at_once() {
        let (db, _dir) = temporary();
        assert!(db.read(|tx| config::set(tx, "user.a", "1")).await.is_err());
        for n in 0..50 {
            db.write(move |tx| config::set(tx, "user.n", &n.to_string())).await.unwrap();
            assert_eq!(db.read(|tx| config::get(tx, "user.n")).await.unwrap(), Some(n.to_string()));
        }
        assert_eq!(db.stats().global_commits, 50);
    }

    #[tokio::test]
    async fn everything_is_there_after_reopening() {
        let (db, dir) = temporary();
        db.write(|tx| config::set(tx, "user.a", "1")).await.unwrap();
        db.local_write(|tx| config::set(tx, "user.b", "2")).await.unwrap();
        db.close();
        assert_eq!(db.read(config::all).await.unwrap_err().kind(), lxd_types::Kind::Unavailable);
        let db = Db::open(dir.path()).unwrap();
        assert_eq!(db.read(|tx| config::get(tx, "user.a")).await.unwrap().as_deref(), Some("1"));
        assert_eq!(db.local_read(|tx| config::get(tx, "user.b")).await.unwrap().as_deref(), Some("2"));
    }
}
