//! What can go wrong between a client and a server. Texts are what `lxc` prints after `Error: `.

use lxd_types::error::{Classify, Kind};

/// Result with the client's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with an error; its HTTP status and text.
    #[error("{text}")]
    Api {
        /// HTTP status (`error_code` of the envelope).
        code: u16,
        /// The server's text.
        text: String,
    },
    /// An operation ended with an error; its status code (400 or 401) and text.
    #[error("{text}")]
    Operation {
        /// Status code of the operation.
        code: u16,
        /// The server's text.
        text: String,
    },
    /// No connection could be made; the whole text.
    #[error("{0}")]
    Connect(String),
    /// An address that may not be dialled.
    #[error("{0}")]
    Refused(String),
    /// The connection broke, or the answer is not what a server sends.
    #[error("{0}")]
    Protocol(String),
    /// A file of the client's own (certificate, key) is unusable.
    #[error("{0}")]
    Local(String),
}

impl Error {
    /// The HTTP status of an API error.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// True when the server said that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    pub(crate) fn protocol(error: impl std::fmt::Display) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl Classify for Error {
    fn kind(&self) -> Kind {
        match self.status() {
            _ if matches!(self, Self::Refused(_)) => Kind::Forbidden,
            Some(400) => Kind::BadRequest,
            Some(401) => Kind::Unauthorized,
            Some(403) => Kind::Forbidden,
            Some(404) => Kind::NotFound,
            Some(409) => Kind::Conflict,
            Some(412) => Kind::PreconditionFailed,
            Some(413) => Kind::TooLarge,
            Some(501) => Kind::NotImplemented,
            Some(503) => Kind::Unavailable,
            _ if matches!(self, Self::Operation { code: 401, .. }) => Kind::Cancelled,
            _ => Kind::Internal,
        }
    }
}
