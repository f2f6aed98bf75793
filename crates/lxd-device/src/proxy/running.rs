//! The process that forwards: started, found again by a later daemon, ended.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use lxd_host::Helper;
use lxd_sys::{Dir, process};
use lxd_types::error::Context as _;
use lxd_types::helper::Proxy;
use lxd_types::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

use crate::context::Attach;

/// How long the process may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is remembered of the process. A later release reads it, too.
#[derive(Debug, Deserialize, Serialize)]
struct Record {
    pid: i32,
    start_time: u64,
}

/// Starts forwarding; what an earlier run left is ended first.
///
/// # Errors
/// It cannot listen, with the reason.
pub(super) async fn start(
    helper: &Helper,
    directory: &Path,
    file: &str,
    job: &Proxy,
    instance: Attach<'_>,
) -> Result<()> {
    stop(directory, file).await?;
    let failed = |error: Error| {
        Error::new(
            error.kind(),
            format!("Error occurred when starting proxy device: Error: {}", error.chain()),
        )
    };
    let mut process = helper.start_lasting("proxy", job, &[instance.init]).await.map_err(failed)?;
    process.answer::<()>().await.map_err(failed)?;
    let pid = process.pid().ok_or_else(|| Error::internal("The proxy ended at once"))?;
    let record = Record { pid, start_time: process::start_time(pid).context("Failed to look at the proxy")? };
    let text = serde_json::to_vec(&record);
    let text = text.map_err(|e| Error::with_source(Kind::Internal, "Failed to write the pid file", e))?;
    let (directory, file) = (directory.to_owned(), file.to_owned());
    let written = blocking(move || Dir::open(directory)?.write_replace(file, &text, 0o600)).await;
    if let Err(error) = written {
        end(pid, record.start_time).await?;
        return Err(error).context("Failed to write the pid file of the proxy");
    }
    Ok(())
}

/// Ends forwarding; success when nobody does.
///
/// # Errors
/// The process does not end.
pub(super) async fn stop(directory: &Path, file: &str) -> Result<()> {
    let (directory, file) = (directory.to_owned(), file.to_owned());
    let found = blocking({
        let (directory, file) = (directory.clone(), file.clone());
        move || Dir::open(directory)?.read_text(file, 4096)
    });
    let text = match found.await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text.context("Failed to read the pid file of the proxy")?,
    };
    if let Ok(record) = serde_json::from_str::<Record>(&text) {
        end(record.pid, record.start_time).await?;
    }
    let removed = blocking(move || Dir::open(directory)?.remove_file(file)).await;
    removed.context("Failed to remove the pid file of the proxy")
}

/// Ends the process of this number that began at this time; another one that got the number is left alone.
async fn end(pid: i32, start_time: u64) -> Result<()> {
    // First the descriptor, then the comparison: what is compared is what is held.
    let Ok(pidfd) = process::pidfd(pid) else { return Ok(()) };
    if !process::start_time(pid).is_ok_and(|found| found == start_time) {
        return Ok(());
    }
    let pidfd = std::sync::Arc::new(pidfd);
    // It holds nothing that it would have to put in order.
    let _ = process::signal(&pidfd, libc::SIGKILL);
    wait(pidfd).await
}

async fn wait(pidfd: std::sync::Arc<OwnedFd>) -> Result<()> {
    match tokio::time::timeout(PATIENCE, lxd_host::exited(&pidfd)).await {
        Ok(ended) => ended.context("Failed to wait for the end of a proxy"),
        Err(_) => Err(Error::internal("A proxy does not end")),
    }
}

/// Removes the file of a listening socket on the host.
///
/// # Errors
/// It cannot be removed; anything but a socket is left alone.
pub(super) async fn remove_socket(path: String) -> Result<()> {
    if path.starts_with('@') {
        return Ok(());
    }
    let removed = blocking(move || {
        use std::os::unix::fs::FileTypeExt;
        let is_socket = std::fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
        if is_socket { std::fs::remove_file(&path) } else { Ok(()) }
    });
    removed.await.context("Failed to remove the socket of a proxy")
}

/// Runs a short file access on a thread where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
