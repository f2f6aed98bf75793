//! The error vocabulary: a kind that the HTTP layer maps to a status, a text, and a chain of causes.
//!
//! [`Error`] is what use cases and drivers return. Its text is joined with the texts of its causes by `": "`
//! when it is shown to the user, so a text never repeats its cause.

use std::error::Error as StdError;
use std::fmt;

/// Result with the project's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the words of HTTP. Only `lxd-server/src/error.rs` knows the numbers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// The request is wrong.
    BadRequest,
    /// The caller is unknown.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// The named thing does not exist.
    NotFound,
    /// The name is taken, or the thing is in the wrong state.
    Conflict,
    /// Another operation holds the thing.
    Busy,
    /// `If-Match` named another version.
    PreconditionFailed,
    /// The body is too large.
    TooLarge,
    /// A failure of the host or a mistake of ours.
    Internal,
    /// Not supported by this server.
    NotImplemented,
    /// Cannot be answered now.
    Unavailable,
    /// The operation was cancelled.
    Cancelled,
}

/// An error that knows its kind. Implemented by the `thiserror` enums of the lower crates.
pub trait Classify: StdError {
    /// The kind of this error, found by an exhaustive match.
    fn kind(&self) -> Kind;
}

/// A classified error with a text and perhaps a cause.
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
            Self::new(Kind::$kind, message)
        })*
    };
}

impl Error {
    /// An error without a cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    constructors! {
        /// The request is wrong (400).
        bad_request => BadRequest;
        /// The caller is unknown (401).
        unauthorized => Unauthorized;
        /// The caller may not do this (403).
        forbidden => Forbidden;
        /// The thing does not exist (404).
        not_found => NotFound;
        /// The thing exists already or is in the wrong state (409).
        conflict => Conflict;
        /// Another operation holds the thing (409).
        busy => Busy;
        /// `If-Match` differs (412).
        precondition_failed => PreconditionFailed;
        /// The body is too large (413).
        too_large => TooLarge;
        /// A failure of the host or of ours (500).
        internal => Internal;
        /// Not supported (501).
        not_implemented => NotImplemented;
        /// Not now (503).
        unavailable => Unavailable;
        /// The operation was cancelled.
        cancelled => Cancelled;
    }

    /// An error with a cause; the text must not repeat the cause.
    pub fn with_source(
        kind: Kind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    /// The same error under a text that says what was being done; the kind stays.
    #[must_use]
    pub fn context(self, message: impl Into<String>) -> Self {
        Self { kind: self.kind, message: message.into(), source: Some(Box::new(self)) }
    }

    /// The same error with another kind, where a caller knows better.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text with those of all causes, joined by `": "`: what the user reads.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// The texts of an error and all its causes, joined by `": "`.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl<E: Classify + Send + Sync + 'static> From<E> for Error {
    /// Keeps kind, text and causes of a lower crate's error.
    fn from(error: E) -> Self {
        let kind = error.kind();
        Self { kind, message: String::new(), source: Some(Box::new(error)) }.flattened()
    }
}

impl Error {
    /// A wrapped lower error speaks for itself: its text becomes ours, its causes stay.
    fn flattened(mut self) -> Self {
        if let Some(source) = &self.source {
            self.message = chain(source.as_ref());
            self.source = None;
        }
        self
    }
}

/// Adds what was being done to foreign errors, as an internal failure.
pub trait Context<T> {
    /// Wraps the error under `message` with kind [`Kind::Internal`] (a project error keeps its kind).
    ///
    /// # Errors
    /// The wrapped error.
    fn context(self, message: impl Into<String>) -> Result<T>;
}

impl<T> Context<T> for Result<T, Error> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.context(message))
    }
}

impl<T> Context<T> for Result<T, std::io::Error> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::with_source(Kind::Internal, message, error))
    }
}

/// Several failures of one clean-up: all are tried, all are reported.
#[derive(Debug, Default)]
pub struct Many {
    failed: Vec<Error>,
}

impl Many {
    /// Nothing failed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a failure and goes on.
    pub fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed.push(error);
                None
            }
        }
    }

    /// Ok when nothing failed; else one error whose text lists all failures under `message`.
    ///
    /// # Errors
    /// The joined failures, with the kind of the first.
    pub fn into_result(self, message: impl Into<String>) -> Result<()> {
        let Some(first) = self.failed.first() else { return Ok(()) };
        let texts: Vec<String> = self.failed.iter().map(Error::chain).collect();
        Err(Error::new(first.kind(), format!("{}: {}", message.into(), texts.join("; "))))
    }

    /// As [`Many::into_result`], but a single failure speaks for itself.
    ///
    /// # Errors
    /// The failure, or the joined ones.
    pub fn into_plain_result(mut self, message: impl Into<String>) -> Result<()> {
        match self.failed.len() {
            1 => Err(self.failed.remove(0)),
            _ => self.into_result(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_joins_causes_once() {
        let io = std::io::Error::from_raw_os_error(16);
        let error = Error::with_source(Kind::Internal, "Failed to mount volume \"c1\"", io)
            .context("Failed to create volume");
        assert!(error.chain().starts_with("Failed to create volume: Failed to mount volume \"c1\": "));
        assert_eq!(error.kind(), Kind::Internal);
    }

    #[test]
    fn many_reports_all() {
        let mut many = Many::new();
        many.keep::<()>(Err(Error::busy("a")));
        many.keep::<()>(Err(Error::internal("b")));
        let error = many.into_result("Failed to stop devices").unwrap_err();
        assert_eq!((error.kind(), error.chain()), (Kind::Busy, "Failed to stop devices: a; b".to_owned()));
    }
}
