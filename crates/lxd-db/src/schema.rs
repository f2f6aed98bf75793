//! Schema versions and how a database gets from one to the next.

use std::path::Path;

use chrono::{DateTime, Utc};
use lxd_types::{Error, Result};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::file;
use crate::time;

/// One step of a schema. Released steps are never edited.
pub(crate) struct Migration {
    /// The version that the database has afterwards.
    pub version: i64,
    /// What has to be done.
    pub sql: &'static str,
}

/// The steps of the global database.
pub(crate) const GLOBAL: &[Migration] = &[
    Migration { version: 1, sql: include_str!("../schema/global-1.sql") },
    Migration { version: 2, sql: include_str!("../schema/global-2.sql") },
];

/// The steps of the local database.
pub(crate) const LOCAL: &[Migration] =
    &[Migration { version: 1, sql: include_str!("../schema/local-1.sql") }];

/// The newest version of the global schema that this program knows.
pub const GLOBAL_VERSION: i64 = GLOBAL[GLOBAL.len() - 1].version;

/// The newest version of the local schema that this program knows.
pub const LOCAL_VERSION: i64 = LOCAL[LOCAL.len() - 1].version;

/// The version of an open database; 0 when it has no table yet.
pub(crate) fn version(conn: &Connection) -> Result<i64> {
    let known: Option<i64> = conn
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema'", [], |r| r.get(0))
        .optional()
        .map_err(file("Failed to read the database schema"))?;
    if known.is_none() {
        return Ok(0);
    }
    conn.query_row("SELECT IFNULL(MAX(version), 0) FROM schema", [], |r| r.get(0))
        .map_err(file("Failed to read the schema version"))
}

/// Refuses a database that a newer program has changed.
pub(crate) fn refuse_newer(name: &str, found: i64, steps: &[Migration], copy: &Path) -> Result<()> {
    let known = newest(steps);
    if found <= known {
        return Ok(());
    }
    Err(Error::internal(format!(
        "The {name} database has schema version {found}, but this server knows only version {known}; nothing was \
         changed. Start the newer server again, or put back the copy that was kept before the upgrade, {} (see \
         doc/internals/database.md)",
        copy.display()
    )))
}

/// Does the steps that are missing, all in one transaction. True when there was something to do.
pub(crate) fn migrate(
    conn: &mut Connection,
    steps: &[Migration],
    now: DateTime<Utc>,
    after: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> Result<bool> {
    let found = version(conn)?;
    if found >= newest(steps) {
        return Ok(false);
    }
    let fail = |version: i64| file(format!("Failed to bring the database to schema version {version}"));
    // Rebuilding a table must not cascade; what refers to nothing afterwards is found before the commit.
    conn.pragma_update(None, "foreign_keys", "OFF").map_err(fail(newest(steps)))?;
    let tx = conn.transaction().map_err(fail(newest(steps)))?;
    for step in steps.iter().filter(|step| step.version > found) {
        tx.execute_batch(step.sql).map_err(fail(step.version))?;
        tx.execute(
            "INSERT INTO schema (version, updated_at) VALUES (?1, ?2)",
            params![step.version, time::store(now)],
        )
        .map_err(fail(step.version))?;
    }
    after(&tx).map_err(fail(newest(steps)))?;
    let broken: i64 = tx
        .query_row("SELECT COUNT(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .map_err(fail(newest(steps)))?;
    if broken > 0 {
        return Err(Error::internal(format!(
            "The migration of the database leaves {broken} rows that refer to nothing"
        )));
    }
    tx.commit().map_err(fail(newest(steps)))?;
    conn.pragma_update(None, "foreign_keys", "ON").map_err(fail(newest(steps)))?;
    Ok(true)
}

/// The version after all steps.
pub(crate) fn newest(steps: &[Migration]) -> i64 {
    steps.last().map_or(0, |step| step.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every object of a database, without the text's white space.
    fn objects(conn: &Connection) -> Vec<(String, String)> {
        let mut statement =
            conn.prepare("SELECT name, IFNULL(sql, '') FROM sqlite_schema ORDER BY type, name").unwrap();
        let rows = statement.query_map([], |row| {
            let text: String = row.get(1)?;
            Ok((row.get(0)?, text.split_whitespace().collect::<Vec<_>>().join(" ")))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn at(steps: &[Migration]) -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, steps, DateTime::UNIX_EPOCH, |_| Ok(())).unwrap();
        conn
    }

    #[test]
    fn every_released_schema_migrates_to_the_present_one() {
        for steps in [GLOBAL, LOCAL] {
            let fresh = objects(&at(steps));
            for released in 1..=steps.len() {
                let mut old = at(&steps[..released]);
                migrate(&mut old, steps, DateTime::UNIX_EPOCH, |_| Ok(())).unwrap();
                assert_eq!(objects(&old), fresh);
                assert_eq!(version(&old).unwrap(), newest(steps));
            }
        }
    }

    #[test]
    fn versions_count_up() {
        for steps in [GLOBAL, LOCAL] {
            assert!(steps.windows(2).all(|pair| pair[0].version + 1 == pair[1].version));
        }
    }

    #[test]
    fn every_table_has_a_primary_key() {
        for steps in [GLOBAL, LOCAL] {
            let conn = at(steps);
            let without: Vec<String> = conn
                .prepare(
                    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                     AND NOT EXISTS (SELECT 1 FROM pragma_table_info(sqlite_schema.name) WHERE pk > 0)",
                )
                .unwrap()
                .query_map([], |row| row.get(0))
                .unwrap()
                .map(std::result::Result::unwrap)
                .collect();
            assert_eq!(without, Vec::<String>::new());
        }
    }
}
