//! A listening socket of whole messages (`SOCK_SEQPACKET`) with descriptors, as monitors of containers send them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Most descriptors in one message.
const MAX_FDS: usize = 8;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// A socket that others connect to.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<OwnedFd>,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    socket: AsyncFd<OwnedFd>,
}

impl Listener {
    /// Listens at a path that is free and that only root controls.
    ///
    /// # Errors
    /// As `bind`.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self { socket: watched(socket)? })
    }

    /// The next connection, when root of this host made it; others are closed at once.
    ///
    /// # Errors
    /// As `accept`.
    pub async fn accept(&self) -> io::Result<Connection> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            let accept = |socket: &OwnedFd| Ok(rustix::net::accept_with(socket, flags)?);
            let socket = self.socket.async_io(Interest::READABLE, accept).await?;
            if rustix::net::sockopt::socket_peercred(&socket)?.uid.is_root() {
                return Ok(Connection { socket: watched(socket)? });
            }
        }
    }
}

impl Connection {
    /// The next message: how many bytes of the buffer it fills (none at the end of the connection), and its descriptors.
    ///
    /// # Errors
    /// As `recvmsg`; `EMSGSIZE` when the buffer is too small.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.socket.async_io(Interest::READABLE, |socket| receive(socket, buffer)).await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// As `sendmsg`.
    pub async fn send(&self, message: &[u8]) -> io::Result<()> {
        let send = |socket: &OwnedFd| {
            let mut none = SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut none, SendFlags::NOSIGNAL)?)
        };
        self.socket.async_io(Interest::WRITABLE, send).await.map(drop)
    }
}

// The successor of this function is unsafe because other types may close their descriptor early; an `OwnedFd` that we never
// take out again cannot.
#[expect(deprecated)]
fn watched(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, Interest::READABLE | Interest::WRITABLE)
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(socket.as_fd(), &mut parts, &mut control, flags)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok((received.bytes, fds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = Listener::bind(&path).unwrap();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let client =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        rustix::net::connect(&client, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        let client = Connection { socket: watched(client).unwrap() };
        let server = listener.accept().await.unwrap();
        client.send(b"one").await.unwrap();
        client.send(b"two").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(server.receive(&mut buffer).await.unwrap().0, 3);
        assert_eq!(&buffer[..3], b"one");
        let mut small = [0; 2];
        assert_eq!(server.receive(&mut small).await.unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
        drop(client);
        assert_eq!(server.receive(&mut buffer).await.unwrap().0, 0);
    }
}
