//! Streams to a server: unix socket, TCP with TLS, perhaps through a proxy.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::tls::TlsSettings;
use crate::{Address, Egress, Error, Result};

/// A connected stream.
pub(crate) enum Link {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens a stream; error texts name the URL that was asked for, as Go's client does.
pub(crate) async fn open(address: &Address, tls: Option<&TlsSettings>, egress: &Egress) -> Result<Link> {
    match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(|error| {
                let why = reason(&error);
                Error::Connect(format!(
                    "Get \"http://unix.socket/1.0\": dial unix {}: connect: {why}",
                    path.display()
                ))
            })?;
            Ok(Link::Unix(stream))
        }
        Address::Https { host, port } => {
            let named = |error: Error| match error {
                Error::Refused(_) => error,
                other => Error::Connect(format!("Get \"https://{}/1.0\": {other}", address.authority())),
            };
            let tcp = egress.proxies.connect_tls(host, *port, egress.reach).await.map_err(named)?;
            let _ = tcp.set_nodelay(true);
            let tls = tls.ok_or_else(|| Error::Local("No TLS settings for an HTTPS server".into()))?;
            Ok(Link::Tls(Box::new(tls.handshake(host, tcp).await.map_err(named)?)))
        }
    }
}

/// The text of an I/O error without Rust's "(os error N)", in lower case as Go prints it.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    // The TLS library points to its manual, which is about another program.
    let text = text.split(": https://docs.rs/").next().unwrap_or(text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
