//! Files as bodies of requests.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::cx::Cx;

/// Bytes that one read takes.
const BUFFER: usize = 256 * 1024;

/// An opened file and its length.
pub struct Source {
    file: File,
    /// Bytes in the file when it was opened.
    pub length: u64,
}

impl Source {
    /// Opens a file.
    ///
    /// # Errors
    /// `open PATH: reason`.
    pub async fn open(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| anyhow::anyhow!("open {}: {}", path.display(), reason(&error));
        let file = File::open(path).await.map_err(failed)?;
        let length = file.metadata().await.map_err(failed)?.len();
        Ok(Self { file, length })
    }

    /// What the file system says about it.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn metadata(&self) -> Result<std::fs::Metadata> {
        Ok(self.file.metadata().await?)
    }

    /// Its content, with the share that was sent shown on a terminal.
    pub fn progress(
        self,
        cx: &Cx,
        label: &str,
    ) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static + use<> {
        let mut meter = Meter::new(cx, label, self.length);
        let inner = concat(vec![Piece::File(self)]);
        futures_util::StreamExt::inspect(inner, move |item| {
            if let Ok(piece) = item {
                meter.pass(piece.len());
            }
        })
    }
}

/// Shows on a terminal how much of a file went by, and how fast.
pub struct Meter {
    label: String,
    shows: bool,
    length: u64,
    passed: u64,
    begun: Instant,
    percent: u64,
}

impl Meter {
    /// A meter for `length` bytes (0: unknown, nothing is shown).
    pub fn new(cx: &Cx, label: &str, length: u64) -> Self {
        let shows = cx.shows_progress() && length > 0;
        Self { label: label.to_owned(), shows, length, passed: 0, begun: Instant::now(), percent: u64::MAX }
    }

    /// Counts bytes.
    pub fn pass(&mut self, bytes: usize) {
        self.passed += bytes as u64;
        let percent = self.passed * 100 / self.length.max(1);
        if !self.shows || percent == self.percent {
            return;
        }
        self.percent = percent;
        let rate = self.passed as f64 / self.begun.elapsed().as_secs_f64().max(1e-6) / 1e6;
        let end = if self.passed >= self.length { "\r\x1b[K" } else { "" };
        crate::output::print(&format!("\r{}: {percent}% ({rate:.2}MB/s){end}", self.label));
    }
}

/// The text of an I/O error in lower case, without its number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Part of a body.
pub enum Piece {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file.
    File(Source),
}

/// Parts one after the other.
pub fn concat(pieces: Vec<Piece>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::unfold(pieces.into_iter().collect::<std::collections::VecDeque<_>>(), |mut pieces| async move {
        loop {
            match pieces.pop_front()? {
                Piece::Bytes(bytes) => return Some((Ok(bytes), pieces)),
                Piece::File(mut source) => {
                    let mut buffer = BytesMut::with_capacity(BUFFER);
                    match source.file.read_buf(&mut buffer).await {
                        Ok(0) => {}
                        Ok(_) => {
                            pieces.push_front(Piece::File(source));
                            return Some((Ok(buffer.freeze()), pieces));
                        }
                        Err(error) => return Some((Err(error), pieces)),
                    }
                }
            }
        }
    })
}

/// A number that is unlikely to be met twice: for boundaries and names of temporary files.
pub fn random() -> u128 {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    now ^ u128::from(std::process::id()) << 64
}
