//! `/1.0/events`: a websocket of log lines, operations and lifecycle events (manual 3.5.5).

use std::sync::Arc;
use std::time::Duration;

use fastwebsockets::{Frame, OpCode, Payload};
use http::Method;
use lxd_task::events::{EventKind, Filter};
use lxd_task::socket::Socket;
use lxd_types::{Error, Result};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::routes::{Access, Route, route};
use crate::{Ctx, Reply};

/// How long a reader may block the sending of one event.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two signs of life; a connection that is broken is found by them.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Close code 1008: the reader broke a rule, here by being too slow.
const TOO_SLOW: u16 = 1008;

/// Close code 1001: the server goes away.
const GOING_AWAY: u16 = 1001;

/// Rows of the route table.
pub fn routes() -> Vec<Route> {
    vec![route(Method::GET, "/1.0/events", Access::Trusted, "1.0", get)]
}

async fn get(mut cx: Ctx) -> Result<Reply> {
    let filter = filter(&cx)?;
    if let Some(project) = &filter.project {
        cx.core.require_project(project).await.map_err(as_reference)?;
    }
    let (hub, end) = (cx.core.events.clone(), cx.core.end.clone());
    cx.websocket(move |socket| async move {
        let events = hub.subscribe(filter);
        if let Err(error) = send_all(socket, events, end).await {
            tracing::debug!(%error, "An event reader went away");
        }
    })
}

/// The reference answers 500 to wrong parameters of this call.
fn as_reference(error: Error) -> Error {
    error.with_kind(lxd_types::Kind::Internal)
}

fn filter(cx: &Ctx) -> Result<Filter> {
    let admin = cx.caller.is_admin();
    if cx.all_projects() && cx.query("project").is_some() {
        return Err(Error::internal("Cannot specify a project when requesting all projects"));
    }
    if !(admin || cx.caller.sees(cx.project.as_str()) && !cx.all_projects()) {
        return Err(lxd_auth::denied());
    }
    let kinds = match cx.query("type").filter(|text| !text.is_empty()) {
        None if admin => vec![EventKind::Logging, EventKind::Operation, EventKind::Lifecycle],
        None => vec![EventKind::Operation, EventKind::Lifecycle],
        Some(names) => names.split(',').map(kind).collect::<Result<_>>()?,
    };
    if kinds.contains(&EventKind::Logging) && !admin {
        return Err(lxd_auth::denied());
    }
    let project = (!cx.all_projects()).then(|| cx.project.to_string());
    Ok(Filter { kinds, project, whole_server: admin })
}

fn kind(name: &str) -> Result<EventKind> {
    EventKind::parse(name).ok_or_else(|| Error::internal(format!("{name:?} isn't a supported event type")))
}

/// Sends events until the reader leaves, is too slow, or the daemon ends.
async fn send_all(
    mut socket: Socket,
    mut events: Receiver<Arc<str>>,
    end: CancellationToken,
) -> Result<(), fastwebsockets::WebSocketError> {
    let mut alive = tokio::time::interval(KEEPALIVE);
    loop {
        let frame = tokio::select! {
            event = events.recv() => match &event {
                Some(event) => Frame::text(Payload::Owned(event.as_bytes().to_vec())),
                None => return close(&mut socket, TOO_SLOW, b"too slow").await,
            },
            _ = alive.tick() => Frame::new(true, OpCode::Ping, None, Payload::Borrowed(b"keepalive")),
            // Readers send nothing but small control frames, so dropping this read half way (which would
            // lose the place in the stream) hurts only a client that sends those byte by byte.
            frame = socket.read_frame() => match frame?.opcode {
                OpCode::Close => return Ok(()),
                _ => continue,
            },
            () = end.cancelled() => return close(&mut socket, GOING_AWAY, b"server is going away").await,
        };
        let sent = tokio::time::timeout(PATIENCE, socket.write_frame(frame)).await;
        sent.unwrap_or(Err(fastwebsockets::WebSocketError::ConnectionClosed))?;
    }
}

async fn close(socket: &mut Socket, code: u16, reason: &[u8]) -> Result<(), fastwebsockets::WebSocketError> {
    let sent = tokio::time::timeout(PATIENCE, socket.write_frame(Frame::close(code, reason))).await;
    sent.unwrap_or(Ok(()))
}
