//! `proxy`: forwards connections between host and container.
//!
//! Listens on one side, then goes over to the other for good and gives up its rights there; only then threads are
//! started, so that all of them are on the side that connects. Bytes between streams never pass through this process's
//! memory. It outlives the daemon and ends when it is killed.

mod datagram;
mod stream;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use lxd_sys::namespace::{self, Namespaces};
use lxd_sys::process;
use lxd_types::helper::{Proxy, ProxyEnd};

use crate::link::{Link, Outcome, failure, system};

/// Threads only copy: they need little.
const STACK: usize = 64 << 10;

/// What listens, with the target of its connections.
enum Listener {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Unix(UnixListener),
}

/// Where one listener's connections are led.
#[derive(Clone, Debug)]
enum Target {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(String),
}

/// Runs the job.
pub fn run(link: &Link) -> Outcome<()> {
    let (job, fds): (Proxy, _) = link.job()?;
    let init = fds.first().ok_or_else(|| failure("A pidfd is needed"))?;
    let targets = targets(&job);
    let listeners = if job.listen_inside {
        let listeners = inside(&job, init)?;
        drop_rights(&job)?;
        listeners
    } else {
        let listeners = listen(&job, None)?;
        enter(&job, init)?;
        drop_rights(&job)?;
        listeners
    };
    link.ok(&(), &[])?;
    drop(fds);
    let job = Arc::new(job);
    let threads: Vec<_> = listeners
        .into_iter()
        .zip(targets)
        .map(|(listener, target)| {
            let job = job.clone();
            spawn(move || match listener {
                Listener::Tcp(listener) => stream::serve_tcp(&listener, &target, job.proxy_protocol),
                Listener::Unix(listener) => stream::serve_unix(&listener, &target, job.proxy_protocol),
                Listener::Udp(socket) => datagram::serve(socket, &target),
            })
        })
        .collect::<io::Result<_>>()
        .map_err(|error| system("Failed to start a thread", &error))?;
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().stack_size(STACK).spawn(work)
}

/// One target per listener: the port of the same place, or the only one.
fn targets(job: &Proxy) -> Vec<Target> {
    let pick = |ports: &[u16], at: usize| ports.get(at).or(ports.first()).copied().unwrap_or_default();
    (0..job.listen.ports())
        .map(|at| match &job.connect {
            ProxyEnd::Tcp(address, ports) => {
                Target::Tcp(SocketAddr::new(loopback(*address), pick(ports, at)))
            }
            ProxyEnd::Udp(address, ports) => {
                Target::Udp(SocketAddr::new(loopback(*address), pick(ports, at)))
            }
            ProxyEnd::Unix(path) => Target::Unix(path.clone()),
        })
        .collect()
}

/// "Any address" as a target is the side itself.
fn loopback(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        other => other,
    }
}

/// Listens in the container and comes back.
fn inside(job: &Proxy, init: &OwnedFd) -> Outcome<Vec<Listener>> {
    let here = |name: &str| {
        let pid = std::process::id().cast_signed();
        namespace::open(pid, name).map_err(|error| system("Failed to open own namespaces", &error))
    };
    let (net, mount) = (here("net")?, here("mnt")?);
    let has_file = matches!(&job.listen, ProxyEnd::Unix(path) if !path.starts_with('@'));
    let wanted = if has_file { Namespaces::NETWORK | Namespaces::MOUNT } else { Namespaces::NETWORK };
    namespace::enter(init, wanted).map_err(|error| system("Failed to enter the container", &error))?;
    let listeners = listen(job, Some(job.root))?;
    let back = |fd: &OwnedFd| namespace::enter_fd(fd.as_fd());
    back(&net)
        .and_then(|()| if has_file { back(&mount) } else { Ok(()) })
        .map_err(|error| system("Failed to leave the container", &error))?;
    Ok(listeners)
}

/// Goes into the container for good.
fn enter(job: &Proxy, init: &OwnedFd) -> Outcome<()> {
    let mut wanted = Namespaces::NETWORK | Namespaces::MOUNT;
    if job.user_namespace {
        wanted |= Namespaces::USER;
    }
    namespace::enter(init, wanted).map_err(|error| system("Failed to enter the container", &error))
}

/// From here on the process has the rights of that user only.
fn drop_rights(job: &Proxy) -> Outcome<()> {
    let (uid, gid) = job.drop_to;
    process::set_ids(uid, gid).map_err(|error| system(format!("Failed to become user {uid}"), &error))
}

