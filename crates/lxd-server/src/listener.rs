//! The unix socket: making it, taking it over from systemd, accepting connections.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lxd_auth::Caller;
use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rustix::fs::{Gid, Uid};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::dispatch::Service;

/// Bytes of answers that may lie in a connection: with the kernel's own default the two sides take turns too often.
const SEND_BUFFER: usize = 1 << 20;

/// Makes the unix socket, mode 0660, for root and `group`. A socket that an ended daemon left behind is
/// replaced, a living daemon is not.
///
/// # Errors
/// Another daemon answers there, or the file cannot be made.
pub async fn bind_unix(path: &Path, group: Option<u32>) -> Result<UnixListener> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(Error::conflict("LXD is already running"));
    }
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path).context("Failed to remove the old socket")?;
    }
    let listener = UnixListener::bind(path).context(format!("Failed to listen on {}", path.display()))?;
    own(path, group).context(format!("Failed to set the owner of {}", path.display()))?;
    Ok(listener)
}

/// Takes over the listening socket that systemd made.
///
/// # Errors
/// The runtime cannot use it.
pub fn adopt_unix(listener: std::os::unix::net::UnixListener) -> Result<UnixListener> {
    listener.set_nonblocking(true).context("Failed to take over the socket")?;
    UnixListener::from_std(listener).context("Failed to take over the socket")
}

fn own(path: &Path, group: Option<u32>) -> io::Result<()> {
    rustix::fs::chown(path, Some(Uid::ROOT), Some(group.map_or(Gid::ROOT, Gid::from_raw)))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660))
}

/// Accepts connections on the unix socket until `stop` is cancelled. Everybody who can open the socket is
/// a local administrator (manual 3.1.4).
pub async fn accept_unix(listener: UnixListener, service: Arc<Service>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => spawn_unix(stream, service.clone(), stop.clone()),
            Err(error) => pause_after(&error).await,
        }
    }
}

fn spawn_unix(stream: UnixStream, service: Arc<Service>, stop: CancellationToken) {
    let credentials = match stream.peer_cred() {
        Ok(credentials) => credentials,
        Err(error) => {
            tracing::warn!(%error, "Refused a connection without credentials");
            return;
        }
    };
    // Less than wished is no harm.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&stream, SEND_BUFFER);
    let caller = Caller::local(credentials.uid(), credentials.gid(), credentials.pid().unwrap_or(0));
    tokio::spawn(connection::serve(service, Arc::new(caller), stream, stop));
}

/// Accepting fails when descriptors run out: a short rest instead of a busy loop.
pub(crate) async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "Failed to accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
