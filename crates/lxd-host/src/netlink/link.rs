//! Interfaces: list, create, change, delete.

use std::os::fd::{AsRawFd, BorrowedFd};

use lxd_types::Mac;
use rtnetlink::packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage, State,
};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec};

use super::{Netlink, NetlinkError, Result, Tunnel, collect, failed, gone_is_fine, is_gone, tunnel};

/// Traffic counters of an interface, as its own side sees them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets that came in damaged.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets that came in and found no room.
    pub rx_dropped: u64,
    /// Packets that found no room on their way out.
    pub tx_dropped: u64,
}

/// What only bridges have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BridgeInfo {
    /// Priority part of the bridge id.
    pub priority: u16,
    /// Address part of the bridge id.
    pub address: Option<Mac>,
    /// Whether the spanning tree protocol runs.
    pub stp: bool,
    /// Delay on port join, in hundredths of a second.
    pub forward_delay: u32,
    /// VLAN of untagged frames.
    pub default_vlan: Option<u16>,
    /// Whether VLANs are filtered.
    pub vlan_filtering: bool,
}

/// An interface as the kernel describes it.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What made it: `bridge`, `veth`, `vlan`, …; `None` for hardware and the loopback interface.
    pub kind: Option<String>,
    /// Flags of the interface.
    pub up: bool,
    /// Whether it has a carrier.
    pub running: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Whether it can broadcast.
    pub broadcast: bool,
    /// Whether it is a point-to-point link.
    pub point_to_point: bool,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Hardware address, if it has one of six bytes.
    pub mac: Option<Mac>,
    /// Number of the bridge or bond that it belongs to.
    pub master: Option<u32>,
    /// Number of the interface below it, or of its peer.
    pub lower: Option<u32>,
    /// Whether the interface below or the peer is in another namespace.
    pub lower_elsewhere: bool,
    /// Operational state is "up".
    pub operational: bool,
    /// Counters.
    pub stats: Stats,
    /// Set when it is a bridge.
    pub bridge: Option<BridgeInfo>,
    /// VLAN number, when it is a VLAN interface.
    pub vlan: Option<u16>,
    /// Set when it is a tunnel.
    pub tunnel: Option<Tunnel>,
}

/// A bridge to create.
#[derive(Clone, Debug)]
pub struct NewBridge<'a> {
    /// Name of the interface.
    pub name: &'a str,
    /// Its hardware address; the kernel's choice when not given.
    pub mac: Option<Mac>,
    /// Its MTU; the kernel's default when not given.
    pub mtu: Option<u32>,
}

/// A veth pair to create.
#[derive(Clone, Debug, Default)]
pub struct NewVeth<'a> {
    /// Name of the end that stays here.
    pub name: &'a str,
    /// Name of the other end.
    pub peer: &'a str,
    /// MTU of both ends.
    pub mtu: Option<u32>,
    /// Hardware address of the other end.
    pub peer_mac: Option<Mac>,
    /// Bridge that the first end joins, by number.
    pub master: Option<u32>,
    /// Namespace in which the other end appears; here when not given.
    pub peer_namespace: Option<BorrowedFd<'a>>,
}

