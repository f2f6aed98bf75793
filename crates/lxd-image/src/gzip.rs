//! gzip on all processors: blocks are compressed by themselves, side by side, and joined to one stream that every reader of gzip
//! takes. What comes out does not depend on the number of processors.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes of a block: matches do not reach over its edges, which costs less than a hundredth at this size.
const BLOCK: usize = 1 << 20;

/// Magic number, method, no flags, no time, no hint, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A writer that compresses; [`GzipWriter::finish`] writes the end.
pub struct GzipWriter<W: Write> {
    out: W,
    level: Compression,
    block: Vec<u8>,
    crc: Crc,
    workers: Option<Workers>,
}

impl<W: Write> GzipWriter<W> {
    /// A writer over `out`.
    pub fn new(out: W, level: Compression) -> Self {
        Self { out, level, block: Vec::new(), crc: Crc::new(), workers: None }
    }

    /// Writes what is left, and the end.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn finish(mut self) -> io::Result<W> {
        let last = deflate(&self.block, self.level, FlushCompress::Finish)?;
        match self.workers.take() {
            Some(mut workers) => {
                while workers.busy() > 0 {
                    self.out.write_all(&workers.next()?)?;
                }
            }
            None => self.out.write_all(&HEADER)?,
        }
        self.out.write_all(&last)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.out)
    }

    /// Hands a full block to the workers, and writes what they have done when they have enough to do.
    fn hand_over(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        if self.workers.is_none() {
            self.out.write_all(&HEADER)?;
        }
        let workers = self.workers.get_or_insert_with(|| Workers::new(self.level));
        workers.give(block);
        while workers.busy() > workers.limit {
            self.out.write_all(&workers.next()?)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        self.crc.update(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.hand_over()?;
        }
        Ok(taken)
    }

    /// Blocks that are not full stay: a reader gets them with the end.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A block, and where its compressed form is waited for.
type Job = (Vec<u8>, Sender<io::Result<Vec<u8>>>);

/// Threads that compress; they end with this.
struct Workers {
    jobs: Sender<Job>,
    /// What was given and not taken back, in order.
    results: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    /// So many blocks are kept under way.
    limit: usize,
}

impl Workers {
    fn new(level: Compression) -> Self {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(16);
        let (jobs, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..count {
            let waiting = waiting.clone();
            std::thread::spawn(move || work(&waiting, level));
        }
        Self { jobs, results: VecDeque::new(), limit: count + 1 }
    }

    fn busy(&self) -> usize {
        self.results.len()
    }

    fn give(&mut self, block: Vec<u8>) {
        let (done, result) = mpsc::channel();
        // Without workers nobody answers: that is seen when the result is taken.
        let _ = self.jobs.send((block, done));
        self.results.push_back(result);
    }

    /// The oldest block, compressed.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let ended = || io::Error::other("A thread that compresses has ended");
        let result = self.results.pop_front().ok_or_else(ended)?;
        result.recv().map_err(|_| ended())?
    }
}

fn work(waiting: &Mutex<Receiver<Job>>, level: Compression) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((block, done)) = job else { return };
        // Nobody waits any more when this fails.
        let _ = done.send(deflate(&block, level, FlushCompress::Sync));
    }
}

/// A piece of a deflate stream: with `Sync` it ends at a whole byte and another piece may follow.
fn deflate(block: &[u8], level: Compression, end: FlushCompress) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(level, false);
    let mut packed = Vec::with_capacity(block.len() / 2 + 64);
    loop {
        let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let room = packed.capacity();
        let status = compress.compress_vec(&block[read..], &mut packed, end).map_err(io::Error::other)?;
        let is_done = match end {
            FlushCompress::Finish => status == Status::StreamEnd,
            // All is out when room was left.
            _ => compress.total_in() == block.len() as u64 && packed.len() < room,
        };
        if is_done {
            return Ok(packed);
        }
        packed.reserve(packed.capacity().max(4096));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    /// Some that can be compressed, some that cannot.
    fn content(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let byte = |at: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if at % 4096 < 2048 { (at / 64) as u8 } else { (state >> 24) as u8 }
        };
        (0..length).map(byte).collect()
    }

    fn packed(content: &[u8], step: usize) -> Vec<u8> {
        let mut writer = GzipWriter::new(Vec::new(), Compression::default());
        content.chunks(step).for_each(|part| writer.write_all(part).unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn it_is_one_stream_that_everybody_reads() {
        for length in [0, 1, 5000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 7 * BLOCK / 2, 9 * BLOCK] {
            let content = content(length);
            let gzip = packed(&content, 100_000);
            let mut back = Vec::new();
            // This reader stops after the first member.
            flate2::read::GzDecoder::new(&*gzip).read_to_end(&mut back).unwrap();
            assert!(back == content, "{length}");
            assert_eq!(gzip, packed(&content, 4096), "{length}");
        }
    }

    #[test]
    fn the_program_gzip_reads_it() {
        let gzip = packed(&content(3 * BLOCK + 77), 1 << 16);
        let mut child = Command::new("gzip").arg("-t").stdin(Stdio::piped()).spawn().expect("gzip is there");
        child.stdin.take().unwrap().write_all(&gzip).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// A writer that fails after some bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told() {
        let content = content(8 * BLOCK);
        let mut writer = GzipWriter::new(Full(BLOCK), Compression::fast());
        let written = writer.write_all(&content).and_then(|()| writer.finish().map(drop));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
