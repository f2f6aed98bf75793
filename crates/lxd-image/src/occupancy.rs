//! A place that many work in at the same time, and that somebody takes away only while nobody does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many may be in at the same time.
const MANY: u32 = 1 << 20;

/// How often somebody who wants to be alone looks whether he is. He does not queue: whoever is in may enter once more.
const LOOK: Duration = Duration::from_millis(20);

/// Who works in a place.
#[derive(Clone, Debug)]
pub struct Occupancy(Arc<Semaphore>);

/// Somebody is in, until this is dropped.
#[derive(Debug)]
pub struct Inside(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl Default for Occupancy {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MANY as usize)))
    }
}

impl Occupancy {
    /// Enters, when nobody is alone in there any more.
    pub async fn enter(&self) -> Inside {
        Inside(self.0.clone().acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// Enters alone; nothing when others are still in after that time.
    pub async fn alone(&self, patience: Duration) -> Option<Inside> {
        let end = Instant::now() + patience;
        loop {
            if let Ok(all) = self.0.clone().try_acquire_many_owned(MANY) {
                return Some(Inside(all));
            }
            if Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn alone_means_alone() {
        let place = Occupancy::default();
        let first = place.enter().await;
        let waiting = place.alone(Duration::from_secs(1));
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let again = place.enter().await;
        assert!(place.alone(Duration::ZERO).await.is_none());
        drop((first, again));
        let alone = waiting.await.expect("nobody is in");
        let mut late = Box::pin(place.enter());
        assert!(futures_util::poll!(&mut late).is_pending());
        drop(alone);
        late.await;
    }
}
