//! Tunnels of a bridge to other hosts: what the keys `tunnel.NAME.*` ask for, and the interfaces that do it.

use std::net::{IpAddr, Ipv4Addr};

use lxd_host::netlink::{Link, Netlink, Tunnel, Vxlan};
use lxd_types::{Config, ConfigExt, Error, Result};

use super::spec::parse;

/// UDP port of vxlan when the configuration gives none: that of the kernel.
const PORT: u16 = 8472;
/// Group of multicast vxlan when the configuration gives none.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 0, 0, 1);

/// A tunnel as it shall be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TunnelSpec {
    /// Name of its interface: `NETWORK-NAME`.
    pub interface: String,
    /// What it is.
    pub kind: TunnelKind,
}

/// What a tunnel is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TunnelKind {
    /// gre between two hosts.
    Gre {
        /// Address of this host.
        local: Ipv4Addr,
        /// Address of the other host.
        remote: Ipv4Addr,
    },
    /// vxlan.
    Vxlan {
        /// Number of the virtual network.
        id: u32,
        /// UDP port.
        port: u16,
        /// Time to live.
        ttl: u8,
        /// Interface that packets leave by.
        interface: Option<String>,
        /// Whom it is with.
        with: Peers,
    },
}

/// Whom a vxlan tunnel is with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peers {
    /// One other host.
    One {
        /// Address of this host.
        local: IpAddr,
        /// Address of the other host.
        remote: IpAddr,
    },
    /// A multicast group.
    Group(IpAddr),
}

/// Checks that the interfaces of tunnels can have their names.
///
/// # Errors
/// One is too long.
pub fn check_names(network: &str, config: &Config) -> Result<()> {
    for name in names(config) {
        let interface = format!("{network}-{name}");
        if interface.len() > 15 {
            return Err(Error::bad_request(format!(
                "Network name too long for tunnel interface: {interface}"
            )));
        }
        crate::check_interface(&interface)?;
    }
    Ok(())
}

/// The names of the tunnels that have a protocol.
fn names(config: &Config) -> impl Iterator<Item = &str> {
    config
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(key, _)| key.strip_prefix("tunnel.")?.strip_suffix(".protocol"))
}

/// The tunnels that a configuration asks for. One without what its protocol needs is none.
pub(super) fn of(network: &str, config: &Config) -> Result<Vec<TunnelSpec>> {
    let mut tunnels = Vec::new();
    for name in names(config) {
        let kind = match config.value(&format!("tunnel.{name}.protocol")) {
            "gre" => gre(name, config)?,
            _ => Some(vxlan(name, config)?),
        };
        let interface = format!("{network}-{name}");
        tunnels.extend(kind.map(|kind| TunnelSpec { interface, kind }));
    }
    Ok(tunnels)
}

/// The addresses of both ends, when both are given.
fn ends<A: std::str::FromStr>(name: &str, config: &Config) -> Result<Option<(A, A)>> {
    let one = |end: &str| {
        let key = format!("tunnel.{name}.{end}");
        config.set(&key).map(|text| parse(&key, text)).transpose()
    };
    Ok(one("local")?.zip(one("remote")?))
}

fn gre(name: &str, config: &Config) -> Result<Option<TunnelKind>> {
    Ok(ends(name, config)?.map(|(local, remote)| TunnelKind::Gre { local, remote }))
}

fn vxlan(name: &str, config: &Config) -> Result<TunnelKind> {
    let value = |rest: &str| config.set(&format!("tunnel.{name}.{rest}"));
    let number = |rest: &str, default: u32| match value(rest) {
        Some(text) => parse::<u32>(rest, text),
        None => Ok(default),
    };
    let with = match ends(name, config)? {
        Some((local, remote)) => Peers::One { local, remote },
        None => Peers::Group(match value("group") {
            Some(text) => parse("group", text)?,
            None => GROUP.into(),
        }),
    };
    let small =
        |rest: &str| Error::internal(format!("The stored value of tunnel.{name}.{rest} is too large"));
    let port = u16::try_from(number("port", 0)?).map_err(|_| small("port"))?;
    Ok(TunnelKind::Vxlan {
        id: number("id", 1)?,
        port: if port == 0 { PORT } else { port },
        ttl: u8::try_from(number("ttl", 1)?).map_err(|_| small("ttl"))?,
        interface: value("interface").map(str::to_owned),
        with,
    })
}

