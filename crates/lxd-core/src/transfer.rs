//! Bodies from and to files: a thread of the pool reads or writes one piece while the network has the other. No thread
//! waits for a client.

use std::fs::File;
use std::io::{self, Write};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rustix::buffer::spare_capacity;
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes that are read or written at once; smaller pieces cost most of the rate.
const PIECE: usize = 1 << 20;

/// Writes a body into a file.
///
/// # Errors
/// The client went away, or what the file system says.
pub async fn receive(
    mut file: File,
    mut body: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
) -> Result<()> {
    let mut piece = gather(&mut body).await?;
    loop {
        let writing = spawn_blocking(move || write(file, &piece.parts));
        // Even when the client is gone the thread must have ended before the caller goes on.
        let next = if piece.last { None } else { Some(gather(&mut body).await) };
        file = finished(writing).await.context("Failed to write the file")?;
        match next {
            None => return Ok(()),
            Some(next) => piece = next?,
        }
    }
}

/// A part of a body, as its blocks came.
struct Piece {
    parts: Vec<Bytes>,
    last: bool,
}

async fn gather(body: &mut (impl Stream<Item = io::Result<Bytes>> + Unpin)) -> Result<Piece> {
    let (mut parts, mut size) = (Vec::new(), 0);
    while size < PIECE {
        match body.next().await {
            None => return Ok(Piece { parts, last: true }),
            Some(Ok(part)) => {
                size += part.len();
                parts.push(part);
            }
            Some(Err(error)) => return Err(Error::bad_request(format!("Failed to read body: {error}"))),
        }
    }
    Ok(Piece { parts, last: false })
}

fn write(mut file: File, parts: &[Bytes]) -> io::Result<File> {
    for part in parts {
        file.write_all(part)?;
    }
    Ok(file)
}

/// `length` bytes of a file from its present position on, read ahead by one piece; fewer when the file has become
/// shorter.
pub fn send(file: File, length: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(read_ahead(file, length), |reading| async move {
        let (reading, left) = reading?;
        match finished(reading).await {
            Ok((_, piece)) if piece.is_empty() => None,
            Ok((file, piece)) => {
                let left = left.saturating_sub(piece.len() as u64);
                Some((Ok(piece), read_ahead(file, left)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// The thread that reads the next piece, and how much is missing before it; none when nothing is.
type Reading = Option<(JoinHandle<io::Result<(File, Bytes)>>, u64)>;

fn read_ahead(file: File, left: u64) -> Reading {
    let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
    let read = move || read(&file, most).map(|piece| (file, piece));
    (most > 0).then(|| (spawn_blocking(read), left))
}

/// Reads up to `most` bytes; less at the end of the file.
fn read(file: &File, most: usize) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(most);
    while piece.len() < most {
        match rustix::io::read(file, spare_capacity(&mut piece)) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(piece.into())
}

async fn finished<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    fn blocks(data: &[u8], size: usize) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
        let blocks: Vec<_> = data.chunks(size).map(|block| Ok(Bytes::copy_from_slice(block))).collect();
        stream::iter(blocks)
    }

    #[tokio::test]
    async fn what_goes_in_comes_out() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 77] {
            let data: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            receive(file.try_clone().unwrap(), blocks(&data, 70_000)).await.unwrap();
            file.rewind().unwrap();
            let mut written = Vec::new();
            file.read_to_end(&mut written).unwrap();
            assert!(written == data, "{length} bytes");
            file.rewind().unwrap();
            let shorter = file.try_clone().unwrap();
            let sent: Vec<Bytes> = send(file, length as u64).map(Result::unwrap).collect().await;
            assert!(sent.concat() == data, "{length} bytes");
            assert!(send(shorter, 5).collect::<Vec<_>>().await.is_empty());
        }
    }

    #[tokio::test]
    async fn a_client_that_goes_away_is_an_error() {
        let broken = blocks(b"half", 4).chain(stream::iter([Err(io::ErrorKind::BrokenPipe.into())]));
        assert!(receive(tempfile::tempfile().unwrap(), broken).await.is_err());
        // A file that cannot be read breaks the answer rather than ending it.
        let unreadable = File::options().write(true).open("/dev/null").unwrap();
        let sent: Vec<io::Result<Bytes>> = send(unreadable, 5).collect().await;
        assert!(matches!(sent.as_slice(), [Err(_)]));
    }
}
