//! `lxd sql`: statements of an administrator, and the databases as text.

use lxd_types::{Error, Kind, Result};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, Statement};
use serde::Serialize;
use serde_json::Value;

use crate::{Db, Tx};

/// One of the two databases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Database {
    /// `database/local.db`
    Local,
    /// `database/global/db.bin`
    Global,
}

/// What one statement answered, as `/internal/sql` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// `select` or `exec`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Names of the columns of a `select`.
    pub columns: Option<Vec<String>>,
    /// Its rows; none when there are none.
    pub rows: Option<Vec<Vec<Value>>>,
    /// Rows that an `exec` changed.
    pub rows_affected: usize,
}

/// PRAGMA statements that look at things and take a name.
const HARMLESS: &[&str] = &[
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

impl Db {
    /// Runs statements in one transaction: all of them are kept, or none. What only reads does not wait for the writer.
    ///
    /// # Errors
    /// A statement is wrong, not allowed here (transactions, ATTACH, settings), or fails; the text is SQLite's.
    pub async fn sql(&self, database: Database, text: String) -> Result<Vec<Outcome>> {
        let copy = text.clone();
        let read = move |tx: &Tx<'_>| run(tx.conn(), &copy);
        let looked = match database {
            Database::Local => self.local_read(read_only(read)).await,
            Database::Global => self.read(read).await,
        };
        if let Ok(outcomes) = looked {
            return Ok(outcomes);
        }
        let write = move |tx: &Tx<'_>| run(tx.conn(), &text);
        match database {
            Database::Local => self.local_write(write).await,
            Database::Global => self.write(write).await,
        }
    }

    /// The database as SQL text, with its rows or without.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn dump(&self, database: Database, rows: bool) -> Result<String> {
        let work = move |tx: &Tx<'_>| dump(tx.conn(), rows).map_err(failed("Failed to dump the database"));
        match database {
            Database::Local => self.local_read(work).await,
            Database::Global => self.read(work).await,
        }
    }
}

/// Refuses changes by `work`: the connection of the local database can write.
fn read_only<T>(work: impl Fn(&Tx<'_>) -> Result<T>) -> impl Fn(&Tx<'_>) -> Result<T> {
    move |tx| {
        let set = |on: bool| {
            tx.conn().pragma_update(None, "query_only", on).map_err(failed("Failed to set the database"))
        };
        set(true)?;
        let outcome = work(tx);
        set(false)?;
        outcome
    }
}

/// The text of SQLite alone, as users of `lxd sql` know it.
fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

fn failed(what: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| Error::new(Kind::Internal, format!("{what}: {}", message(&error)))
}

fn run(conn: &Connection, text: &str) -> Result<Vec<Outcome>> {
    let mut batch = Batch::new(conn, text);
    let mut outcomes = Vec::new();
    while let Some(statement) = batch.next().map_err(|error| wrong(text, outcomes.len(), &error))? {
        if !allowed(&statement.expanded_sql().unwrap_or_default()) {
            return Err(Error::internal("Failed to exec query: not authorized"));
        }
        outcomes.push(one(statement)?);
    }
    Ok(outcomes)
}

/// False for what would end our transaction, add other files, or change settings of the connection.
fn allowed(statement: &str) -> bool {
    let text = without_comments(statement);
    let word: String =
        text.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_uppercase();
    match word.as_str() {
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "ATTACH" | "DETACH"
        | "VACUUM" => false,
        "PRAGMA" => {
            let rest = text[word.len()..].trim_start();
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let argument = rest[name.len()..].trim_matches([' ', '\t', '\r', '\n', ';']);
            argument.is_empty() || HARMLESS.iter().any(|known| known.eq_ignore_ascii_case(&name))
        }
        _ => true,
    }
}

/// The text from its first word on.
fn without_comments(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let after = if text.starts_with("--") {
            text.find('\n').map(|end| end + 1)
        } else if text.starts_with("/*") {
            text.find("*/").map(|end| end + 2)
        } else {
            return text;
        };
        text = after.map_or("", |at| &text[at..]);
    }
}

