//! SQLite's errors in the project's vocabulary.

use lxd_types::{Error, Kind};
use rusqlite::{ErrorCode, ffi};

/// A failure of SQLite as a project error: a taken name is a conflict that names the table, a locked or full
/// database is unavailable, all else is internal.
pub(crate) fn sql(error: rusqlite::Error) -> Error {
    if let Some(table) = taken(&error) {
        return Error::conflict(format!("This \"{table}\" entry already exists"));
    }
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => Kind::Conflict,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => Kind::Unavailable,
        _ => Kind::Internal,
    };
    Error::with_source(kind, "Database query failed", error)
}

/// Whether SQLite failed because the disk has no space left.
pub(crate) fn is_disk_full(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let code = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
        if code == Some(ErrorCode::DiskFull) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// The table whose uniqueness a statement would have broken.
fn taken(error: &rusqlite::Error) -> Option<String> {
    let rusqlite::Error::SqliteFailure(code, Some(text)) = error else { return None };
    if !matches!(code.extended_code, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) {
        return None;
    }
    // "UNIQUE constraint failed: instances.project_id, instances.name" or "… failed: index 'NAME'"
    let (_, columns) = text.split_once(": ")?;
    let table = columns.strip_prefix("index '").map_or_else(
        || columns.split('.').next().unwrap_or(columns),
        |index| index.split("_one_each").next().unwrap_or(index),
    );
    Some(table.to_owned())
}

/// The same for work on the files themselves.
pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> Error {
    let what = what.into();
    move |error| Error::with_source(Kind::Internal, what, error)
}
