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

/// Writes to standard output. Without a reader the program ends, as the original does.
pub fn print(text: &str) {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() == ErrorKind::BrokenPipe
    {
        without_reader();
    }
}

/// Ends the program as a signal ends one whose output nobody reads: without a word.
fn without_reader() -> ! {
    std::process::exit(128 + rustix::process::Signal::PIPE.as_raw());
}

/// The same for what `println!` and its like write: they panic without a reader.
pub fn end_without_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_some_and(|text| text.starts_with("failed printing to std")) {
            without_reader();
        }
        usual(panic);
    }));
}
