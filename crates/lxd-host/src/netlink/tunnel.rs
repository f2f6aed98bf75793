//! Tunnels between hosts: vxlan and gre interfaces that carry frames.

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::link::{InfoGre, InfoVxlan, LinkAttribute, LinkMessage};
use rtnetlink::{LinkGre, LinkVxlan};

use super::{Netlink, Result, failed};

/// What a tunnel carries frames to, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tunnel {
    /// Frames in UDP.
    Vxlan(Vxlan),
    /// Frames in GRE, over IPv4.
    Gre {
        /// Address of this host.
        local: Ipv4Addr,
        /// Address of the other host.
        remote: Ipv4Addr,
    },
}

/// A vxlan tunnel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vxlan {
    /// Number of the virtual network.
    pub id: u32,
    /// UDP port of the other side.
    pub port: u16,
    /// Time to live of the outer packets.
    pub ttl: u8,
    /// Number of the interface that they leave by; the routing table decides when not given.
    pub interface: Option<u32>,
    /// Address of this host.
    pub local: Option<IpAddr>,
    /// Address of the other host, or of a group.
    pub remote: Option<IpAddr>,
}

impl Netlink {
    /// Creates a tunnel interface with this MTU, as a port of this bridge (by number) if any, in one request; it is down.
    ///
    /// # Errors
    /// The name is taken (`EEXIST`), or the kernel refuses (`EOPNOTSUPP`: it has no such tunnels).
    pub async fn create_tunnel(
        &self,
        name: &str,
        tunnel: &Tunnel,
        mtu: u32,
        master: Option<u32>,
    ) -> Result<()> {
        let (what, mut message) = match tunnel {
            Tunnel::Vxlan(vxlan) => ("vxlan", vxlan_message(name, vxlan)),
            Tunnel::Gre { local, remote } => {
                ("gretap", LinkGre::new_gretap(name).local(*local).remote(*remote).build())
            }
        };
        message.attributes.push(LinkAttribute::Mtu(mtu));
        message.attributes.extend(master.map(LinkAttribute::Controller));
        let done = self.handle.link().add(message).execute().await;
        done.map_err(|e| failed(format!("Failed to create {what} interface {name:?}"), e))
    }
}

fn vxlan_message(name: &str, vxlan: &Vxlan) -> LinkMessage {
    let mut message = LinkVxlan::new(name, vxlan.id).port(vxlan.port).ttl(vxlan.ttl);
    if let Some(index) = vxlan.interface {
        message = message.dev(index);
    }
    message = match vxlan.local {
        Some(IpAddr::V4(address)) => message.local(address),
        Some(IpAddr::V6(address)) => message.local6(address),
        None => message,
    };
    message = match vxlan.remote {
        Some(IpAddr::V4(address)) => message.remote(address),
        Some(IpAddr::V6(address)) => message.remote6(address),
        None => message,
    };
    message.build()
}

/// A vxlan tunnel as the kernel describes it.
pub(super) fn parse_vxlan(infos: &[InfoVxlan]) -> Tunnel {
    let mut vxlan = Vxlan { id: 0, port: 0, ttl: 0, interface: None, local: None, remote: None };
    for info in infos {
        match info {
            InfoVxlan::Id(id) => vxlan.id = *id,
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Ttl(ttl) => vxlan.ttl = *ttl,
            InfoVxlan::Link(index) => vxlan.interface = Some(*index).filter(|index| *index > 0),
            InfoVxlan::Local(address) => vxlan.local = Some(IpAddr::V4(*address)),
            InfoVxlan::Local6(address) => vxlan.local = Some(IpAddr::V6(*address)),
            InfoVxlan::Group(address) => vxlan.remote = Some(IpAddr::V4(*address)),
            InfoVxlan::Group6(address) => vxlan.remote = Some(IpAddr::V6(*address)),
            _ => {}
        }
    }
    Tunnel::Vxlan(vxlan)
}

/// A gre tunnel as the kernel describes it; `None` without both ends.
pub(super) fn parse_gre(infos: &[InfoGre]) -> Option<Tunnel> {
    let local = infos.iter().find_map(|info| match info {
        InfoGre::Local(address) => Some(*address),
        _ => None,
    });
    let remote = infos.iter().find_map(|info| match info {
        InfoGre::Remote(address) => Some(*address),
        _ => None,
    });
    Some(Tunnel::Gre { local: local?, remote: remote? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::link::{InfoData, LinkInfo};

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let unicast = Vxlan {
            id: 10,
            port: 8472,
            ttl: 1,
            interface: None,
            local: Some("192.0.2.1".parse().unwrap()),
            remote: Some("192.0.2.2".parse().unwrap()),
        };
        let multicast = Vxlan {
            interface: Some(7),
            local: None,
            remote: Some("ff05::100".parse().unwrap()),
            ..unicast.clone()
        };
        for wanted in [unicast, multicast] {
            let message = vxlan_message("br1-a", &wanted);
            let infos = message.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
                    LinkInfo::Data(InfoData::Vxlan(infos)) => Some(infos),
                    _ => None,
                }),
                _ => None,
            });
            assert_eq!(parse_vxlan(infos.unwrap()), Tunnel::Vxlan(wanted));
        }
    }
}
