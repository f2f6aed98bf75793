//! Messages with descriptors over a unix stream socket: how the daemon and its helpers talk.
//!
//! A frame is a length (4 bytes, little endian) and that many bytes; descriptors travel with the length. Blocking; the
//! daemon's side uses it in `spawn_blocking` or for frames small enough for the socket's buffer.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// Largest frame in bytes; more is a mistake or an attack.
pub const MAX_FRAME: usize = 16 << 20;

/// Most descriptors in one frame.
pub const MAX_FDS: usize = 16;

/// Sends one frame.
///
/// # Errors
/// As `sendmsg`; [`io::ErrorKind::InvalidInput`] when it is too large.
pub fn send(socket: &UnixStream, data: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let head = head(data)?;
    let sent = send_part(socket.as_fd(), &head, data, fds)?;
    // A stream may take only a part; the descriptors went with the first byte.
    (&*socket).write_all(&head[sent.min(head.len())..])?;
    (&*socket).write_all(&data[sent.saturating_sub(head.len())..])
}

/// The length in front of a frame.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when it is too large.
pub fn head(data: &[u8]) -> io::Result<[u8; 4]> {
    match u32::try_from(data.len()) {
        Ok(length) if data.len() <= MAX_FRAME => Ok(length.to_le_bytes()),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// The length that a received head names.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when it is too large.
pub fn length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    if length > MAX_FRAME { Err(io::Error::from(io::ErrorKind::InvalidData)) } else { Ok(length) }
}

/// One `sendmsg` of head, data and descriptors; answers how many bytes the socket took (at least one).
///
/// # Errors
/// As `sendmsg`.
pub fn send_part(
    socket: BorrowedFd<'_>,
    head: &[u8; 4],
    data: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let parts = [IoSlice::new(head), IoSlice::new(data)];
    loop {
        match rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives one frame with its descriptors (close-on-exec); none at the end of the stream.
///
/// # Errors
/// As `recvmsg`; [`io::ErrorKind::InvalidData`] for a frame that is too large;
/// [`io::ErrorKind::UnexpectedEof`] when the peer went away within a frame.
pub fn receive(socket: &UnixStream) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut head = [0_u8; 4];
    let (got, fds) = receive_head(socket.as_fd(), &mut head)?;
    if got == 0 {
        return Ok(None);
    }
    (&*socket).read_exact(&mut head[got..])?;
    let mut data = vec![0_u8; length(head)?];
    (&*socket).read_exact(&mut data)?;
    Ok(Some((data, fds)))
}

/// One `recvmsg` of (a part of) a frame's head and its descriptors; 0 bytes at the end of the stream.
///
/// # Errors
/// As `recvmsg`.
pub fn receive_head(socket: BorrowedFd<'_>, head: &mut [u8; 4]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(head)];
        match rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((received.bytes, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn frames_carry_descriptors_in_order() {
        let (a, b) = UnixStream::pair().unwrap();
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        send(&a, b"job", &[writer.as_fd(), reader.as_fd()]).unwrap();
        send(&a, b"", &[]).unwrap();
        drop(a);
        let (data, mut fds) = receive(&b).unwrap().unwrap();
        assert_eq!((data.as_slice(), fds.len()), (&b"job"[..], 2));
        drop((reader, writer));
        File::from(fds.remove(0)).write_all(b"x").unwrap();
        assert_eq!(io::read_to_string(File::from(fds.remove(0))).unwrap(), "x");
        assert_eq!(receive(&b).unwrap().unwrap().0, b"");
        assert!(receive(&b).unwrap().is_none());
    }

    #[test]
    fn large_frames_arrive_whole() {
        let (a, b) = UnixStream::pair().unwrap();
        let data = vec![7_u8; 3 << 20];
        let copy = data.clone();
        let sender = std::thread::spawn(move || send(&a, &copy, &[]));
        assert!(receive(&b).unwrap().unwrap().0 == data);
        sender.join().unwrap().unwrap();
    }
}
