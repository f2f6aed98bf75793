//! Answers of several parts (`multipart/form-data`), read as a stream.

use anyhow::{Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use lxd_client::Reply;

/// Longest head of a part.
const MAX_HEAD: usize = 64 * 1024;

/// The parts of an answer.
pub struct Parts {
    reply: Reply,
    buffer: BytesMut,
    /// `\r\n--BOUNDARY`
    mark: Vec<u8>,
    ended: bool,
}

impl Parts {
    /// The parts of an answer with a boundary.
    pub fn new(reply: Reply, boundary: &str) -> Self {
        // The first boundary stands at the very beginning: a line break is put before it.
        Self {
            reply,
            buffer: BytesMut::from(&b"\r\n"[..]),
            mark: format!("\r\n--{boundary}").into_bytes(),
            ended: false,
        }
    }

    /// Goes to the next part and returns its headers; `None` behind the last.
    ///
    /// # Errors
    /// The answer ends early, or a head is too long.
    pub async fn next_part(&mut self) -> Result<Option<String>> {
        while self.chunk().await?.is_some() {}
        self.buffer.advance(self.mark.len().min(self.buffer.len()));
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if self.buffer.starts_with(b"--") {
            return Ok(None);
        }
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end + 4);
                return Ok(Some(String::from_utf8_lossy(&head).replace("\r\n", ";")));
            }
            if self.buffer.len() > MAX_HEAD {
                bail!("Invalid multipart answer");
            }
            self.fill().await?;
        }
    }

    /// The next piece of the current part; `None` at its end.
    ///
    /// # Errors
    /// The answer ends early.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(end) = find(&self.buffer, &self.mark) {
                return Ok((end > 0).then(|| self.buffer.split_to(end).freeze()));
            }
            // The mark may begin in the last bytes.
            let safe = self.buffer.len().saturating_sub(self.mark.len());
            if safe > 0 {
                return Ok(Some(self.buffer.split_to(safe).freeze()));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.ended {
            bail!("Invalid multipart answer");
        }
        match self.reply.chunk().await? {
            Some(piece) => self.buffer.extend_from_slice(&piece),
            None => self.ended = true,
        }
        Ok(())
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