/// The reference says "execute" where a query is wrong that begins with SELECT, and "exec" elsewhere.
fn wrong(text: &str, done: usize, error: &rusqlite::Error) -> Error {
    let statement = text.split(';').filter(|part| !part.trim().is_empty()).nth(done).unwrap_or_default();
    let select = statement.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"));
    let what = if select { "Failed to execute query" } else { "Failed to exec query" };
    Error::internal(format!("{what}: {}", message(error)))
}

fn one(mut statement: Statement<'_>) -> Result<Outcome> {
    if statement.column_count() == 0 {
        let rows_affected = statement.execute([]).map_err(failed("Failed to exec query"))?;
        return Ok(Outcome { kind: "exec", columns: None, rows: None, rows_affected });
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let rows: Vec<Vec<Value>> = statement
        .query_map([], |row| (0..width).map(|at| Ok(value(row.get_ref(at)?))).collect())
        .and_then(Iterator::collect)
        .map_err(failed("Failed to execute query"))?;
    let rows = if rows.is_empty() { None } else { Some(rows) };
    Ok(Outcome { kind: "select", columns: Some(columns), rows, rows_affected: 0 })
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number),
        ValueRef::Text(text) | ValueRef::Blob(text) => moment(&String::from_utf8_lossy(text)).into(),
    }
}

/// Times are shown in RFC 3339: `2026-11-21 11:43:11+00:00` becomes `2026-11-21T11:43:11Z`. Other text stays.
fn moment(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_time = (25..=35).contains(&bytes.len())
        && text.ends_with("+00:00")
        && bytes[10] == b' '
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            13 | 16 => *byte == b':',
            10 | 19 => true,
            at if at >= bytes.len() - 6 => true,
            _ => byte.is_ascii_digit(),
        });
    if !is_time {
        return text.to_owned();
    }
    format!("{}T{}Z", &text[..10], &text[11..text.len() - 6])
}

fn dump(conn: &Connection, rows: bool) -> rusqlite::Result<String> {
    let mut out = String::from("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n");
    // Tables first: what refers to them (indexes, views, triggers) comes after their rows.
    let mut objects = conn.prepare(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
         ORDER BY type <> 'table', rowid",
    )?;
    let mut found = objects.query([])?;
    while let Some(row) = found.next()? {
        let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        out.push_str(&sql);
        out.push_str(";\n");
        if rows && kind == "table" {
            dump_rows(conn, &name, &mut out)?;
        }
    }
    if rows {
        out.push_str("DELETE FROM sqlite_sequence;\n");
        dump_rows(conn, "sqlite_sequence", &mut out)?;
    }
    out.push_str("COMMIT;\n");
    Ok(out)
}

