//! What may be wrong with a macaroon.

/// Why a macaroon, or a part of one, was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MacaroonError {
    /// It cannot be read.
    #[error("malformed macaroon: {0}")]
    Malformed(&'static str),
    /// The chain of signatures does not fit.
    #[error("the signature of a macaroon is wrong")]
    Signature,
    /// A condition of another server has no answer.
    #[error("a macaroon is not discharged")]
    NotDischarged,
    /// A box that does not open with our key.
    #[error("an encrypted condition is not for us")]
    NotForUs,
    /// Text that is no key of 32 bytes in base64.
    #[error("wrong length for key, want 32 bytes in base64")]
    Key,
}
