//! The memory profile that SIGUSR1 writes (manual 3.6.3): what the kernel knows about our memory.

use std::fmt::Write;
use std::path::Path;

use lxd_types::Result;
use lxd_types::error::Context;

/// Sources of the report.
const SOURCES: &[&str] = &["/proc/self/status", "/proc/self/smaps_rollup", "/proc/self/smaps"];

/// Writes the report.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path) -> Result<()> {
    std::fs::write(path, report()).context(format!("Failed to write {}", path.display()))
}

/// The report as text.
pub fn report() -> String {
    let mut text = String::new();
    for source in SOURCES {
        let content = std::fs::read_to_string(source).unwrap_or_else(|error| format!("{error}\n"));
        // Writing into a string cannot fail.
        let _ = write!(text, "== {source}\n{content}");
    }
    text
}