fn dump_rows(conn: &Connection, table: &str, out: &mut String) -> rusqlite::Result<()> {
    // Table names are those of our own schema or of an administrator: quoted as SQLite wants it.
    let quoted = format!("\"{}\"", table.replace('"', "\"\""));
    let width = conn.prepare(&format!("SELECT * FROM {quoted}"))?.column_count();
    let mut statement = conn.prepare(&format!("SELECT * FROM {quoted}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        out.push_str(&format!("INSERT INTO {table} VALUES("));
        for at in 0..width {
            if at > 0 {
                out.push(',');
            }
            literal(row.get_ref(at)?, out);
        }
        out.push_str(");\n");
    }
    Ok(())
}

fn literal(found: ValueRef<'_>, out: &mut String) {
    match found {
        ValueRef::Null => out.push_str("NULL"),
        ValueRef::Integer(number) => out.push_str(&number.to_string()),
        ValueRef::Real(number) => out.push_str(&format!("{number:?}")),
        ValueRef::Text(text) => {
            out.push('\'');
            out.push_str(&String::from_utf8_lossy(text).replace('\'', "''"));
            out.push('\'');
        }
        ValueRef::Blob(bytes) => {
            out.push_str("x'");
            bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
            out.push('\'');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::temporary;
    use serde_json::json;

    async fn ask(db: &Db, text: &str) -> Result<Vec<Outcome>> {
        db.sql(Database::Global, text.to_owned()).await
    }

    #[tokio::test]
    async fn selects_and_changes() {
        let (db, _dir) = temporary();
        let found =
            ask(&db, "SELECT 1 AS a, 'x' AS b, NULL, 1.5; UPDATE config SET value = 1;; ").await.unwrap();
        assert_eq!(found.len(), 2);
        let wanted = json!({"type": "select", "columns": ["a", "b", "NULL", "1.5"],
            "rows": [[1, "x", null, 1.5]], "rows_affected": 0});
        assert_eq!(serde_json::to_value(&found[0]).unwrap(), wanted);
        let wanted = json!({"type": "exec", "columns": null, "rows": null, "rows_affected": 0});
        assert_eq!(serde_json::to_value(&found[1]).unwrap(), wanted);
        let found = ask(&db, "INSERT INTO config (key, value) VALUES ('user.a', 'b')").await.unwrap();
        assert_eq!(found[0].rows_affected, 1);
        assert_eq!(ask(&db, "SELECT * FROM images").await.unwrap()[0].rows, None);
        let found = ask(&db, "SELECT updated_at FROM schema").await.unwrap();
        let text = found[0].rows.as_ref().unwrap()[0][0].as_str().unwrap().to_owned();
        assert!(text.contains('T') && text.ends_with('Z'), "{text}");
    }

    #[tokio::test]
    async fn errors_are_those_of_sqlite() {
        let (db, _dir) = temporary();
        for (text, wanted) in [
            ("selec", "Failed to exec query: near \"selec\": syntax error"),
            ("select * from nope", "Failed to execute query: no such table: nope"),
            ("insert into nope values (1)", "Failed to exec query: no such table: nope"),
            ("/* x */ -- y\n COMMIT", "Failed to exec query: not authorized"),
            ("BEGIN", "Failed to exec query: not authorized"),
            ("ATTACH 'x' AS y", "Failed to exec query: not authorized"),
            ("PRAGMA journal_mode = DELETE", "Failed to exec query: not authorized"),
            (
                "insert into projects (name, description) values ('default', '')",
                "Failed to exec query: UNIQUE constraint failed: projects.name",
            ),
        ] {
            assert_eq!(ask(&db, text).await.unwrap_err().chain(), wanted, "{text}");
        }
        assert!(ask(&db, "PRAGMA table_info(config)").await.is_ok());
    }

    #[tokio::test]
    async fn a_failing_batch_changes_nothing() {
        let (db, _dir) = temporary();
        for database in [Database::Local, Database::Global] {
            let text = "INSERT INTO config (key, value) VALUES ('a', 'b'); SELECT * FROM nope".to_owned();
            db.sql(database, text).await.unwrap_err();
            let left = db.sql(database, "SELECT * FROM config".to_owned()).await.unwrap();
            assert_eq!(left[0].rows, None);
            db.sql(database, "INSERT INTO config (key, value) VALUES ('a', 'b')".to_owned()).await.unwrap();
        }
        db.write(|tx| crate::config::set(tx, "c", "d")).await.unwrap();
        db.local_write(|tx| crate::config::set(tx, "c", "d")).await.unwrap();
    }

    #[tokio::test]
    async fn a_dump_restores_the_same_database() {
        let (db, _dir) = temporary();
        db.write(|tx| crate::config::set(tx, "user.quote", "it's\ntwo lines")).await.unwrap();
        for database in [Database::Local, Database::Global] {
            let text = db.dump(database, true).await.unwrap();
            let copy = Connection::open_in_memory().unwrap();
            copy.execute_batch(&text).unwrap();
            assert_eq!(dump(&copy, true).unwrap(), text);
            let schema = db.dump(database, false).await.unwrap();
            assert!(schema.contains("CREATE TABLE schema") && !schema.contains("INSERT INTO schema"));
        }
    }
}
