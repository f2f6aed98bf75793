//! SQLite's errors in the project's vocabulary.

use lxd_types::{Error, Kind};
use rusqlite::ErrorCode;

/// A failure of SQLite as a project error: a broken uniqueness rule is a conflict, a locked or full database is
/// unavailable, all else is internal.
pub(crate) fn sql(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => Kind::Conflict,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => Kind::Unavailable,
        _ => Kind::Internal,
    };
    Error::with_source(kind, "Database query failed", error)
}

/// The same for work on the files themselves.
pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> Error {
    let what = what.into();
    move |error| Error::with_source(Kind::Internal, what, error)
}
