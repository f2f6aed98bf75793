//! Macaroons as identity servers use them (manual 3.4.5, Candid): bearer tokens with conditions, some of which another
//! server must answer for. The chain of signatures and the formats are those of libmacaroons v2, the encrypted
//! conditions those of the bakery protocol, versions 2 and 3. Nothing here does I/O.

mod binary;
mod chain;
mod error;
mod json;
mod key;
mod sealed;

pub use binary::to_binary;
pub use chain::{Caveat, Macaroon, Verified};
pub use error::MacaroonError;
pub use json::{Challenge, ChallengeInfo, Wire, from_base64, to_base64};
pub use key::{KeyPair, PublicKey};
pub use sealed::{Secret, seal, unseal};

/// The condition of a certain time: `time-before 2026-01-01T00:00:00Z`.
pub const TIME_BEFORE: &str = "time-before";

/// `code` of an answer that asks for a discharge.
pub const DISCHARGE_REQUIRED: &str = "macaroon discharge required";

/// `code` of an answer of an identity server that wants its user to log in.
pub const INTERACTION_REQUIRED: &str = "interaction required";