impl Netlink {
    /// All interfaces, by number.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn links(&self) -> Result<Vec<Link>> {
        let messages = collect("List network interfaces", self.handle.link().get().execute()).await?;
        Ok(messages.into_iter().map(parse).collect())
    }

    /// The interface of this name, if there is one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn link(&self, name: &str) -> Result<Option<Link>> {
        if name.is_empty() || name.len() > 15 {
            return Ok(None);
        }
        let what = format!("Look up network interface {name:?}");
        match collect(&what, self.handle.link().get().match_name(name).execute()).await {
            Ok(messages) => Ok(messages.into_iter().next().map(parse)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The interface of this name.
    ///
    /// # Errors
    /// There is none, or the kernel refuses.
    pub async fn require(&self, name: &str) -> Result<Link> {
        self.link(name).await?.ok_or_else(|| NetlinkError::NoInterface(name.to_owned()))
    }

    /// Creates a bridge without spanning tree; it is down.
    ///
    /// # Errors
    /// The name is taken (`EEXIST`), or the kernel refuses.
    pub async fn create_bridge(&self, bridge: &NewBridge<'_>) -> Result<()> {
        let mut message = LinkBridge::new(bridge.name);
        if let Some(mac) = bridge.mac {
            message = message.address(mac.bytes().to_vec());
        }
        if let Some(mtu) = bridge.mtu {
            message = message.mtu(mtu);
        }
        let done = self.handle.link().add(message.build()).execute().await;
        done.map_err(|e| failed(format!("Failed to create bridge {:?}", bridge.name), e))
    }

    /// Creates a veth pair; the first end is up and a port of its bridge, the other is down. One request.
    ///
    /// # Errors
    /// A name is taken (`EEXIST`), or the kernel refuses.
    pub async fn create_veth(&self, veth: &NewVeth<'_>) -> Result<()> {
        let mut peer = LinkUnspec::new_with_name(veth.peer);
        let mut here =
            LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth).name(veth.name).up();
        if let Some(mtu) = veth.mtu {
            here = here.mtu(mtu);
            peer = peer.mtu(mtu);
        }
        if let Some(mac) = veth.peer_mac {
            peer = peer.address(mac.bytes().to_vec());
        }
        if let Some(namespace) = veth.peer_namespace {
            peer = peer.setns_by_fd(namespace.as_raw_fd());
        }
        if let Some(master) = veth.master {
            here = here.controller(master);
        }
        let message = here.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build()))).build();
        let done = self.handle.link().add(message).execute().await;
        done.map_err(|e| {
            failed(format!("Failed to create the veth interfaces {:?} and {:?}", veth.name, veth.peer), e)
        })
    }

    /// Deletes an interface; success when it is gone already.
    ///
    /// # Errors
    /// The kernel refuses (hardware cannot be deleted).
    pub async fn delete_link(&self, name: &str) -> Result<()> {
        let Some(link) = self.link(name).await? else { return Ok(()) };
        let done = self.handle.link().del(link.index).execute().await;
        gone_is_fine(done.map_err(|e| failed(format!("Failed to delete interface {name:?}"), e)))
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// There is none, or the kernel refuses.
    pub async fn set_up(&self, name: &str) -> Result<()> {
        self.change(name, "bring up", LinkMessageBuilder::up).await
    }

    /// Brings an interface down.
    ///
    /// # Errors
    /// There is none, or the kernel refuses.
    pub async fn set_down(&self, name: &str) -> Result<()> {
        self.change(name, "bring down", LinkMessageBuilder::down).await
    }

    /// Sets the MTU, in bytes.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub async fn set_mtu(&self, name: &str, mtu: u32) -> Result<()> {
        self.change(name, "set the MTU of", |message| message.mtu(mtu)).await
    }

    /// Sets the hardware address.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub async fn set_mac(&self, name: &str, mac: Mac) -> Result<()> {
        self.change(name, "set the address of", |message| message.address(mac.bytes().to_vec())).await
    }

    /// Gives an interface another name; it must be down (newer kernels: may be up).
    ///
    /// # Errors
    /// There is no such interface, the new name is taken, or the kernel refuses.
    pub async fn rename(&self, name: &str, new_name: &str) -> Result<()> {
        self.change(name, "rename", |message| message.name(new_name)).await
    }

    /// Makes an interface a port of a bridge, or of none.
    ///
    /// # Errors
    /// One of the two does not exist, or the kernel refuses.
    pub async fn set_master(&self, name: &str, master: Option<&str>) -> Result<()> {
        let index = match master {
            Some(master) => self.require(master).await?.index,
            None => 0,
        };
        self.change(name, "set the bridge of", |message| message.controller(index)).await
    }

    /// Forbids (or allows) a port of a bridge to reach other ports for which it is forbidden.
    ///
    /// # Errors
    /// There is no such interface, it is no port of a bridge, or the kernel refuses.
    pub async fn set_isolated(&self, name: &str, isolated: bool) -> Result<()> {
        let index = self.require(name).await?.index;
        let message = LinkBridgePort::new(index).isolated(isolated).build();
        let done = self.handle.link().set_port(message).execute().await;
        done.map_err(|e| failed(format!("Failed to set the isolation of interface {name:?}"), e))
    }

    /// Lets a port of a bridge get back what it sent itself, after its addresses were translated.
    ///
    /// # Errors
    /// There is no such interface, it is no port of a bridge, or the kernel refuses.
    pub async fn set_hairpin(&self, name: &str, on: bool) -> Result<()> {
        let index = self.require(name).await?.index;
        let message = LinkBridgePort::new(index).hairpin(on).build();
        let done = self.handle.link().set_port(message).execute().await;
        done.map_err(|e| failed(format!("Failed to set the hairpin mode of interface {name:?}"), e))
    }

    /// Moves an interface into another namespace, where it gets another name.
    ///
    /// # Errors
    /// There is no such interface, the name is taken there, or the kernel refuses.
    pub async fn move_to(&self, name: &str, namespace: BorrowedFd<'_>, new_name: &str) -> Result<()> {
        self.change(name, "move", |message| message.setns_by_fd(namespace.as_raw_fd()).name(new_name)).await
    }

    async fn change(
        &self,
        name: &str,
        what: &str,
        edit: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<()> {
        let index = self.require(name).await?.index;
        let message = edit(LinkUnspec::new_with_index(index)).build();
        let done = self.handle.link().change(message).execute().await;
        done.map_err(|e| failed(format!("Failed to {what} interface {name:?}"), e))
    }
}

