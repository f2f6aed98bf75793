//! Connections that can be cut: a client that loses trust loses its open websockets within a moment, while the plain
//! requests of its kept connections are answered 403.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lxd_auth::Caller;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A stream that fails, in both directions and at once, when its token is cancelled. Dropping it cancels the token.
pub struct Severable<S> {
    stream: S,
    cut: CancellationToken,
    // One for each direction: they are waited for by different tasks.
    read_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    write_cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Severable<S> {
    /// The stream, and what cuts it.
    pub fn new(stream: S) -> (Self, CancellationToken) {
        let cut = CancellationToken::new();
        let wait = || Box::pin(cut.clone().cancelled_owned());
        let (read_cut, write_cut) = (wait(), wait());
        (Self { stream, cut: cut.clone(), read_cut, write_cut }, cut)
    }
}

impl<S> Drop for Severable<S> {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

fn severed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the client is not trusted any more")
}

impl<S: AsyncRead + Unpin> AsyncRead for Severable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(severed()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Severable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.write_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(severed()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What a websocket needs to know of its connection.
#[derive(Clone)]
pub struct Watched {
    /// Cuts the connection; cancelled as well when it ends by itself.
    pub cut: CancellationToken,
    /// Who the client is now.
    pub identify: Arc<dyn Fn() -> Arc<Caller> + Send + Sync>,
    /// When its certificate or macaroon ends, in seconds since 1970; `None` for never.
    pub until: Option<i64>,
}

/// How long is slept at most: the clock may be set meanwhile.
const NAP: Duration = Duration::from_secs(60);

/// Waits until that second is over; for ever without one.
async fn ended(until: Option<i64>) {
    let Some(until) = until else { return std::future::pending().await };
    loop {
        let left = until.saturating_add(1).saturating_sub(chrono::Utc::now().timestamp());
        match u64::try_from(left) {
            Ok(left) if left > 0 => tokio::time::sleep(NAP.min(Duration::from_secs(left))).await,
            _ => return,
        }
    }
}

impl Watched {
    /// Cuts the connection when the client is trusted less than it was at `before`.
    pub fn guard(self, before: Arc<Caller>, mut changes: watch::Receiver<u64>) {
        tokio::spawn(async move {
            let mut until = self.until;
            loop {
                // Asked before the first wait too: trust may have gone since the request was let in.
                if before.may_more_than(&(self.identify)()) {
                    tracing::info!(
                        address = before.address(),
                        "A client lost trust, its websocket is closed"
                    );
                    return self.cut.cancel();
                }
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = ended(until) => until = None,
                    () = self.cut.cancelled() => return,
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_auth::Limits;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn caller(trusted: bool, projects: Option<&[&str]>) -> Caller {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        let projects = projects.map(|all| Limits::of_certificate(names(all)));
        Caller { trusted, projects, ..Caller::daemon() }
    }

    #[test]
    fn less_trust_is_loss() {
        let full = caller(true, None);
        let two = caller(true, Some(&["a", "b"]));
        let one = caller(true, Some(&["a"]));
        let none = caller(false, None);
        for (before, now, expected) in [
            (&full, &full, false),
            (&full, &two, true),
            (&full, &none, true),
            (&two, &one, true),
            (&two, &none, true),
            (&one, &two, false),
            (&one, &full, false),
            (&none, &none, false),
        ] {
            assert_eq!(before.may_more_than(now), expected, "{before:?} {now:?}");
        }
    }

    #[tokio::test]
    async fn who_is_known_for_a_while_is_cut_after_it() {
        let end = chrono::Utc::now().timestamp();
        let identify = move || Arc::new(caller(chrono::Utc::now().timestamp() <= end, None));
        let (changes, cut) = (watch::Sender::new(0), CancellationToken::new());
        let watched = Watched { cut: cut.clone(), identify: Arc::new(identify), until: Some(end) };
        watched.guard(Arc::new(caller(true, None)), changes.subscribe());
        tokio::time::timeout(Duration::from_secs(10), cut.cancelled()).await.unwrap();
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut near, cut) = Severable::new(near);
        far.write_all(b"a").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'a');
        let reader = tokio::spawn(async move { near.read_u8().await });
        cut.cancel();
        assert_eq!(reader.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
