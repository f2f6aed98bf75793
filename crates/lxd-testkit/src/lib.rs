//! For the end-to-end tests: a daemon of one's own in a network namespace of its own, a plain HTTP client that
//! shares no code with the daemon, and the small image.
//!
//! Everything is synchronous and panics on failure: this is test code.

mod daemon;
mod events;
mod http;
mod image;
pub mod isolated;
mod netns;
mod terminal;

pub use daemon::{Daemon, binary};
pub use events::Events;
pub use http::{Answer, request, request_raw};
pub use image::busybox_image;
pub use netns::Netns;
pub use terminal::Terminal;

use std::time::{Duration, Instant};

/// Repeats `check` until it yields something, for at most `seconds`.
///
/// # Panics
/// The time is over; the message says what was waited for.
pub fn wait_for<T>(what: &str, seconds: u64, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < end, "waited {seconds} s for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
