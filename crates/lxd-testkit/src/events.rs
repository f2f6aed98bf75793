//! A reader of `/1.0/events`, independent of the code under test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

/// An open websocket on which events arrive.
pub struct Events {
    stream: BufReader<UnixStream>,
}

impl Events {
    /// Connects; `query` is that of the URL (`type=lifecycle`).
    ///
    /// # Panics
    /// The daemon does not agree.
    pub fn open(socket: &Path, query: &str) -> Self {
        let mut stream = UnixStream::connect(socket).expect("the daemon listens");
        let request = format!(
            "GET /1.0/events?{query} HTTP/1.1\r\nHost: lxd\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the daemon reads");
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).expect("the daemon answers");
        assert!(line.contains("101"), "{line}");
        while line.trim_end() != "" {
            line.clear();
            stream.read_line(&mut line).expect("the answer has an end");
        }
        Self { stream }
    }

    /// The next event; none when there is none for so long.
    ///
    /// # Panics
    /// The daemon closes the connection.
    pub fn next(&mut self, patience: Duration) -> Option<Value> {
        let end = Instant::now() + patience;
        loop {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.stream.get_ref().set_read_timeout(Some(left)).expect("it is a socket");
            if self.stream.fill_buf().is_err() {
                return None;
            }
            // A frame that has begun comes as a whole.
            self.stream.get_ref().set_read_timeout(None).expect("it is a socket");
            let (kind, bytes) = self.frame();
            if kind == 1 {
                return Some(serde_json::from_slice(&bytes).expect("events are JSON"));
            }
        }
    }

    fn frame(&mut self) -> (u8, Vec<u8>) {
        let [first, second] = self.take();
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.take())),
            127 => u64::from_be_bytes(self.take()),
            short => u64::from(short),
        };
        let mut bytes = vec![0; usize::try_from(length).expect("events are short")];
        self.stream.read_exact(&mut bytes).expect("frames are whole");
        (first & 0x0f, bytes)
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).expect("the connection is open");
        bytes
    }
}
