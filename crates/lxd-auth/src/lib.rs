//! Who may do what: callers, permits, and (with them) certificates and passwords.

pub mod caller;
pub mod candid;
pub mod material;
pub mod password;
pub mod permit;
mod rights;
mod server_certificate;
mod token;
mod trust;

pub use caller::fingerprint;
pub use caller::{Caller, Peer};
pub use candid::{Candid, Identity};
pub use permit::{Level, Permit, authorize, authorize_server, denied};
pub use rights::{Limits, Rights};
pub use server_certificate::ServerCertificate;
pub use token::token_secret;
pub use trust::{TrustStore, Trusted};
