//! Checked value types and the error vocabulary. No I/O.
//!
//! A value of one of these types is valid: it was parsed once, at the border, and is never checked again.

pub mod error;
pub mod names;

pub use error::{Error, Kind, Result};
