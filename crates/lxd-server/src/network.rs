//! Listeners on the network: `core.https_address` and `core.debug_address`, changed while the server runs.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lxd_auth::{Caller, Peer, fingerprint};
use lxd_core::SharedCore;
use lxd_core::server::{Endpoints, with_port};
use lxd_types::{Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::debug;
use crate::dispatch::Service;
use crate::link::{Severable, Watched};
use crate::listener::pause_after;
use crate::pki::Authority;
use crate::proxy_protocol;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The network listeners of a daemon.
pub struct Network {
    service: Arc<Service>,
    tls: Tls,
    https: Mutex<Option<Listening>>,
    debug: Mutex<Option<Listening>>,
    stop: CancellationToken,
}

/// What the HTTPS listener needs for each connection.
#[derive(Clone)]
struct Tls {
    acceptor: TlsAcceptor,
    /// In PKI mode: who must have signed the certificates of clients.
    authority: Option<Authority>,
}

/// A running listener.
struct Listening {
    address: String,
    /// Cancelled to stop accepting.
    stop: CancellationToken,
    /// Ends when the port is free again.
    task: tokio::task::JoinHandle<()>,
}

/// What a listener serves.
#[derive(Clone, Copy)]
enum Kind {
    Https,
    Debug,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Https => "network HTTPS",
            Self::Debug => "debug",
        }
    }
}

impl Network {
    /// No listener yet; all end when `stop` is cancelled.
    ///
    /// # Errors
    /// The server certificate cannot be used.
    pub fn new(service: Arc<Service>, stop: CancellationToken) -> Result<Arc<Self>> {
        let core = service.core();
        let acceptor = crate::tls::acceptor(&core.server.certificate)?;
        let authority = Authority::load(core.paths.root())?;
        if let Some(authority) = authority.clone() {
            core.server.authority.get_or_init(|| Arc::new(authority));
        }
        let tls = Tls { acceptor, authority };
        Ok(Arc::new(Self { tls, service, https: Mutex::default(), debug: Mutex::default(), stop }))
    }

    /// Moves a listener. The old one goes first only where the new one needs its port.
    async fn change(&self, kind: Kind, slot: &Mutex<Option<Listening>>, address: &str) -> Result<()> {
        let mut slot = slot.lock().await;
        if address.is_empty() {
            if let Some(old) = slot.take() {
                old.end().await;
            }
            return Ok(());
        }
        let address = with_port(address);
        if slot.as_ref().is_some_and(|old| old.address == address) {
            return Ok(());
        }
        let bound = match (bind(&address).await, slot.take()) {
            (Ok(listener), old) => {
                if let Some(old) = old {
                    old.end().await;
                }
                listener
            }
            (Err(error), Some(old)) if error.kind() == io::ErrorKind::AddrInUse => {
                let before = old.end().await;
                match bind(&address).await {
                    Ok(listener) => listener,
                    Err(error) => {
                        let listener = bind(&before).await.map_err(|error| refused(kind, &before, &error))?;
                        *slot = Some(self.start(kind, before, listener));
                        return Err(refused(kind, &address, &error));
                    }
                }
            }
            (Err(error), old) => {
                *slot = old;
                return Err(refused(kind, &address, &error));
            }
        };
        *slot = Some(self.start(kind, address, bound));
        Ok(())
    }

    fn start(&self, kind: Kind, address: String, listener: TcpListener) -> Listening {
        let stop = self.stop.child_token();
        tracing::info!(address, kind = kind.name(), "Listening");
        let (service, token) = (self.service.clone(), stop.clone());
        let task = match kind {
            Kind::Https => {
                tokio::spawn(accept_tls(listener, service, self.tls.clone(), token, self.stop.clone()))
            }
            Kind::Debug => tokio::spawn(debug::accept(listener, service.core().clone(), token)),
        };
        Listening { address, stop, task }
    }
}

impl Listening {
    /// Stops accepting and frees the port; connections go on. Returns the address.
    async fn end(self) -> String {
        self.stop.cancel();
        // It can only fail by a panic, and then the port is free as well.
        let _ = self.task.await;
        self.address
    }
}

#[async_trait]
impl Endpoints for Network {
    async fn listen(&self, address: &str) -> Result<()> {
        self.change(Kind::Https, &self.https, address).await
    }

