//! Who may do what: callers, permits, and (with them) certificates and passwords.

pub mod caller;
pub mod material;
pub mod password;
pub mod permit;
mod server_certificate;
mod token;
mod trust;

pub use caller::fingerprint;
pub use caller::{Caller, Peer};
pub use permit::{Level, Permit, authorize, authorize_server, denied};
pub use server_certificate::ServerCertificate;
pub use token::token_secret;
pub use trust::{TrustStore, Trusted};
