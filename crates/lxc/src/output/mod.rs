//! What the user sees: tables, YAML, JSON, units.

pub mod json;
pub mod list;
pub mod table;
pub mod units;
mod zone;

pub use list::Listing;
pub use lxd_api::yaml::{self, natural, node};

use serde::Serialize;

/// Prints a value as YAML.
///
/// # Errors
/// The value has map keys that are no texts.
pub fn print_yaml<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    print(&yaml_text(value)?);
    Ok(())
}

/// A value as YAML.
///
/// # Errors
/// The value has map keys that are no texts.
pub fn yaml_text<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<String> {
    Ok(yaml::text(value)?)
}

/// Writes to standard output; a reader that went away is no error.
pub fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
