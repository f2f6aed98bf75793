//! `/dev/lxd/sock`: the API inside instances (manual 3.5.4). One socket for all of them; who asks is decided by the
//! kernel's word about the process that connected, never by what it sends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lxd_core::SharedCore;
use lxd_core::instances::guest::{self, Guest, GuestReader};
use lxd_task::socket::Socket;
use lxd_types::error::Context;
use lxd_types::{Error, Result};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::listener::pause_after;
use crate::{Reply, api, error, path, ws};

/// Bytes that a connection buffers at most: requests have no body worth the name.
const BUFFER: usize = 32 * 1024;

/// How long a guest may take for the head of a request, and may keep an idle connection.
const IDLE: Duration = Duration::from_secs(120);

/// Connections that one instance may have: a guest must not use up the daemon's descriptors.
const CONNECTIONS: usize = 64;

/// Makes the socket in place of what an earlier daemon left. Running instances have its directory mounted, so they find
/// the new one there.
///
/// # Errors
/// The file cannot be made.
pub fn bind(directory: &Path) -> Result<UnixListener> {
    let (fresh, path) = (directory.join("sock.new"), directory.join("sock"));
    let make = || {
        if let Err(error) = std::fs::remove_file(&fresh)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o666))?;
        std::fs::rename(&fresh, &path)?;
        Ok(listener)
    };
    make().context(format!("Failed to listen on {}", path.display()))
}

/// Connections of each instance; those of nobody count together.
#[derive(Default)]
struct Connections {
    /// Held for a look-up, never across an await.
    open: Mutex<HashMap<Option<Guest>, usize>>,
}

/// One connection, counted while it lives.
struct Slot {
    all: Arc<Connections>,
    guest: Option<Guest>,
}

impl Connections {
    fn take(self: &Arc<Self>, guest: Option<Guest>) -> Option<Slot> {
        let mut open = self.open.lock().expect("no panic happens while the lock is held");
        let count = open.entry(guest.clone()).or_default();
        if *count >= CONNECTIONS {
            return None;
        }
        *count += 1;
        Some(Slot { all: self.clone(), guest })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.all.open.lock().expect("no panic happens while the lock is held");
        if let Some(count) = open.get_mut(&self.guest) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.guest);
            }
        }
    }
}