fn parse(message: LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running),
        loopback: flags.contains(LinkFlags::Loopback),
        broadcast: flags.contains(LinkFlags::Broadcast),
        point_to_point: flags.contains(LinkFlags::Pointopoint),
        ..Link::default()
    };
    for attribute in message.attributes {
        parse_attribute(&mut link, attribute);
    }
    link
}

fn parse_attribute(link: &mut Link, attribute: LinkAttribute) {
    match attribute {
        LinkAttribute::IfName(name) => link.name = name,
        LinkAttribute::Mtu(mtu) => link.mtu = mtu,
        LinkAttribute::Address(bytes) => link.mac = <[u8; 6]>::try_from(bytes).ok().map(Mac::from_bytes),
        LinkAttribute::Controller(index) => link.master = Some(index),
        LinkAttribute::Link(index) => link.lower = Some(index),
        LinkAttribute::LinkNetNsId(_) => link.lower_elsewhere = true,
        LinkAttribute::OperState(state) => link.operational = state == State::Up,
        LinkAttribute::Stats64(stats) => {
            link.stats = Stats {
                rx_bytes: stats.rx_bytes,
                tx_bytes: stats.tx_bytes,
                rx_packets: stats.rx_packets,
                tx_packets: stats.tx_packets,
                rx_errors: stats.rx_errors,
                tx_errors: stats.tx_errors,
                rx_dropped: stats.rx_dropped,
                tx_dropped: stats.tx_dropped,
            };
        }
        LinkAttribute::LinkInfo(infos) => infos.into_iter().for_each(|info| parse_info(link, info)),
        _ => {}
    }
}

fn parse_info(link: &mut Link, info: LinkInfo) {
    use rtnetlink::packet_route::link::InfoVlan;
    match info {
        LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
        LinkInfo::Data(InfoData::Bridge(infos)) => link.bridge = Some(parse_bridge(&infos)),
        LinkInfo::Data(InfoData::Vlan(infos)) => {
            link.vlan = infos.iter().find_map(|info| match info {
                InfoVlan::Id(id) => Some(*id),
                _ => None,
            });
        }
        LinkInfo::Data(InfoData::Vxlan(infos)) => link.tunnel = Some(tunnel::parse_vxlan(&infos)),
        LinkInfo::Data(InfoData::GreTap(infos)) => link.tunnel = tunnel::parse_gre(&infos),
        _ => {}
    }
}

fn parse_bridge(infos: &[InfoBridge]) -> BridgeInfo {
    let mut bridge = BridgeInfo::default();
    for info in infos {
        match info {
            InfoBridge::BridgeId(id) => {
                (bridge.priority, bridge.address) = (id.priority, Some(Mac::from_bytes(id.address)))
            }
            InfoBridge::StpState(state) => bridge.stp = *state != BridgeStpState::Disabled,
            InfoBridge::ForwardDelay(delay) => bridge.forward_delay = *delay,
            InfoBridge::VlanDefaultPvid(vlan) => bridge.default_vlan = Some(*vlan),
            InfoBridge::VlanFiltering(on) => bridge.vlan_filtering = *on,
            _ => {}
        }
    }
    bridge
}
