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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn several_may_wait_for_one_process() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        let pidfd = Arc::new(pidfd);
        let first = tokio::spawn({
            let pidfd = pidfd.clone();
            async move { exited(&pidfd).await }
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), exited(&pidfd)).await.is_err(), "it runs");
        child.kill().unwrap();
        tokio::time::timeout(Duration::from_secs(20), exited(&pidfd)).await.unwrap().unwrap();
        first.await.unwrap().unwrap();
        child.wait().unwrap();
    }
}
