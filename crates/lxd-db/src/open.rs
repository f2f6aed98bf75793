//! The database files: whose they are, how they are made, opened and brought to the present schema.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rusqlite::{Connection, OpenFlags, Transaction};

use crate::error::file;
use crate::schema::{self, Migration};
use crate::{nodes, time};

/// SQLite's application id of our files: "LXDR".
pub(crate) const APPLICATION_ID: u32 = 0x4c58_4452;

/// Where the files are below the server's directory.
pub(crate) struct Paths {
    /// `database/`
    pub dir: PathBuf,
    /// `database/global/`
    pub global_dir: PathBuf,
    /// `database/local.db`
    pub local: PathBuf,
    /// `database/global/db.bin`
    pub global: PathBuf,
}

impl Paths {
    pub(crate) fn below(lxd_dir: &Path) -> Self {
        let dir = lxd_dir.join("database");
        let global_dir = dir.join("global");
        Self { local: dir.join("local.db"), global: global_dir.join("db.bin"), dir, global_dir }
    }
}

/// Refuses a server directory whose database belongs to another LXD; looks only, changes nothing.
///
/// # Errors
/// The directory has dqlite files, or a database file without our mark; the text says what to do.
pub fn check_foreign(lxd_dir: &Path) -> Result<()> {
    let paths = Paths::below(lxd_dir);
    if let Ok(entries) = fs::read_dir(&paths.global_dir) {
        for entry in entries {
            let name = entry.context("Failed to list the database directory")?.file_name();
            if is_dqlite(&name.to_string_lossy()) {
                return Err(foreign(&paths, &paths.global_dir.join(name)));
            }
        }
    }
    for path in [&paths.local, &paths.global] {
        if exists(path)? && !has_mark(path)? {
            return Err(foreign(&paths, path));
        }
    }
    Ok(())
}

fn foreign(paths: &Paths, found: &Path) -> Error {
    Error::internal(format!(
        "{} holds the database of another LXD ({} was not made by this server); nothing was changed there. Set \
         LXD_DIR to an empty directory to start a new server, or keep the old daemon for this one and move its \
         instances over with \"lxc copy\" or \"lxc export\"",
        paths.dir.display(),
        found.display(),
    ))
}

/// Names that dqlite gives to its log, its snapshots and its metadata.
fn is_dqlite(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name == "metadata1"
        || name == "metadata2"
        || name.strip_prefix("open-").is_some_and(digits)
        || name.starts_with("snapshot-")
        || name.split_once('-').is_some_and(|(first, last)| digits(first) && digits(last))
}

/// True when the file is there and has content (an empty file is as good as none).
fn exists(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context(format!("Failed to look at {}", path.display())),
    }
}

/// Reads SQLite's header, without SQLite: opening a database in WAL mode would already write.
fn has_mark(path: &Path) -> Result<bool> {
    let mut header = [0_u8; 100];
    let mut file = File::open(path).context(format!("Failed to open {}", path.display()))?;
    if file.read_exact(&mut header).is_err() {
        return Ok(false);
    }
    Ok(header.starts_with(b"SQLite format 3\0") && header[68..72] == APPLICATION_ID.to_be_bytes())
}

/// What [`prepare`] has to know about one of the two databases.
pub(crate) struct Kind {
    /// As in messages: `local` or `global`.
    pub name: &'static str,
    /// The schema's steps.
    pub steps: &'static [Migration],
    /// What a new database gets besides its schema.
    pub seed: fn(&Transaction<'_>, DateTime<Utc>) -> rusqlite::Result<()>,
}

pub(crate) const LOCAL: Kind = Kind { name: "local", steps: schema::LOCAL, seed: |_, _| Ok(()) };
pub(crate) const GLOBAL: Kind = Kind { name: "global", steps: schema::GLOBAL, seed: nodes::seed };

/// Makes the directories of the database, readable by root alone.
pub(crate) fn make_dirs(paths: &Paths) -> Result<()> {
    make_dir(&paths.dir)?;
    make_dir(&paths.global_dir)
}

/// Makes a directory that only root can enter.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o700)))
        .context(format!("Failed to make {}", dir.display()))
}

/// Makes a new database under another name and puts it in place when it is whole.
pub(crate) fn create(path: &Path, kind: &Kind, now: DateTime<Utc>) -> Result<()> {
    let draft = path.with_extension("new");
    let told = || format!("Failed to make the {} database", kind.name);
    remove_files(&draft).context(told())?;
    private_file(&draft).context(told())?;
    let mut conn = open_file(&draft, false)?;
    conn.pragma_update(None, "application_id", APPLICATION_ID).map_err(file(told()))?;
    schema::migrate(&mut conn, kind.steps, now, |tx| (kind.seed)(tx, now))?;
    conn.pragma_update(None, "journal_mode", "WAL").map_err(file(told()))?;
    conn.close().map_err(|(_, error)| file(told())(error))?;
    remove_files(path).context(told())?;
    fs::rename(&draft, path).context(told())?;
    sync_parent(path).context(told())
}

