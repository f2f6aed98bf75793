//! A websocket as two independent halves: bytes come in while bytes go out (exec, console).
//!
//! Binary messages carry data, a text message ends the data of one direction (the exec protocol), or is itself a control message.

use std::sync::Arc;

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket, WebSocketError};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{Empty, Join, ReadHalf, Sink, WriteHalf, empty, join, sink, split};
use tokio::sync::Mutex;

use crate::socket::Socket;

type Io = TokioIo<Upgraded>;
type Sending = WebSocket<Join<Empty, WriteHalf<Io>>>;

/// The longest message that a client may send, in bytes.
const MESSAGE: usize = 16 << 20;

/// The receiving half.
pub struct Reader {
    socket: WebSocket<Join<ReadHalf<Io>, Sink>>,
    writer: Writer,
    /// What continuation frames continue.
    kind: OpCode,
}

/// The sending half. Cheap to clone; messages of clones do not mix.
#[derive(Clone)]
pub struct Writer {
    socket: Arc<Mutex<Sending>>,
}

/// What came in.
#[derive(Debug)]
pub enum Message {
    /// A piece of data, perhaps of a longer message.
    Data(Bytes),
    /// A piece of text; `last` when the message ends here.
    Text {
        /// The bytes.
        text: Bytes,
        /// No more comes of this message.
        last: bool,
    },
    /// The client closed in the orderly way.
    Closed,
    /// The connection broke, or the client said that something went wrong.
    Broken,
}

/// Cuts a fresh websocket in two: nothing may have been read from it.
pub fn halves(socket: Socket) -> (Reader, Writer) {
    let (read, write) = split(socket.into_inner());
    let mut sender = WebSocket::after_handshake(join(empty(), write), Role::Server);
    sender.set_auto_apply_mask(true);
    let writer = Writer { socket: Arc::new(Mutex::new(sender)) };
    let mut socket = WebSocket::after_handshake(join(read, sink()), Role::Server);
    socket.set_max_message_size(MESSAGE);
    // Answers go through the other half.
    socket.set_auto_pong(false);
    socket.set_auto_close(false);
    (Reader { socket, writer: writer.clone(), kind: OpCode::Binary }, writer)
}

impl Reader {
    /// The next message. Never drop this future before its end, except together with the whole half.
    pub async fn next(&mut self) -> Message {
        loop {
            let Ok(frame) = self.socket.read_frame().await else { return Message::Broken };
            match frame.opcode {
                OpCode::Ping => {
                    let pong = Frame::pong(Payload::Owned(frame.payload.to_vec()));
                    if self.writer.send(pong).await.is_err() {
                        return Message::Broken;
                    }
                }
                OpCode::Pong => {}
                OpCode::Close => return closed(&frame.payload),
                OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                    if frame.opcode != OpCode::Continuation {
                        self.kind = frame.opcode;
                    }
                    let (last, data) = (frame.fin, bytes(frame.payload));
                    return match self.kind {
                        OpCode::Text => Message::Text { text: data, last },
                        _ => Message::Data(data),
                    };
                }
            }
        }
    }
}

impl Writer {
    /// Sends data.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn data(&self, data: &[u8]) -> Result<(), WebSocketError> {
        self.send(Frame::binary(Payload::Borrowed(data))).await
    }

    /// Tells that no more data comes: an empty text message.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn end(&self) -> Result<(), WebSocketError> {
        self.send(Frame::text(Payload::Borrowed(b""))).await
    }

    /// Closes in the orderly way.
    pub async fn close(&self) {
        // It may be broken already; then there is nobody to be told.
        let _ = self.send(Frame::close(1000, b"")).await;
    }

    async fn send(&self, frame: Frame<'_>) -> Result<(), WebSocketError> {
        self.socket.lock().await.write_frame(frame).await
    }
}

fn closed(payload: &[u8]) -> Message {
    match payload {
        // No code, or "normal".
        [] | [3, 0xe8, ..] => Message::Closed,
        _ => Message::Broken,
    }
}

fn bytes(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Bytes(bytes) => bytes.freeze(),
        Payload::Owned(bytes) => bytes.into(),
        other => Bytes::copy_from_slice(&other),
    }
}
