//! Watches an image on its way: size, silence, cancellation; and tells how far it is.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lxd_client::Reply;
use lxd_task::OpHandle;
use lxd_types::{Error, Result};

/// Time between two notes in the operation.
const NOTE: Duration = Duration::from_secs(1);

/// An image on its way.
pub struct Meter {
    op: OpHandle,
    key: &'static str,
    expected: u64,
    most: u64,
    silence: Duration,
    passed: u64,
    begun: Instant,
    told: Instant,
}

impl Meter {
    /// A meter for `expected` bytes; `key` is the member of the operation's metadata.
    pub fn new(op: &OpHandle, key: &'static str, expected: u64, silence: Duration) -> Self {
        let now = Instant::now();
        Self { op: op.clone(), key, expected, most: u64::MAX, silence, passed: 0, begun: now, told: now }
    }

    /// More than these bytes are refused.
    pub fn limit(&mut self, most: u64) {
        self.most = most;
    }

    /// Waits for a server's answer, but not for ever.
    ///
    /// # Errors
    /// The server's, its silence, or the cancellation.
    pub async fn patient<T>(&self, answer: impl Future<Output = lxd_client::Result<T>>) -> Result<T> {
        tokio::select! {
            answer = tokio::time::timeout(self.silence, answer) => Ok(answer.map_err(|_| silent())??),
            () = self.op.cancelled() => Err(self.op.check().err().unwrap_or_else(silent)),
        }
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    /// The connection broke, the server is silent or sends too much, the operation was cancelled.
    pub async fn next(&mut self, reply: &mut Reply) -> Result<Option<Bytes>> {
        let block = self.patient(reply.chunk()).await?;
        self.pass(block.as_ref().map_or(0, |block| block.len() as u64));
        if self.passed > self.most {
            let expected = self.expected;
            return Err(Error::bad_request(format!(
                "The image server sends more than the {expected} bytes it said"
            )));
        }
        Ok(block)
    }

    /// Counts bytes that went by.
    pub fn pass(&mut self, bytes: u64) {
        self.passed += bytes;
        if self.told.elapsed() > NOTE {
            self.told = Instant::now();
            let percent = self.passed.saturating_mul(100) / self.expected.max(1);
            let rate = self.passed as f64 / self.begun.elapsed().as_secs_f64() / 1e6;
            self.op.set(self.key, format!("rootfs: {}% ({rate:.2}MB/s)", percent.min(100)));
        }
    }

    /// An error once the operation was cancelled.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn check(&self) -> Result<()> {
        self.op.check()
    }

    /// Does not count these bytes towards the limit: they came in a file of their own, with a limit of its own.
    pub fn allow(&mut self, bytes: u64) {
        self.most = self.most.saturating_add(bytes);
    }
}

fn silent() -> Error {
    Error::bad_request("The image server sends nothing any more")
}