    async fn listen_debug(&self, address: &str) -> Result<()> {
        self.change(Kind::Debug, &self.debug, address).await
    }
}

fn refused(kind: Kind, address: &str, error: &io::Error) -> Error {
    let text = match error.kind() {
        io::ErrorKind::AddrInUse => "bind: address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "bind: cannot assign requested address".to_owned(),
        _ => error.to_string(),
    };
    Error::internal(format!(
        "Cannot listen on {} socket \"{address}\": listen tcp {address}: {text}",
        kind.name()
    ))
}

/// Binds an address with a port; an empty host and `*` mean all addresses, of both families.
async fn bind(address: &str) -> io::Result<TcpListener> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "8443"));
    let port: u16 = port
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("address {port}: invalid port")))?;
    if matches!(host, "" | "*" | "[::]") {
        return match TcpListener::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).await
            }
            bound => bound,
        };
    }
    TcpListener::bind((host.trim_matches(['[', ']']), port)).await
}

async fn accept_tls(
    listener: TcpListener,
    service: Arc<Service>,
    tls: Tls,
    stop: CancellationToken,
    connections: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                tokio::spawn(serve_tls(stream, address, service.clone(), tls.clone(), connections.clone()));
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

async fn serve_tls(
    mut stream: TcpStream,
    address: SocketAddr,
    service: Arc<Service>,
    tls: Tls,
    stop: CancellationToken,
) {
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let greeting = async {
        let address = real_address(&service, &mut stream, address).await?;
        Ok::<_, io::Error>((tls.acceptor.accept(stream).await?, address))
    };
    let (stream, address) = match tokio::time::timeout(HANDSHAKE, greeting).await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let leaf = chain.first();
    let certificate: Option<Arc<[u8]>> = leaf.map(|der| Arc::from(der.as_ref()));
    let fingerprint = leaf.map(|der| fingerprint(der));
    let presented = Presented {
        signed: tls.authority.as_ref().map(|authority| authority.vouches_for(chain)),
        valid: leaf.and_then(|der| lxd_auth::material::validity(der)),
        peer: Peer::Tls { fingerprint, certificate, address },
    };
    let (core, until) = (service.core().clone(), presented.valid.map(|(_, to)| to));
    let identify = Arc::new(move || Arc::new(identify(&core, &presented)));
    let (stream, cut) = Severable::new(stream);
    let watched = Watched { cut, identify, until };
    connection::serve_watched(service, watched, stream, stop).await;
}

/// The address of the client: where a trusted proxy connects, the one that it tells.
async fn real_address(
    service: &Service,
    stream: &mut TcpStream,
    address: SocketAddr,
) -> io::Result<SocketAddr> {
    let config = service.core().server.config();
    match config.get("core.https_trusted_proxy") {
        Some(proxies) if proxy_protocol::is_trusted(proxies, address.ip()) => {
            Ok(proxy_protocol::source(stream).await?.unwrap_or(address))
        }
        _ => Ok(address),
    }
}

/// What a TLS client showed in its handshake.
struct Presented {
    peer: Peer,
    /// In PKI mode: whether the authority signed it.
    signed: Option<bool>,
    /// From when to when it is valid, in seconds since 1970.
    valid: Option<(i64, i64)>,
}

/// Who a TLS client is, by what the trust store says now.
fn identify(core: &SharedCore, presented: &Presented) -> Caller {
    let Peer::Tls { fingerprint: Some(fingerprint), .. } = &presented.peer else {
        return Caller { peer: presented.peer.clone(), trusted: false, projects: None };
    };
    let now = chrono::Utc::now().timestamp();
    let in_time = presented.valid.is_some_and(|(from, to)| (from..=to).contains(&now));
    let known = core.trust.find(fingerprint);
    let (trusted, projects) = match (in_time, presented.signed, known) {
        (false, ..) | (_, Some(false), _) => (false, None),
        (_, _, Some(known)) => (known.is_client, known.projects),
        (_, Some(true), None) => (core.server.trusts_authority(), None),
        (_, None, None) => (false, None),
    };
    Caller { peer: presented.peer.clone(), trusted, projects }
}