/// All listeners; a socket's file is made with the rights of `maker`.
fn listen(job: &Proxy, maker: Option<(u32, u32)>) -> Outcome<Vec<Listener>> {
    match &job.listen {
        ProxyEnd::Tcp(address, ports) => {
            each(*address, ports, "tcp", |at| TcpListener::bind(at).map(Listener::Tcp))
        }
        ProxyEnd::Udp(address, ports) => {
            each(*address, ports, "udp", |at| UdpSocket::bind(at).map(Listener::Udp))
        }
        ProxyEnd::Unix(path) => {
            let failed = |error: io::Error| failure(format!("Failed to listen on {path}: {}", plain(&error)));
            let listener = match path.strip_prefix('@') {
                Some(name) => UnixAddr::from_abstract_name(name).and_then(|at| UnixListener::bind_addr(&at)),
                None => match maker {
                    Some((uid, gid)) => {
                        process::set_effective_ids(uid, gid).map_err(failed)?;
                        let made = bind(Path::new(path), job);
                        process::set_effective_ids(0, 0).map_err(failed)?;
                        made
                    }
                    None => bind(Path::new(path), job),
                },
            };
            let listener = listener.map_err(failed)?;
            if !path.starts_with('@') {
                std::os::unix::fs::lchown(path, Some(job.owner.0), Some(job.owner.1)).map_err(failed)?;
            }
            Ok(vec![Listener::Unix(listener)])
        }
    }
}

/// A listener on each port.
fn each(
    address: IpAddr,
    ports: &[u16],
    protocol: &str,
    bind: impl Fn(SocketAddr) -> io::Result<Listener>,
) -> Outcome<Vec<Listener>> {
    let one = |port: &u16| {
        let at = SocketAddr::new(address, *port);
        let failed = |error: io::Error| {
            failure(format!("Failed to listen on {at}: listen {protocol} {at}: bind: {}", plain(&error)))
        };
        bind(at).map_err(failed)
    };
    ports.iter().map(one).collect()
}

/// The system's text without its number, beginning with a small letter.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.chars().take(1).flat_map(char::to_lowercase).chain(text.chars().skip(1)).collect()
}

/// A listening socket with a file. One that nobody listens on any more is in nobody's way.
fn bind(path: &Path, job: &Proxy) -> io::Result<UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).as_ref().is_err_and(refused) {
        std::fs::remove_file(path)?;
    }
    // Nobody may connect before mode and owner are right.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(job.mode))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(listen: ProxyEnd, connect: ProxyEnd) -> Proxy {
        Proxy {
            listen,
            connect,
            listen_inside: false,
            user_namespace: false,
            root: (0, 0),
            owner: (0, 0),
            mode: 0o600,
            drop_to: (0, 0),
            proxy_protocol: false,
        }
    }

    #[test]
    fn ports_lead_to_ports() {
        let any = || IpAddr::from([0, 0, 0, 0]);
        let many = job(ProxyEnd::Tcp(any(), vec![1, 2]), ProxyEnd::Udp(any(), vec![8, 9]));
        let text = format!("{:?}", targets(&many));
        assert_eq!(text, "[Udp(127.0.0.1:8), Udp(127.0.0.1:9)]");
        let one = job(ProxyEnd::Tcp(any(), vec![1, 2]), ProxyEnd::Tcp(any(), vec![8]));
        assert_eq!(format!("{:?}", targets(&one)), "[Tcp(127.0.0.1:8), Tcp(127.0.0.1:8)]");
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let job = job(ProxyEnd::Tcp(at.ip(), vec![at.port()]), ProxyEnd::Unix("/x".to_owned()));
        let text = listen(&job, None).err().unwrap().message;
        assert_eq!(text, format!("Failed to listen on {at}: listen tcp {at}: bind: address already in use"));
    }

    #[test]
    fn a_socket_that_nobody_serves_is_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.sock");
        let job = job(ProxyEnd::Unix(path.display().to_string()), ProxyEnd::Unix("/x".to_owned()));
        drop(listen(&job, None).ok().unwrap());
        let again = listen(&job, None).ok().unwrap();
        assert!(listen(&job, None).is_err(), "one that is served stays");
        drop(again);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "data").unwrap();
        assert!(listen(&job, None).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
    }
}
