//! Copying the content of files: shared where the file system can, holes kept.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// How much is read at once.
const PIECE: usize = 256 << 10;

/// Copies the content; returns the bytes that were not holes.
pub(super) fn copy_content(from: &File, to: &File, size: u64) -> io::Result<u64> {
    if size == 0 {
        return Ok(0);
    }
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(size);
    }
    let mut bytes = 0;
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break, // Only a hole is left.
            Err(Errno::INVAL) => at,   // No knowledge of holes.
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start)).unwrap_or(size).min(size);
        bytes += copy_range(from, to, start, end)?;
        at = end.max(start + 1);
    }
    to.set_len(size)?;
    Ok(bytes)
}

/// Whether two files of the same size have the same content.
pub(super) fn same(one: &File, other: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut buffers = [vec![0; PIECE], vec![0; PIECE]];
    let mut at = 0;
    loop {
        let [mine, theirs] = &mut buffers;
        let length = one.read_at(mine, at)?;
        if length == 0 {
            return Ok(other.read_at(theirs, at)? == 0);
        }
        let theirs = theirs.get_mut(..length).unwrap_or_default();
        match other.read_exact_at(theirs, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if mine.get(..length) != Some(&*theirs) {
            return Ok(false);
        }
        at += length as u64;
    }
}

/// Copies one range inside the kernel, or through a buffer where the kernel cannot.
fn copy_range(from: &File, to: &File, start: u64, end: u64) -> io::Result<u64> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let length = usize::try_from(end - read).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            Ok(0) => break, // The file became shorter meanwhile.
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                return copy_through_buffer(from, to, read, end).map(|more| read - start + more);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read - start)
}

fn copy_through_buffer(from: &File, to: &File, start: u64, end: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; PIECE];
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let length = from.read_at(&mut buffer[..wanted], at)?;
        if length == 0 {
            break;
        }
        to.write_all_at(&buffer[..length], at)?;
        at += length as u64;
    }
    Ok(at - start)
}
