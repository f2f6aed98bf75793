//! A daemon that is asked nothing becomes small: memory that the last requests needed is given back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long nothing must be asked before the daemon rests.
pub const SPAN: Duration = Duration::from_secs(3);

/// Requests so far, and who is told of them.
#[derive(Default)]
pub struct Quiet {
    requests: AtomicU64,
    asked: Notify,
}

impl Quiet {
    /// Counts a request; its number.
    pub fn request(&self) -> u64 {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        self.asked.notify_one();
        number
    }

    /// Calls `rest` each time that nothing was asked for `span` after something was, until `end`. Begins as if something had
    /// been asked. A daemon that stays quiet is not woken.
    pub async fn watch<F: Future<Output = ()>>(
        &self,
        end: &CancellationToken,
        span: Duration,
        rest: impl Fn() -> F,
    ) {
        loop {
            let seen = self.requests.load(Ordering::Relaxed);
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(span) => {}
            }
            if self.requests.load(Ordering::Relaxed) != seen {
                continue;
            }
            rest().await;
            // What was noted up to now is answered.
            while self.requests.load(Ordering::Relaxed) == seen {
                tokio::select! {
                    () = end.cancelled() => return,
                    () = self.asked.notified() => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn once_after_each_time_of_work() {
        let (quiet, end) = (Arc::new(Quiet::default()), CancellationToken::new());
        let (rested, mut rests) = mpsc::unbounded_channel();
        let watching = tokio::spawn({
            let (quiet, end) = (quiet.clone(), end.clone());
            async move {
                let rest = || async { rested.send(()).unwrap() };
                quiet.watch(&end, Duration::from_millis(20), rest).await;
            }
        });
        rests.recv().await.unwrap();
        for number in 0..3 {
            assert_eq!(quiet.request(), number);
            rests.recv().await.unwrap();
        }
        end.cancel();
        watching.await.unwrap();
        assert!(rests.recv().await.is_none(), "once for each");
    }
}
