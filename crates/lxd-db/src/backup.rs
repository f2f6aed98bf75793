//! Copies of the databases: before each schema migration, before an administrator's patch, and daily.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rusqlite::Connection;
use rusqlite::backup::Backup;

use crate::error::file;
use crate::open::{self, APPLICATION_ID, Paths};
use crate::{Db, Tx};

/// How many daily copies are kept.
const KEPT: usize = 7;

/// Copies an open database to `target`, looks whether the copy is sound, and only then puts it in place of an older
/// one. The copy has the mode of the original.
fn copy(conn: &Connection, target: &Path) -> Result<()> {
    let told = || format!("Failed to copy the database to {}", target.display());
    let draft = target.with_extension("new");
    open::remove_files(&draft).context(told())?;
    open::private_file(&draft).context(told())?;
    let mut kept = Connection::open(&draft).map_err(file(told()))?;
    Backup::new(conn, &mut kept)
        .and_then(|backup| backup.run_to_completion(i32::MAX, std::time::Duration::ZERO, None))
        .map_err(file(told()))?;
    forget_journal(&kept).map_err(file(told()))?;
    verify(&kept).context(told())?;
    kept.close().map_err(|(_, error)| file(told())(error))?;
    open::remove_side_files(&draft).context(told())?;
    File::open(&draft).and_then(|f| f.sync_all()).context(told())?;
    fs::rename(&draft, target).context(told())?;
    open::sync_parent(target).context(told())
}

/// What was under way when a copy was made has ended when the copy is put back: its undo would hit what was finished.
fn forget_journal(copy: &Connection) -> rusqlite::Result<()> {
    if copy.table_exists(None, "journal")? {
        copy.execute("DELETE FROM journal", []).map(drop)
    } else {
        Ok(())
    }
}

fn verify(copy: &Connection) -> Result<()> {
    let told = || "Failed to verify the copy";
    let mark: u32 =
        copy.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(file(told()))?;
    let state: String =
        copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(file(told()))?;
    if mark != APPLICATION_ID || state != "ok" {
        return Err(Error::internal(format!("The copy is damaged: {state}")));
    }
    Ok(())
}

/// Keeps `database/local.db.bak` or `database/global.bak/db.bin` before something changes the whole database.
pub(crate) fn before_change(conn: &Connection, paths: &Paths, kind: &open::Kind) -> Result<()> {
    let target = kept_before_change(paths, kind);
    if kind.name != "local"
        && let Some(dir) = target.parent()
    {
        open::make_dir(dir)?;
    }
    copy(conn, &target)
}

/// Where [`before_change`] keeps its copy.
pub(crate) fn kept_before_change(paths: &Paths, kind: &open::Kind) -> PathBuf {
    match kind.name {
        "local" => paths.dir.join("local.db.bak"),
        _ => paths.dir.join("global.bak/db.bin"),
    }
}

/// The directory of the daily copies.
fn daily_dir(paths: &Paths) -> PathBuf {
    paths.dir.join("copies")
}

/// The name of a day's copy.
fn daily_name(database: &str, day: NaiveDate) -> String {
    format!("{database}-{day}.bak")
}

impl Db {
    /// Keeps a verified copy of both databases for the day of `now` (`database/copies/global-2026-11-21.bak`), unless
    /// there is one, and removes all but the newest seven. True when a copy was made.
    ///
    /// # Errors
    /// A copy could not be written or is damaged; older ones are untouched.
    pub async fn keep_daily_copy(&self, now: DateTime<Utc>) -> Result<bool> {
        let dir = daily_dir(self.paths());
        let day = now.date_naive();
        let mut made = false;
        for database in ["global", "local"] {
            let (dir, target) = (dir.clone(), dir.join(daily_name(database, day)));
            let work = move |tx: &Tx<'_>| {
                if target.exists() {
                    return Ok(false);
                }
                open::make_dir(&dir)?;
                copy(tx.conn(), &target)?;
                thin_out(&dir, database)?;
                Ok(true)
            };
            made |= match database {
                "global" => self.read(work).await?,
                _ => self.local_read(work).await?,
            };
        }
        Ok(made)
    }
}

/// Removes all but the newest copies of a database.
fn thin_out(dir: &Path, database: &str) -> Result<()> {
    let told = || format!("Failed to clean up {}", dir.display());
    let mut copies = Vec::new();
    for entry in fs::read_dir(dir).context(told())? {
        let path = entry.context(told())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let day = name.strip_prefix(database).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".bak"));
        if let Some(day) = day.and_then(|day| day.parse::<NaiveDate>().ok()) {
            copies.push((day, path));
        }
    }
    copies.sort();
    let surplus = copies.len().saturating_sub(KEPT);
    copies.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path)).context(told())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::testing::temporary;

    #[tokio::test]
    async fn daily_copies_hold_the_data_and_are_seven() {
        let (db, dir) = temporary();
        db.write(|tx| config::set(tx, "user.a", "1")).await.unwrap();
        let day = |n: i64| DateTime::from_timestamp(1_700_000_000 + n * 86_400, 0).unwrap();
        for n in 0..10 {
            assert!(db.keep_daily_copy(day(n)).await.unwrap());
            assert!(!db.keep_daily_copy(day(n)).await.unwrap());
        }
        let copies = dir.path().join("database/copies");
        let mut names: Vec<String> = fs::read_dir(&copies)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 14, "{names:?}");
        assert_eq!(
            (names[0].as_str(), names[6].as_str()),
            ("global-2023-11-17.bak", "global-2023-11-23.bak")
        );
        let copy = Connection::open(copies.join(&names[6])).unwrap();
        let value: String = copy.query_row("SELECT value FROM config", [], |row| row.get(0)).unwrap();
        assert_eq!(value, "1");
    }

    #[tokio::test]
    async fn a_copy_undoes_nothing_when_it_is_put_back() {
        let (db, dir) = temporary();
        let step = crate::journal::Step { operation: "o".to_owned(), sequence: 0, step: "{}".to_owned() };
        db.local_write(move |tx| crate::journal::append(tx, &step)).await.unwrap();
        db.keep_daily_copy(DateTime::from_timestamp(1_700_000_000, 0).unwrap()).await.unwrap();
        assert_eq!(db.local_read(crate::journal::all).await.unwrap().len(), 1);
        let copy = Connection::open(dir.path().join("database/copies/local-2023-11-14.bak")).unwrap();
        let steps: i64 = copy.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap();
        assert_eq!(steps, 0);
    }

    #[test]
    fn copies_before_changes_stand_where_the_manual_says() {
        let (db, dir) = temporary();
        db.close();
        let paths = Paths::below(dir.path());
        let conn = open::open_writer(&paths.global).unwrap();
        before_change(&conn, &paths, &open::GLOBAL).unwrap();
        let conn = open::open_writer(&paths.local).unwrap();
        before_change(&conn, &paths, &open::LOCAL).unwrap();
        before_change(&conn, &paths, &open::LOCAL).unwrap();
        for copy in ["local.db.bak", "global.bak/db.bin"] {
            verify(&Connection::open(paths.dir.join(copy)).unwrap()).unwrap();
        }
    }
}
