//! Serving one connection: HTTP/1.1 with upgrades, as the reference.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lxd_auth::Caller;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Service;

/// Bytes that a connection buffers at most.
const BUFFER: usize = 512 * 1024;

/// Answers requests until the client closes the connection or `stop` is cancelled; then the request under
/// way is finished.
pub async fn serve<S>(service: Arc<Service>, caller: Arc<Caller>, stream: S, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handler = service_fn(move |request| {
        let (service, caller) = (service.clone(), caller.clone());
        async move { Ok::<_, Infallible>(service.call(caller, request).await) }
    });
    let connection = http1::Builder::new()
        .max_buf_size(BUFFER)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), handler)
        .with_upgrades();
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
