//! What a closure gets: one transaction, with a few short ways to ask.

use lxd_types::Result;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::error::sql;

/// One open transaction (or, for reads, one consistent view) on the global or the local database.
///
/// Only the query functions of this crate can do something with it. All statements go through the connection's
/// cache of prepared statements, so their text should be constant.
pub struct Tx<'a> {
    conn: &'a Connection,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(conn: &'a Connection) -> Self {
        Self { conn }
    }

    /// The connection, for backups and for `lxd sql`.
    pub(crate) fn conn(&self) -> &'a Connection {
        self.conn
    }

    /// Runs a changing statement; the number of rows it touched.
    pub(crate) fn execute(&self, text: &str, params: impl Params) -> Result<usize> {
        self.conn.prepare_cached(text).and_then(|mut s| s.execute(params)).map_err(sql)
    }

    /// Runs an INSERT; the id of the new row.
    pub(crate) fn insert(&self, text: &str, params: impl Params) -> Result<i64> {
        self.conn.prepare_cached(text).and_then(|mut s| s.insert(params)).map_err(sql)
    }

    /// All rows.
    pub(crate) fn all<T>(
        &self,
        text: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.conn.prepare_cached(text).map_err(sql)?;
        let rows = statement.query_map(params, map).map_err(sql)?;
        rows.collect::<rusqlite::Result<_>>().map_err(sql)
    }

    /// The first row, if there is one.
    pub(crate) fn first<T>(
        &self,
        text: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        self.conn.prepare_cached(text).and_then(|mut s| s.query_row(params, map).optional()).map_err(sql)
    }

    /// Calls `each` for every row, for results that are folded instead of collected.
    pub(crate) fn each(
        &self,
        text: &str,
        params: impl Params,
        mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<()> {
        let mut statement = self.conn.prepare_cached(text).map_err(sql)?;
        let mut rows = statement.query(params).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            each(row).map_err(sql)?;
        }
        Ok(())
    }
}