/// True when the database has to be made.
pub(crate) fn is_missing(path: &Path) -> Result<bool> {
    Ok(!exists(path)?)
}

/// Opens a writing connection with the settings that all of ours have.
pub(crate) fn open_writer(path: &Path) -> Result<Connection> {
    let conn = open_file(path, false)?;
    let mode: String = conn
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(file(format!("Failed to open {}", path.display())))?;
    if mode != "wal" {
        return Err(Error::internal(format!("{} cannot be used in WAL mode", path.display())));
    }
    Ok(conn)
}

/// Opens a connection that cannot write.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    open_file(path, true)
}

fn open_file(path: &Path, read_only: bool) -> Result<Connection> {
    let told = || format!("Failed to open {}", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(file(told()))?;
    let settings: &[(&str, &str)] = &[
        // Another program (sqlite3 in the hand of an administrator) may hold the file for a moment.
        ("busy_timeout", "5000"),
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
        // A small write-ahead log keeps the folder small; each checkpoint costs one more fsync.
        ("wal_autocheckpoint", "256"),
        ("journal_size_limit", "1048576"),
        // In KiB. What readers ask for again and again is kept by those who ask.
        ("cache_size", if read_only { "-256" } else { "-1024" }),
        ("trusted_schema", "OFF"),
    ];
    for (name, value) in settings {
        conn.pragma_update(None, name, value).map_err(file(told()))?;
    }
    if read_only {
        conn.pragma_update(None, "query_only", "ON").map_err(file(told()))?;
    }
    conn.set_prepared_statement_cache_capacity(96);
    Ok(conn)
}

/// An empty file that only root can read; SQLite gives its mode to the files beside it.
pub(crate) fn private_file(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Removes a database that was not finished, with its journals.
pub(crate) fn remove_files(path: &Path) -> std::io::Result<()> {
    remove(path, &["", "-wal", "-shm", "-journal"])
}

/// Removes the journals of a database that is closed.
pub(crate) fn remove_side_files(path: &Path) -> std::io::Result<()> {
    remove(path, &["-wal", "-shm", "-journal"])
}

fn remove(path: &Path, suffixes: &[&str]) -> std::io::Result<()> {
    for suffix in suffixes {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes a rename in the file's directory durable.
pub(crate) fn sync_parent(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Time for rows that are written while opening.
pub(crate) fn stamp(now: DateTime<Utc>) -> String {
    time::store(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Db;
    use crate::testing::temporary;

    /// All names and contents below a directory.
    fn all_files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(all_files(&path))
            } else {
                found.push((path.clone(), fs::read(path).unwrap()))
            }
        }
        found.sort();
        found
    }

    #[test]
    fn only_root_can_read() {
        let (_db, dir) = temporary();
        for (path, _) in all_files(&dir.path().join("database")) {
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
        }
        for sub in ["database", "database/global"] {
            assert_eq!(fs::metadata(dir.path().join(sub)).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_directory_with_dqlite_files_is_left_alone() {
        for name in ["metadata1", "open-1", "0000000000000001-0000000000000001", "snapshot-1-1-1.meta"] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("database/global")).unwrap();
            fs::write(dir.path().join("database/global").join(name), "x").unwrap();
            let before = all_files(dir.path());
            let error = Db::open(dir.path()).err().unwrap();
            assert!(error.chain().contains("another LXD"), "{error:?}");
            assert_eq!(all_files(dir.path()), before);
        }
    }

    #[test]
    fn a_database_without_our_mark_is_left_alone() {
        for name in ["local.db", "global/db.bin"] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("database/global")).unwrap();
            let path = dir.path().join("database").join(name);
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch("CREATE TABLE schema (version INTEGER)").unwrap();
            drop(conn);
            let before = all_files(dir.path());
            assert!(Db::open(dir.path()).err().unwrap().chain().contains("another LXD"));
            assert_eq!(all_files(dir.path()), before);
        }
    }

    #[test]
    fn a_draft_of_a_killed_start_is_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("database/global")).unwrap();
        fs::write(dir.path().join("database/global/db.new"), "half").unwrap();
        fs::write(dir.path().join("database/local.db"), "").unwrap();
        Db::open(dir.path()).unwrap().close();
        Db::open(dir.path()).unwrap();
    }

    #[test]
    fn a_lost_global_database_is_not_replaced() {
        let (db, dir) = temporary();
        db.close();
        fs::remove_file(dir.path().join("database/global/db.bin")).unwrap();
        assert!(Db::open(dir.path()).err().unwrap().chain().contains("is missing"));
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let (db, dir) = temporary();
        db.close();
        let path = dir.path().join("database/global/db.bin");
        let conn = Connection::open(&path).unwrap();
        conn.execute("INSERT INTO schema (version, updated_at) VALUES (999, '')", []).unwrap();
        drop(conn);
        let error = Db::open(dir.path()).err().unwrap().chain();
        assert!(error.contains("999") && error.contains(&crate::GLOBAL_VERSION.to_string()), "{error}");
        assert!(error.contains("/database/global.bak/db.bin"), "{error}");
    }
}
