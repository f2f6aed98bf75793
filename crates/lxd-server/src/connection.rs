//! Serving one connection: HTTP/1.1 with upgrades, as the reference.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1::{self, UpgradeableConnection};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use lxd_auth::Caller;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Service;
use crate::link::Watched;
use crate::reply::Body;

/// Bytes that a connection buffers at most.
const BUFFER: usize = 512 * 1024;

/// How long a remote client may take for the head of a request, and may keep an idle connection.
const IDLE: Duration = Duration::from_secs(300);

/// Answers requests of a process of this host until it closes the connection or `stop` is cancelled; then the request
/// under way is finished.
pub async fn serve<S>(service: Arc<Service>, caller: Arc<Caller>, stream: S, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handler = service_fn(move |request| {
        let (service, caller) = (service.clone(), caller.clone());
        async move { Ok::<_, Infallible>(service.call(caller, request).await) }
    });
    finish(builder().serve_connection(TokioIo::new(stream), handler).with_upgrades(), stop).await;
}

/// The same for a remote client. Who asks is found out at each request anew: trust may come and go meanwhile.
pub async fn serve_watched<S>(service: Arc<Service>, watched: Watched, stream: S, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handler = service_fn(move |mut request: http::Request<Incoming>| {
        let (service, caller) = (service.clone(), (watched.identify)());
        request.extensions_mut().insert(watched.clone());
        async move { Ok::<_, Infallible>(service.call(caller, request).await) }
    });
    let mut builder = builder();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
    finish(builder.serve_connection(TokioIo::new(stream), handler).with_upgrades(), stop).await;
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER).title_case_headers(true);
    builder
}

/// Serves until the client or `stop` ends it.
async fn finish<S, H>(connection: UpgradeableConnection<TokioIo<S>, H>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
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
