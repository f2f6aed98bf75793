//! A daemon that is asked nothing becomes small: memory that the last requests needed is given back.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests so far, and what was done about their absence.
#[derive(Default)]
pub struct Quiet {
    requests: AtomicU64,
    /// Requests at the last look.
    seen: AtomicU64,
    /// One more than the requests when the daemon rested last.
    rested: AtomicU64,
}

impl Quiet {
    /// Counts a request; its number.
    pub fn request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether nothing was asked since the last look, for the first time since something was.
    fn begins(&self) -> bool {
        let requests = self.requests.load(Ordering::Relaxed);
        self.seen.swap(requests, Ordering::Relaxed) == requests
            && self.rested.swap(requests + 1, Ordering::Relaxed) != requests + 1
    }

    /// To be called now and then.
    pub async fn look(&self) {
        if self.begins() && tokio::task::spawn_blocking(lxd_sys::memory::rest).await.is_err() {
            tracing::warn!("Giving memory back panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_after_each_time_of_work() {
        let quiet = Quiet::default();
        assert_eq!([quiet.begins(), quiet.begins()], [true, false]);
        assert_eq!([quiet.request(), quiet.request()], [0, 1]);
        assert_eq!([quiet.begins(), quiet.begins(), quiet.begins()], [false, true, false]);
    }
}
