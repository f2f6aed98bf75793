//! `/1.0/instances/{name}/console`: the console of a container, live and as a log.

use std::sync::Arc;
use std::time::Duration;

use lxd_api::instance::InstanceConsolePost;
use lxd_auth::Permit;
use lxd_container::Console;
use lxd_sys::Dir;
use lxd_task::OperationSpec;
use lxd_task::operation::{Class, Operation};
use lxd_task::socket::Socket;
use lxd_task::stream::halves;
use lxd_types::error::Context;
use lxd_types::names::InstanceName;
use lxd_types::{Error, Kind, Result};
use tokio::sync::oneshot::Receiver;
use tokio_util::sync::CancellationToken;

use super::exec::{Control, listen, receive, resize, running, send};
use super::{InstanceKey, load};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// How long the client has to bring its websockets.
const CONNECT: Duration = Duration::from_secs(5);

/// Most of a stored console log that is sent, in bytes.
const LOG: u64 = 64 << 20;

/// Starts the operation that connects a client with the console.
///
/// # Errors
/// The instance does not run, its console is in use, or the type does not exist.
pub async fn attach(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    request: InstanceConsolePost,
) -> Result<Arc<Operation>> {
    let key = InstanceKey::new(permit.project(), name);
    let kind = if request.kind.is_empty() { "console" } else { request.kind.as_str() };
    let (_, entry) = running(&core.db, core, &key).await?;
    match kind {
        "console" => {}
        "vga" => return Err(Error::bad_request("VGA console is only supported by virtual machines")),
        other => return Err(Error::bad_request(format!("Unknown console type {other:?}"))),
    }
    let console = core.containers()?.console(&entry.running).await?;
    let number = |value: i64| u16::try_from(value).unwrap_or(0);
    if request.width > 0 && request.height > 0 {
        resize(&console.master, number(request.width), number(request.height));
    }
    let spec = OperationSpec::task("Showing console", key.project.as_str())
        .class(Class::Websocket)
        .on("instances", key.url())
        .on("containers", format!("/1.0/containers/{}", key.name))
        .by(permit.caller().requestor());
    let operation = core.operations.create(spec);
    let (stream, control) = (operation.sockets.open("0"), operation.sockets.open("control"));
    core.operations.start(&operation, move |_| serve(console, stream, control));
    let event = Lifecycle::new("instance-console", key.url()).in_project(&key.project).with("type", kind);
    core.tell(permit.caller(), event);
    Ok(operation)
}

/// Connects the client with the console until either goes.
async fn serve(console: Console, stream: Receiver<Socket>, control: Receiver<Socket>) -> Result<()> {
    let socket = tokio::time::timeout(CONNECT, stream).await;
    let socket = socket
        .map_err(|_| Error::bad_request("Timed out waiting for websockets to connect"))?
        .map_err(|_| Error::internal("The operation has ended"))?;
    let (mut reader, writer) = halves(socket);
    let copy = || console.master.try_clone().context("Failed to copy a descriptor");
    let (from, to, resized) = (copy()?, copy()?, copy()?);
    let never = CancellationToken::new();
    let control = async move {
        let Ok(socket) = control.await else { return std::future::pending().await };
        let (mut reader, _writer) = halves(socket);
        listen(&mut reader, |message| {
            if let Control::Resize { width, height } = message {
                resize(&resized, width, height);
            }
        })
        .await;
    };
    tokio::select! {
        sent = send(from, &writer, &never) => sent,
        gone = receive(&mut reader, Some(to)) => gone.map(drop),
        () = control => Ok(()),
    }?;
    writer.close().await;
    Ok(())
}

/// The console's log: what the ring buffer of a running container holds, or the file that the last run left.
///
/// # Errors
/// Not found; liblxc fails.
pub async fn log(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<Vec<u8>> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    core.db.read(move |tx| load(tx, &wanted)).await?;
    let mut log = match core.runtime.get(&key) {
        Some(entry) => core.containers()?.console_log(&entry.running).await?,
        None => Vec::new(),
    };
    if log.is_empty() {
        // Reading takes out of the ring buffer; the file keeps all.
        log = in_logs(core, &key, |dir| dir.read_limited("console.log", LOG)).await?;
    }
    let event = Lifecycle::new("instance-console-retrieved", key.url()).in_project(&key.project);
    core.tell(permit.caller(), event);
    Ok(log)
}

/// Empties the console's log.
///
/// # Errors
/// Not found; liblxc fails.
pub async fn clear(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<()> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    core.db.read(move |tx| load(tx, &wanted)).await?;
    if let Some(entry) = core.runtime.get(&key) {
        core.containers()?.console_log_clear(&entry.running).await?;
    }
    in_logs(core, &key, |dir| dir.open_file_rw("console.log")?.set_len(0)).await?;
    let event = Lifecycle::new("instance-console-reset", key.url()).in_project(&key.project);
    core.tell(permit.caller(), event);
    Ok(())
}

/// Works in the instance's log directory; a file that is not there yet is an empty one.
async fn in_logs<T: Default + Send + 'static>(
    core: &SharedCore,
    key: &InstanceKey,
    work: impl FnOnce(Dir) -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let logs = core.paths.logs().join(key.storage_name());
    let done = tokio::task::spawn_blocking(move || work(Dir::open(logs)?)).await;
    match done.map_err(|panic| Error::internal(panic.to_string()))? {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        other => {
            other.map_err(|error| Error::with_source(Kind::Internal, "Failed to open the console log", error))
        }
    }
}
