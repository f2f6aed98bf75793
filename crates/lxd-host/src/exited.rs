//! Waiting for the end of a process that is not our child.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits until the process behind a pidfd has ended.
///
/// # Errors
/// The descriptor cannot be watched.
pub async fn exited(pidfd: &Arc<OwnedFd>) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that change their descriptor; an OwnedFd never does"
    )]
    // A descriptor can be watched once; who was told to stop waiting may still hold it.
    let waiting = AsyncFd::with_interest(pidfd.try_clone()?, Interest::READABLE)?;
    waiting.readable().await.map(drop)
}