/// Accepts connections until `stop` is cancelled.
pub async fn accept(listener: UnixListener, core: SharedCore, stop: CancellationToken) {
    let connections = Arc::new(Connections::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let guest = identify(&core, &stream);
                // One too many is closed.
                if let Some(slot) = connections.take(guest) {
                    tokio::spawn(serve(stream, core.clone(), slot, stop.clone()));
                }
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

/// The instance at the other end; `None` for processes of the host, and for those that have ended already.
fn identify(core: &SharedCore, stream: &UnixStream) -> Option<Guest> {
    let peer = lxd_sys::process::peer(stream).ok()?;
    let namespaces = lxd_sys::namespace::pid_namespaces(peer.pid).ok()?;
    // Only if it still lives were the namespaces its own.
    if peer.alive() { guest::identify(core, &namespaces) } else { None }
}

async fn serve(stream: UnixStream, core: SharedCore, slot: Slot, stop: CancellationToken) {
    let slot = Arc::new(slot);
    let end = stop.clone();
    let handler = service_fn(move |request| {
        let (core, slot, end) = (core.clone(), slot.clone(), end.clone());
        async move { Ok::<_, Infallible>(answer(&core, slot, request, end).await.into_response()) }
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER).title_case_headers(true).timer(TokioTimer::new()).header_read_timeout(IDLE);
    let connection = builder.serve_connection(TokioIo::new(stream), handler).with_upgrades();
    let result = tokio::select! {
        result = connection => result,
        () = stop.cancelled() => return,
    };
    if let Err(error) = result {
        tracing::debug!(error = %lxd_types::error::chain(&error), "A guest's connection ended");
    }
}

/// Answers a request of any method, as the reference does. Never fails: errors become plain text.
async fn answer(
    core: &SharedCore,
    slot: Arc<Slot>,
    request: Request<Incoming>,
    stop: CancellationToken,
) -> Reply {
    let (parts, _) = request.into_parts();
    let result = route(core, slot, Request::from_parts(parts, ()), stop).await;
    result.unwrap_or_else(|failure| {
        text(&format!("{}\n", failure.chain()), "text/plain; charset=utf-8")
            .status(error::status(failure.kind()))
            .header(http::header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .unwrap_or_else(|error| Reply::error(&error))
    })
}

async fn route(
    core: &SharedCore,
    slot: Arc<Slot>,
    request: Request<()>,
    stop: CancellationToken,
) -> Result<Reply> {
    let Some(guest) = &slot.guest else { return Err(Error::internal("pid not in container?")) };
    let model = guest::model(core, guest).await?;
    let segments: Vec<String> = request
        .uri()
        .path()
        .split('/')
        .skip(1)
        .filter_map(|part| Some(path::decode(part)?.into_owned()))
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        [""] => json(&["/1.0"]),
        ["1.0"] => json(&guest::info(&model)),
        ["1.0", "config"] => json(&guest::keys(&model)),
        ["1.0", "config", key] if !key.is_empty() => {
            Ok(text(guest::value(&model, key)?, "application/octet-stream"))
        }
        ["1.0", "devices"] => json(&model.devices),
        ["1.0", "events"] => {
            let reader = core.guests.subscribe(guest, kinds(&request));
            events(request, reader, slot.clone(), stop)
        }
        ["1.0", "images", prefix, "export"] => match guest::image(core, &model, prefix).await {
            Ok(export) => api::images::export::reply(export),
            Err(error) if error.kind() == lxd_types::Kind::NotFound => Ok(Reply::error(&error)),
            Err(error) => Err(error),
        },
        ["1.0", "meta-data"] => Ok(text(&guest::meta_data(&model), "application/octet-stream")),
        _ => Err(Error::not_found("404 page not found")),
    }
}

/// The types of events that a request names; all when it names none.
fn kinds(request: &Request<()>) -> Option<Vec<String>> {
    let query = request.uri().query().map(path::query).unwrap_or_default();
    let (_, value) = query.into_iter().find(|(name, value)| name == "type" && !value.is_empty())?;
    Some(value.split(',').map(str::to_owned).collect())
}

/// Events over a websocket, or line by line to who asks for none.
fn events(
    mut request: Request<()>,
    mut reader: GuestReader,
    slot: Arc<Slot>,
    stop: CancellationToken,
) -> Result<Reply> {
    if fastwebsockets::upgrade::is_upgrade_request(&request) {
        return ws::accept_request(&mut request, move |socket| async move {
            let _slot = slot;
            if let Err(error) = send_all(socket, reader, stop).await {
                tracing::debug!(%error, "A guest's event reader went away");
            }
        });
    }
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let _slot = slot;
        loop {
            let event = tokio::select! {
                event = reader.next() => event,
                () = sender.closed() => return,
                () = stop.cancelled() => return,
            };
            let Some(event) = event else { return };
            if sender.send(Ok(Bytes::from(format!("{event}\n")))).await.is_err() {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    Reply::stream("application/json", stream)?.header(http::header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

async fn send_all(
    mut socket: Socket,
    mut reader: GuestReader,
    stop: CancellationToken,
) -> Result<(), fastwebsockets::WebSocketError> {
    loop {
        tokio::select! {
            event = reader.next() => {
                let Some(event) = event else { return socket.write_frame(Frame::close(1008, b"too slow")).await };
                socket.write_frame(Frame::text(Payload::Owned(event.as_bytes().to_vec()))).await?;
            }
            frame = socket.read_frame() => {
                if frame?.opcode == OpCode::Close {
                    return Ok(());
                }
            }
            () = stop.cancelled() => return socket.write_frame(Frame::close(1001, b"server is going away")).await,
        }
    }
}

fn json(value: &impl Serialize) -> Result<Reply> {
    let body = serde_json::to_string(value)
        .map_err(|error| Error::internal(format!("Failed to write the answer: {error}")))?;
    Ok(text(&format!("{body}\n"), "application/json"))
}

fn text(body: &str, content_type: &'static str) -> Reply {
    Reply::raw(content_type, body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited_and_given_back() {
        let all = Arc::new(Connections::default());
        let slots: Vec<Slot> = (0..CONNECTIONS).map(|_| all.take(None).unwrap()).collect();
        assert!(all.take(None).is_none());
        drop(slots);
        assert!(all.take(None).is_some());
        assert!(all.open.lock().unwrap().is_empty());
    }
}
