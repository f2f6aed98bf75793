//! Who may do what: callers, permits, and (with them) certificates and passwords.

pub mod caller;
pub mod permit;

pub use caller::{Caller, Peer};
pub use permit::{Level, Permit, authorize, authorize_server, denied};
