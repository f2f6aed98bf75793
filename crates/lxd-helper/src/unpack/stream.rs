//! The archive as a stream of bytes: one thread reads and inflates, the other (that which writes files) takes what is ready.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Size of a piece that is handed over.
const PIECE: usize = 256 << 10;

/// Pieces that may be ready and not taken.
const AHEAD: usize = 16;

/// How much is looked at to find the format: the tar magic ends at 262.
const HEAD: usize = 512;

/// The inflated archive.
pub struct Stream {
    pieces: Option<Receiver<io::Result<Vec<u8>>>>,
    used: Sender<Vec<u8>>,
    piece: Vec<u8>,
    position: usize,
    thread: Option<JoinHandle<()>>,
}

/// Finds the format out and starts to inflate.
pub fn open(archive: OwnedFd) -> io::Result<Stream> {
    let mut file = File::from(archive);
    let mut head = Vec::with_capacity(HEAD);
    (&mut file).take(HEAD as u64).read_to_end(&mut head)?;
    let decoder = Decoder::of(&head)?;
    let (ready, pieces) = sync_channel(AHEAD);
    let (used, reusable) = channel();
    let thread = std::thread::Builder::new().name("inflate".into()).spawn(move || {
        let mut rest = &file;
        let input = Cursor::new(head).chain(&mut rest);
        match decoder.start(input) {
            Ok(mut inflated) => pump(&mut *inflated, &ready, &reusable),
            Err(error) => drop(ready.send(Err(error))),
        }
        drop(ready);
        super::drain(&mut file);
    })?;
    Ok(Stream { pieces: Some(pieces), used, piece: Vec::new(), position: 0, thread: Some(thread) })
}

/// Inflates until the end, an error, or until nobody wants more.
fn pump(input: &mut dyn Read, ready: &SyncSender<io::Result<Vec<u8>>>, reusable: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = reusable.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let filled = fill(input, &mut piece);
        let end = !matches!(filled, Ok(PIECE));
        let piece = filled.map(|length| {
            piece.truncate(length);
            piece
        });
        let empty = matches!(&piece, Ok(piece) if piece.is_empty());
        if (!empty && ready.send(piece).is_err()) || end {
            return;
        }
    }
}

/// Fills the buffer as far as there is input.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(got) => length += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl Stream {
    /// Waits until the whole input was read, so that its sender is not cut off.
    pub fn finish(mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has nothing to say any more: all that was wanted was unpacked.
            let _ = thread.join();
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.piece.len() {
            let Some(Ok(piece)) = self.pieces.as_ref().map(Receiver::recv) else { return Ok(0) };
            let old = std::mem::replace(&mut self.piece, piece?);
            self.position = 0;
            // The thread may have ended; then nobody wants the buffer.
            let _ = self.used.send(old);
        }
        let length = buffer.len().min(self.piece.len() - self.position);
        buffer[..length].copy_from_slice(&self.piece[self.position..self.position + length]);
        self.position += length;
        Ok(length)
    }
}

/// A way of packing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Decoder {
    Plain,
    Gzip,
    Bzip2,
    Xz,
    Lzma,
    Zstd,
}

impl Decoder {
    fn of(head: &[u8]) -> io::Result<Self> {
        let magics: [(&[u8], Self); 5] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"BZh", Self::Bzip2),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"\x5d\0\0", Self::Lzma),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
        ];
        if let Some((_, decoder)) = magics.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Ok(*decoder);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Ok(Self::Plain);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "Unsupported compression"))
    }

    fn start<'r>(self, input: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
        let input = BufReader::with_capacity(PIECE, input);
        Ok(match self {
            Self::Plain => Box::new(input),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
            Self::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(input)),
            Self::Lzma => {
                let stream = liblzma::stream::Stream::new_lzma_decoder(1 << 30)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(30)?;
                Box::new(decoder)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn formats_are_found() {
        assert_eq!(Decoder::of(b"\x1f\x8b\x08").unwrap(), Decoder::Gzip);
        assert_eq!(Decoder::of(b"\xfd7zXZ\0").unwrap(), Decoder::Xz);
        assert!(Decoder::of(b"").is_err());
        assert!(Decoder::of(b"PK\x03\x04").is_err());
    }

    #[test]
    fn a_stream_is_inflated_and_drained() {
        let text: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&text).unwrap();
        let mut packed = packed.finish().unwrap();
        packed.extend(vec![0; 1 << 20]); // Garbage behind the end.
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let feeder = std::thread::spawn(move || File::from(write).write_all(&packed));
        let mut stream = open(read).unwrap();
        let mut start = vec![0; 1000];
        stream.read_exact(&mut start).unwrap();
        assert!(start == text[..1000]);
        stream.finish();
        feeder.join().unwrap().unwrap();
    }
}
