//! File system work off the async threads.

use std::io;

use lxd_types::{Error, Kind, Result};

/// Runs file system work on a blocking thread; it runs to its end even when the caller goes away.
///
/// # Errors
/// That of the work; a panic in it is an internal error.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Error::with_source(Kind::Internal, "File system work failed", panic)),
    }
}

/// An I/O error under a text, with the kind that fits it.
pub(crate) fn io_error(error: io::Error, message: impl Into<String>) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Kind::Conflict,
        _ => Kind::Internal,
    };
    Error::with_source(kind, message, error)
}
