//! How servers outside are reached: proxies, which addresses may be dialled, and how long is waited.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::connect::reason;
use crate::{Error, Proxies, Result};

/// How long a server may take to connect and to send its headers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port of the discard service, for looking at routes.
const DISCARD: u16 = 9;

/// The addresses that may be dialled.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Reach {
    /// All.
    #[default]
    Anywhere,
    /// Those of other machines, whatever name leads to them: neither addresses of this machine nor those of its links or of
    /// many machines. With the one exception where its own API listens (an unspecified address: at any but loopback).
    Outside(Option<SocketAddr>),
}

/// The way to servers outside.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Proxies.
    pub proxies: Proxies,
    /// The addresses that may be dialled.
    pub reach: Reach,
    /// How long a server may take to connect and to send its headers.
    pub patience: Duration,
    /// The only certificate (DER) that a web server may have; else the system's authorities decide.
    pub pinned: Option<Vec<u8>>,
}

impl Default for Egress {
    fn default() -> Self {
        Self { proxies: Proxies::default(), reach: Reach::Anywhere, patience: PATIENCE, pinned: None }
    }
}

impl Egress {
    /// With the proxies of the environment and no limits: for a client that acts for its own user.
    pub fn from_env() -> Self {
        Self { proxies: Proxies::from_env(), ..Self::default() }
    }
}

impl Reach {
    /// Are only other machines reached?
    pub fn is_outside(self) -> bool {
        matches!(self, Self::Outside(_))
    }

    /// Connects without a proxy. The resolved address is judged, so that no name leads where its address must not.
    pub(crate) async fn dial(self, host: &str, port: u16) -> Result<TcpStream> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map_err(|_| Error::Connect(format!("lookup {host}: no such host")))?;
        let all: Vec<SocketAddr> = found.collect();
        let allowed: Vec<SocketAddr> = all.iter().copied().filter(|at| self.allows(*at)).collect();
        if allowed.is_empty() && !all.is_empty() {
            return Err(refused(host));
        }
        TcpStream::connect(&allowed[..]).await.map_err(|error| {
            let at = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            Error::Connect(format!("dial tcp {at}: connect: {}", reason(&error)))
        })
    }

    /// Judges a host that a proxy will look up; only addresses and `localhost` can be told here.
    pub(crate) fn check_name(self, host: &str) -> Result<()> {
        let here = host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_here);
        if self.is_outside() && here { Err(refused(host)) } else { Ok(()) }
    }

    fn allows(self, at: SocketAddr) -> bool {
        let Self::Outside(api) = self else { return true };
        let is_api = |api: SocketAddr| {
            api.port() == at.port() && (api.ip().is_unspecified() || api.ip() == at.ip().to_canonical())
        };
        !is_local(at.ip()) && (!is_own(at.ip()) || api.is_some_and(is_api))
    }
}

fn refused(host: &str) -> Error {
    Error::Refused(format!("Refused to connect to {host:?}: it is an address of this machine or its links"))
}

/// True for addresses that mean this machine, its links or many machines, those of its interfaces included.
pub(crate) fn is_here(ip: IpAddr) -> bool {
    is_local(ip) || is_own(ip)
}

/// True for an address of an interface of this machine: what is sent there comes from there. Nothing is sent.
fn is_own(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let from: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = || {
        let socket = UdpSocket::bind((from, 0))?;
        socket.connect((ip, DISCARD))?;
        socket.local_addr()
    };
    source().is_ok_and(|source| source.ip() == ip)
}

/// True for addresses that mean this machine, its links or many machines by their form.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                // The rest of "this network" (RFC 1122) reaches this machine as well.
                || ip.octets()[0] == 0
        }
        IpAddr::V6(ip) => match embedded(ip) {
            Some(ip) => is_local(ip),
            None => {
                ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local()
            }
        },
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, or translated (NAT64).
fn embedded(ip: Ipv6Addr) -> Option<IpAddr> {
    let parts = ip.segments();
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return Some(mapped.into());
    }
    let translated = parts[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let [a, b] = parts[6].to_be_bytes();
    let [c, d] = parts[7].to_be_bytes();
    translated.then(|| IpAddr::from([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_links() {
        for local in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "::ffff:169.254.1.1",
        ] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for other in ["10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd00::1", "64:ff9b::808:808"] {
            assert!(!is_local(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn own_addresses_are_known_and_only_the_api_is_reached_there() {
        // Loopback is an interface too: all that is on it is own.
        assert!(is_own("127.0.0.1".parse().unwrap()) && is_own("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(Reach::Outside(None).allows(at("192.0.2.1:8443")));
        // By its route, the address that this machine has for others.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let Ok(own) = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) else { return };
        let (own, other) = (SocketAddr::new(own.ip(), 8443), SocketAddr::new(own.ip(), 80));
        assert!(!Reach::Outside(None).allows(own), "{own}");
        for api in [own, at("0.0.0.0:8443"), at("[::]:8443")] {
            assert!(Reach::Outside(Some(api)).allows(own), "{api}");
            assert!(!Reach::Outside(Some(api)).allows(other), "{api}");
            assert!(!Reach::Outside(Some(api)).allows(at("127.0.0.1:8443")), "{api}");
        }
    }

    #[tokio::test]
    async fn no_connection_is_made_where_none_may_be() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let refused = Reach::Outside(None).dial(host, port).await.unwrap_err();
            assert!(matches!(refused, Error::Refused(_)), "{refused}");
            assert!(Reach::Outside(None).check_name(host).is_err());
        }
        let nobody = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
        assert!(nobody.is_err());
        assert!(Reach::Anywhere.dial("127.0.0.1", port).await.is_ok());
        let unknown = Reach::Anywhere.dial("nosuch.invalid", 1).await.unwrap_err();
        assert_eq!(unknown.to_string(), "lookup nosuch.invalid: no such host");
    }
}
