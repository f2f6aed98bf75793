//! Serving one connection: HTTP/1.1 with upgrades, as the reference.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lxd_auth::Caller;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Service;

/// Bytes that a connection buffers at most.
const BUFFER: usize = 512 * 1024;

/// How long a remote client may take for the head of a request, and may keep an idle connection.
const IDLE: Duration = Duration::from_secs(300);

/// How far the other end is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A process of this host.
    Local,
    /// Anybody: may not keep connections for ever.
    Remote,
}

/// Answers requests until the client closes the connection or `stop` is cancelled; then the request under
/// way is finished. `identify` says who asks, at each request anew: trust may come and go meanwhile.
pub async fn serve<S>(
    service: Arc<Service>,
    identify: impl Fn() -> Arc<Caller> + Send + Sync + 'static,
    stream: S,
    origin: Origin,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handler = service_fn(move |request| {
        let (service, caller) = (service.clone(), identify());
        async move { Ok::<_, Infallible>(service.call(caller, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER).title_case_headers(true);
    if origin == Origin::Remote {
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
    }
    let connection = builder.serve_connection(TokioIo::new(stream), handler).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = %lxd_types::error::chain(&error), "Connection ended");
    }
}
