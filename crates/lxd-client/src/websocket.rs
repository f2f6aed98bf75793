//! Websockets: messages in both directions at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload, Role};
use http::Request;
use http::header::{CONNECTION, HOST, UPGRADE, USER_AGENT};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, Empty as Nothing, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::Mutex;

use crate::{Client, Error, Result};

/// Largest message that is taken from a server.
const MAX_MESSAGE: usize = 64 << 20;

type Stream = TokioIo<Upgraded>;
type Writer = fastwebsockets::WebSocket<Half<Nothing, WriteHalf<Stream>>>;

/// A connected websocket.
pub struct WebSocket {
    /// Messages from the server.
    pub receiver: Receiver,
    /// Messages to the server.
    pub sender: Sender,
}

/// A message from the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// Text; an empty one ends a stream in the exec protocol.
    Text(Vec<u8>),
    /// Data.
    Binary(Vec<u8>),
}

/// The reading side.
pub struct Receiver {
    socket: fastwebsockets::WebSocket<Half<ReadHalf<Stream>, Nothing>>,
    /// For answers to pings.
    sender: Sender,
}

/// The writing side. Cheap to clone; messages of clones do not mix.
#[derive(Clone)]
pub struct Sender {
    socket: Arc<Mutex<Writer>>,
}

impl Client {
    /// Connects to a websocket of the API, on a connection of its own.
    ///
    /// # Errors
    /// The server's error, or no connection.
    pub async fn websocket(&self, path: &str) -> Result<WebSocket> {
        let mut request = Request::builder()
            .method("GET")
            .uri(self.path(path))
            .header(HOST, self.address().authority())
            .header(USER_AGENT, "LXD 4.18")
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "Upgrade")
            .header("Sec-WebSocket-Key", fastwebsockets::handshake::generate_key())
            .header("Sec-WebSocket-Version", "13")
            .body(Empty::<Bytes>::new())
            .map_err(Error::protocol)?;
        request.headers_mut().extend(self.proof());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.link().await?))
                .await
                .map_err(Error::protocol)?;
        tokio::spawn(async move {
            // A failure shows up in the request or in the upgraded stream.
            let _ = connection.with_upgrades().await;
        });
        let mut response = sender.send_request(request).await.map_err(Error::protocol)?;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(response).await);
        }
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(Error::protocol)?;
        Ok(WebSocket::new(TokioIo::new(upgraded)))
    }
}

async fn refused(response: http::Response<hyper::body::Incoming>) -> Error {
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    match serde_json::from_slice::<lxd_api::response::Response>(&body) {
        Ok(answer) if !answer.error.is_empty() => Error::Api { code, text: answer.error },
        _ => Error::Api { code, text: "websocket: bad handshake".into() },
    }
}

impl WebSocket {
    fn new(stream: Stream) -> Self {
        let (read, write) = tokio::io::split(stream);
        let mut writer = fastwebsockets::WebSocket::after_handshake(
            Half { read: tokio::io::empty(), write },
            Role::Client,
        );
        writer.set_writev(true);
        let sender = Sender { socket: Arc::new(Mutex::new(writer)) };
        let mut reader = fastwebsockets::WebSocket::after_handshake(
            Half { read, write: tokio::io::empty() },
            Role::Client,
        );
        reader.set_auto_close(false);
        reader.set_auto_pong(false);
        reader.set_max_message_size(MAX_MESSAGE);
        Self { receiver: Receiver { socket: reader, sender: sender.clone() }, sender }
    }
}

impl Receiver {
    /// The next message; `None` when the server closed the socket or the connection ended.
    /// Not to be cancelled half way: give it a task of its own.
    ///
    /// # Errors
    /// The server broke the protocol or sent a message that is too long.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        let mut text = false;
        let mut collected: Vec<u8> = Vec::new();
        loop {
            let frame = match self.socket.read_frame().await {
                Ok(frame) => frame,
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(Error::protocol(error)),
            };
            match frame.opcode {
                OpCode::Close => return Ok(None),
                OpCode::Ping => {
                    let _ = self.sender.write(Frame::pong(Payload::Owned(frame.payload.to_vec()))).await;
                    continue;
                }
                OpCode::Pong => continue,
                OpCode::Text => text = true,
                OpCode::Binary | OpCode::Continuation => {}
            }
            if collected.len() + frame.payload.len() > MAX_MESSAGE {
                return Err(Error::Protocol("websocket message too long".into()));
            }
            let fin = frame.fin;
            if collected.is_empty() {
                collected = frame.payload.into();
            } else {
                collected.extend_from_slice(&frame.payload);
            }
            if fin {
                return Ok(Some(if text { Message::Text(collected) } else { Message::Binary(collected) }));
            }
        }
    }
}

fn is_end(error: &fastwebsockets::WebSocketError) -> bool {
    use fastwebsockets::WebSocketError as E;
    match error {
        E::ConnectionClosed | E::UnexpectedEOF => true,
        E::IoError(io) => matches!(
            io.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ),
        _ => false,
    }
}

impl Sender {
    /// Sends data.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn binary(&self, data: &[u8]) -> Result<()> {
        // The payload is masked in place, so it has to be a copy.
        self.write(Frame::binary(Payload::Owned(data.to_vec()))).await
    }

    /// Sends a text; an empty one ends a stream in the exec protocol.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn text(&self, text: &str) -> Result<()> {
        self.write(Frame::text(Payload::Owned(text.as_bytes().to_vec()))).await
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn close(&self) -> Result<()> {
        self.write(Frame::close(1000, b"")).await
    }

    async fn write(&self, frame: Frame<'_>) -> Result<()> {
        self.socket.lock().await.write_frame(frame).await.map_err(Error::protocol)
    }
}

/// A stream whose other direction leads nowhere: both directions work at the same time.
struct Half<R, W> {
    read: R,
    write: W,
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Half<R, W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().read).poll_read(cx, buf)
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Half<R, W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().write).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().write).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().write).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().write).poll_shutdown(cx)
    }
}