/// Makes a tunnel's interface be as it shall be, a new one as a port of this bridge (of the kernel); one that is right already is
/// left alone.
pub(super) async fn reconcile(
    netlink: &Netlink,
    spec: &TunnelSpec,
    mtu: u32,
    master: Option<u32>,
) -> Result<()> {
    let name = spec.interface.as_str();
    let wanted = resolve(netlink, &spec.kind).await?;
    let there = netlink.link(name).await?;
    match &there {
        Some(link) if link.tunnel.as_ref() == Some(&wanted) => {}
        Some(link) if !is_tunnel(link) => {
            return Err(Error::conflict(format!(
                "Network interface {name:?} already exists and is no tunnel"
            )));
        }
        _ => {
            netlink.delete_link(name).await?;
            return Ok(netlink.create_tunnel(name, &wanted, mtu, master).await?);
        }
    }
    if netlink.require(name).await?.mtu != mtu {
        netlink.set_mtu(name, mtu).await?;
    }
    Ok(())
}

/// Whether an interface is a tunnel that carries frames.
pub(super) fn is_tunnel(link: &Link) -> bool {
    matches!(link.kind.as_deref(), Some("vxlan" | "gretap"))
}

async fn resolve(netlink: &Netlink, kind: &TunnelKind) -> Result<Tunnel> {
    let (id, port, ttl, interface, with) = match kind {
        TunnelKind::Gre { local, remote } => return Ok(Tunnel::Gre { local: *local, remote: *remote }),
        TunnelKind::Vxlan { id, port, ttl, interface, with } => (*id, *port, *ttl, interface, with),
    };
    let interface = match (interface, with) {
        (Some(name), _) => Some(netlink.require(name).await?.index),
        (None, Peers::One { .. }) => None,
        // A group is reached by one interface only.
        (None, Peers::Group(_)) => Some(default_interface(netlink).await?),
    };
    let (local, remote) = match with {
        Peers::One { local, remote } => (Some(*local), *remote),
        Peers::Group(group) => (None, *group),
    };
    Ok(Tunnel::Vxlan(Vxlan { id, port, ttl, interface, local, remote: Some(remote) }))
}

/// The interface of the default route.
async fn default_interface(netlink: &Netlink) -> Result<u32> {
    let routes = netlink.routes().await?;
    let default = routes.iter().find(|route| {
        route.destination.prefix() == 0 && route.destination.address().is_ipv4() && route.gateway.is_some()
    });
    let missing = || Error::bad_request("No default gateway for IPv4");
    default.and_then(|route| route.output).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn tunnels_are_those_with_a_protocol() {
        let found = of(
            "br1",
            &config(&[
                ("tunnel.a.protocol", "vxlan"),
                ("tunnel.a.local", "192.0.2.1"),
                ("tunnel.a.remote", "192.0.2.2"),
                ("tunnel.a.id", "10"),
                ("tunnel.b.protocol", "gre"),
                ("tunnel.c.protocol", "vxlan"),
                ("tunnel.c.port", "5555"),
                ("tunnel.c.ttl", "5"),
                ("tunnel.c.interface", "eth0"),
                ("tunnel.d.id", "7"),
                ("tunnel.e.protocol", "gre"),
                ("tunnel.e.local", "192.0.2.1"),
                ("tunnel.e.remote", "192.0.2.3"),
            ]),
        )
        .unwrap();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let with = Peers::One { local: address("192.0.2.1"), remote: address("192.0.2.2") };
        let one = TunnelKind::Vxlan { id: 10, port: 8472, ttl: 1, interface: None, with };
        let group = Peers::Group(address("239.0.0.1"));
        let many =
            TunnelKind::Vxlan { id: 1, port: 5555, ttl: 5, interface: Some("eth0".to_owned()), with: group };
        let gre =
            TunnelKind::Gre { local: "192.0.2.1".parse().unwrap(), remote: "192.0.2.3".parse().unwrap() };
        let all: Vec<_> = found.into_iter().map(|tunnel| (tunnel.interface, tunnel.kind)).collect();
        let named = |name: &str, kind| (format!("br1-{name}"), kind);
        // The second has no ends, the fourth no protocol.
        assert_eq!(all, [named("a", one), named("c", many), named("e", gre)]);
    }

    #[test]
    fn long_names_are_refused() {
        let long = config(&[("tunnel.averylongname.protocol", "vxlan")]);
        assert_eq!(
            check_names("t1", &long).unwrap_err().chain(),
            "Network name too long for tunnel interface: t1-averylongname"
        );
        assert!(check_names("t1", &config(&[("tunnel.a b.protocol", "vxlan")])).is_err());
        assert!(check_names("t1", &config(&[("tunnel.averylongname.id", "3")])).is_ok());
    }
}
