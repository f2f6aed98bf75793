//! Datagrams: each client has a connection of its own to the server, which ends when nothing passed for a while. To and
//! from streams each datagram is one piece of what is sent.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Target, spawn, stream};

/// How long a client is remembered that neither sends nor gets anything.
const IDLE: Duration = Duration::from_secs(120);

/// Most clients at once.
const CLIENTS: usize = 4096;

/// Largest datagram.
const LARGEST: usize = 65_535;

/// A connection to the server on behalf of one client.
enum Upstream {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Upstream {
    fn open(target: &Target) -> io::Result<Self> {
        Ok(match target {
            Target::Udp(at) => {
                let socket = stream::connect_udp(*at)?;
                socket.set_read_timeout(Some(IDLE))?;
                Self::Udp(socket)
            }
            Target::Tcp(at) => {
                let socket = TcpStream::connect(at)?;
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(IDLE))?;
                Self::Tcp(socket)
            }
            Target::Unix(path) => {
                let socket = stream::connect_unix(path)?;
                socket.set_read_timeout(Some(IDLE))?;
                Self::Unix(socket)
            }
        })
    }

    fn send(&self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(data).map(drop),
            Self::Tcp(socket) => (&*socket).write_all(data),
            Self::Unix(socket) => (&*socket).write_all(data),
        }
    }

    /// The next piece; none at the end.
    fn receive(&self, space: &mut [u8]) -> io::Result<Option<usize>> {
        let end = |read: usize| (read > 0).then_some(read);
        match self {
            Self::Udp(socket) => socket.recv(space).map(Some),
            Self::Tcp(socket) => (&*socket).read(space).map(end),
            Self::Unix(socket) => (&*socket).read(space).map(end),
        }
    }
}

type Clients = Arc<Mutex<HashMap<SocketAddr, Arc<Upstream>>>>;

/// Serves a datagram socket for ever.
pub fn serve(socket: UdpSocket, target: &Target) {
    let (socket, clients) = (Arc::new(socket), Clients::default());
    let mut space = vec![0; LARGEST];
    loop {
        // An error here is one that an earlier datagram met on its way.
        let Ok((length, from)) = socket.recv_from(&mut space) else { continue };
        if let Some(upstream) = upstream(&socket, &clients, from, target)
            && upstream.send(&space[..length]).is_err()
        {
            lock(&clients).remove(&from);
        }
    }
}

/// The client's connection, made when it has none.
fn upstream(
    socket: &Arc<UdpSocket>,
    clients: &Clients,
    from: SocketAddr,
    target: &Target,
) -> Option<Arc<Upstream>> {
    if let Some(found) = lock(clients).get(&from) {
        return Some(found.clone());
    }
    if lock(clients).len() >= CLIENTS {
        return None;
    }
    let upstream = Arc::new(Upstream::open(target).ok()?);
    let (back, all, answers) = (socket.clone(), clients.clone(), upstream.clone());
    spawn(move || {
        let mut space = vec![0; LARGEST];
        while let Ok(Some(length)) = answers.receive(&mut space) {
            if back.send_to(&space[..length], from).is_err() {
                break;
            }
        }
        lock(&all).remove(&from);
    })
    .ok()?;
    lock(clients).insert(from, upstream.clone());
    Some(upstream)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leads a stream to a datagram server: each piece that is read is sent as a datagram, each answer is written.
pub fn lead_stream(client: OwnedFd, at: SocketAddr) -> io::Result<()> {
    let server = stream::connect_udp(at)?;
    server.set_read_timeout(Some(IDLE))?;
    // For reading and writing any stream socket serves as this one.
    let client = UnixStream::from(client);
    let (answers, mut back) = (server.try_clone()?, client.try_clone()?);
    let other = spawn(move || {
        let mut space = vec![0; LARGEST];
        while let Ok(length) = answers.recv(&mut space) {
            if back.write_all(&space[..length]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    })?;
    let mut space = vec![0; LARGEST];
    loop {
        match (&client).read(&mut space) {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                let _ = server.send(&space[..length]);
            }
        }
    }
    // Answers may still come; the other direction ends when none did for a while.
    let _ = other.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_its_own_answers() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = Target::Udp(server.local_addr().unwrap());
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = front.local_addr().unwrap();
        std::thread::spawn(move || serve(front, &target));
        let clients = [0, 1].map(|_| stream::connect_udp(at).unwrap());
        let mut space = [0; 10];
        for (number, client) in clients.iter().enumerate() {
            client.send(&[b'0' + u8::try_from(number).unwrap()]).unwrap();
            let (length, from) = server.recv_from(&mut space).unwrap();
            server.send_to(&space[..length], from).unwrap();
            assert_eq!(client.recv(&mut space).unwrap(), 1);
            assert_eq!(space[0], b'0' + u8::try_from(number).unwrap());
        }
    }

    #[test]
    fn a_stream_reaches_a_datagram_server() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let (mut client, ours) = UnixStream::pair().unwrap();
        std::thread::spawn(move || lead_stream(ours.into(), at));
        client.write_all(b"ask").unwrap();
        let mut space = [0; 10];
        let (length, from) = server.recv_from(&mut space).unwrap();
        assert_eq!(&space[..length], b"ask");
        server.send_to(b"answer", from).unwrap();
        let length = client.read(&mut space).unwrap();
        assert_eq!(&space[..length], b"answer");
    }
}
