//! Connections of streams: copied by the kernel from socket to socket.

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use super::{Target, datagram, spawn};

/// Most bytes that are copied at once; the size of the pipe between two sockets where the kernel grants it.
const CHUNK: usize = 1 << 20;

/// How long to wait before the next try when no descriptor or thread is left.
const BREATH: Duration = Duration::from_millis(100);

/// Serves a TCP listener for ever.
pub fn serve_tcp(listener: &TcpListener, target: &Target, proxy_protocol: bool) {
    loop {
        let Ok((client, from)) = listener.accept() else {
            std::thread::sleep(BREATH);
            continue;
        };
        // What is sent at once shall arrive at once.
        let _ = client.set_nodelay(true);
        let to = client.local_addr().ok();
        let header = proxy_protocol.then(|| header(Some(from), to));
        begin(client.into(), target.clone(), header);
    }
}

/// Serves a unix listener for ever.
pub fn serve_unix(listener: &UnixListener, target: &Target, proxy_protocol: bool) {
    loop {
        let Ok((client, _)) = listener.accept() else {
            std::thread::sleep(BREATH);
            continue;
        };
        begin(client.into(), target.clone(), proxy_protocol.then(|| header(None, None)));
    }
}

/// Leads a connection on, on a thread of its own.
fn begin(client: OwnedFd, target: Target, header: Option<String>) {
    let started = spawn(move || {
        // A server that is not there is seen by the client as the end of the connection.
        let _ = lead(client, &target, header.as_deref());
    });
    if started.is_err() {
        std::thread::sleep(BREATH);
    }
}

fn lead(client: OwnedFd, target: &Target, header: Option<&str>) -> io::Result<()> {
    let server: OwnedFd = match target {
        Target::Udp(at) => return datagram::lead_stream(client, *at),
        Target::Tcp(at) => {
            let mut server = TcpStream::connect(at)?;
            let _ = server.set_nodelay(true);
            if let Some(header) = header {
                server.write_all(header.as_bytes())?;
            }
            server.into()
        }
        Target::Unix(path) => connect_unix(path)?.into(),
    };
    join(client, server)
}

/// Connects to a unix socket, abstract ones too.
pub fn connect_unix(path: &str) -> io::Result<UnixStream> {
    match path.strip_prefix('@') {
        Some(name) => UnixStream::connect_addr(&UnixAddr::from_abstract_name(name)?),
        None => UnixStream::connect(path),
    }
}

/// Copies in both directions until both are at their end.
fn join(client: OwnedFd, server: OwnedFd) -> io::Result<()> {
    let (client, server) = (Arc::new(client), Arc::new(server));
    let (from, to) = (server.clone(), client.clone());
    let other = spawn(move || copy(&from, &to))?;
    copy(&client, &server);
    let _ = other.join();
    Ok(())
}

/// Copies one direction; at its end the receiver is told that no more comes, after a failure both sides are.
fn copy(from: &OwnedFd, to: &OwnedFd) {
    match copy_all(from, to) {
        Ok(()) => shut(to, Shutdown::Write),
        Err(_) => [from, to].into_iter().for_each(|socket| shut(socket, Shutdown::Both)),
    }
}

fn shut(socket: &OwnedFd, how: Shutdown) {
    let how = match how {
        Shutdown::Write => rustix::net::Shutdown::Write,
        _ => rustix::net::Shutdown::Both,
    };
    // It may have ended by itself.
    let _ = rustix::net::shutdown(socket, how);
}

fn copy_all(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let (out, into) = pipe_with(PipeFlags::CLOEXEC)?;
    // The default is small; more than the administrator grants is not needed.
    let _ = rustix::pipe::fcntl_setpipe_size(&into, CHUNK);
    loop {
        let mut waiting = again(|| splice(from, None, &into, None, CHUNK, SpliceFlags::MOVE))?;
        if waiting == 0 {
            return Ok(());
        }
        while waiting > 0 {
            let sent = again(|| splice(out.as_fd(), None, to, None, waiting, SpliceFlags::MOVE))?;
            if sent == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero));
            }
            waiting -= sent;
        }
    }
}

fn again(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// The first line of the PROXY protocol, version 1.
fn header(from: Option<SocketAddr>, to: Option<SocketAddr>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => {
            let kind = if from.ip().to_canonical().is_ipv4() { "TCP4" } else { "TCP6" };
            let ip = |at: SocketAddr| -> IpAddr { at.ip().to_canonical() };
            format!("PROXY {kind} {} {} {} {}\r\n", ip(from), ip(to), from.port(), to.port())
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    }
}

/// A socket that reaches a datagram server.
pub fn connect_udp(at: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if at.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(at)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_client_is_named() {
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            header(at("192.0.2.1:1000"), at("192.0.2.2:80")),
            "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n"
        );
        assert_eq!(header(at("[::1]:1"), at("[fd00::2]:2")), "PROXY TCP6 ::1 fd00::2 1 2\r\n");
        assert_eq!(
            header(at("[::ffff:192.0.2.1]:1"), at("[::ffff:192.0.2.2]:2")),
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
        );
        assert_eq!(header(None, None), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn bytes_pass_both_ways_and_ends_are_told() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(server.local_addr().unwrap());
        let (mut client, ours) = UnixStream::pair().unwrap();
        begin(ours.into(), target, Some("HEAD\r\n".to_owned()));
        let (mut served, _) = server.accept().unwrap();
        let data = vec![7_u8; 3 << 20];
        let copy = data.clone();
        let writer = std::thread::spawn(move || {
            client.write_all(&copy).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answer
        });
        let mut received = Vec::new();
        served.read_to_end(&mut received).unwrap();
        assert!(received.starts_with(b"HEAD\r\n") && received[6..] == data);
        served.write_all(b"thanks").unwrap();
        drop(served);
        assert_eq!(writer.join().unwrap(), "thanks");
    }
}
