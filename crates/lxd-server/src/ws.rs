//! Websocket handshakes.

use std::future::Future;

use bytes::Bytes;
use fastwebsockets::upgrade::{is_upgrade_request, upgrade};
use http::header::SEC_WEBSOCKET_VERSION;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use lxd_task::socket::Socket;
use lxd_types::{Error, Result};

use crate::link::Watched;
use crate::{Ctx, Reply};

/// The longest message that a client may send, in bytes.
const MESSAGE: usize = 16 * 1024 * 1024;

/// Answers the handshake and hands the connected socket to `serve`, on a task of its own. A request that
/// asks for no websocket is told so.
///
/// # Errors
/// The handshake is malformed.
pub fn accept<F>(cx: &mut Ctx, serve: impl FnOnce(Socket) -> F + Send + 'static) -> Result<Reply>
where
    F: Future<Output = ()> + Send + 'static,
{
    let watched = cx.request.extensions().get::<Watched>().cloned();
    let reply = accept_request(&mut cx.request, serve)?;
    if let Some(watched) = watched.filter(|_| reply.code() == StatusCode::SWITCHING_PROTOCOLS) {
        watched.guard(cx.caller.clone(), cx.core.trust_changes.subscribe());
    }
    Ok(reply)
}

/// [`accept`] for requests that have no context.
///
/// # Errors
/// The handshake is malformed.
pub fn accept_request<F>(
    request: &mut Request<()>,
    serve: impl FnOnce(Socket) -> F + Send + 'static,
) -> Result<Reply>
where
    F: Future<Output = ()> + Send + 'static,
{
    if !is_upgrade_request(request) {
        return Ok(not_a_handshake());
    }
    let (response, connected) = upgrade(request)
        .map_err(|error| Error::bad_request(format!("Failed to open a websocket: {error}")))?;
    tokio::spawn(async move {
        match connected.await {
            Ok(mut socket) => {
                socket.set_auto_close(true);
                socket.set_auto_pong(true);
                socket.set_max_message_size(MESSAGE);
                serve(socket).await;
            }
            Err(error) => tracing::debug!(%error, "A websocket's handshake was broken off"),
        }
    });
    Ok(Reply::response(response))
}

/// What the reference answers to a plain request for a websocket.
fn not_a_handshake() -> Reply {
    let mut response = http::Response::new(Full::new(Bytes::from_static(b"Bad Request\n")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    Reply::response(response)
}
