//! Interfaces on top of others: macvlan, ipvlan, VLAN; and those that only redirect traffic.

use lxd_types::Mac;
use rtnetlink::packet_route::link::{InfoKind, IpVlanMode, MacVlanMode, VlanFlags};
use rtnetlink::{LinkIpVlan, LinkMacVlan, LinkMessageBuilder, LinkUnspec, LinkVlan};

use super::{Netlink, Result, failed};

/// An interface to create on top of another.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewOnParent<'a> {
    /// Its name.
    pub name: &'a str,
    /// The interface below, by name.
    pub parent: &'a str,
    /// Its hardware address; the kernel's choice when not given.
    pub mac: Option<Mac>,
    /// Its MTU; that of the parent when not given.
    pub mtu: Option<u32>,
}

/// The name, address and MTU in a message.
macro_rules! message {
    ($kind:ty, $new:expr, $parent:expr) => {{
        let mut message = LinkMessageBuilder::<$kind>::new($new.name).link($parent);
        if let Some(mac) = $new.mac {
            message = message.address(mac.bytes().to_vec());
        }
        if let Some(mtu) = $new.mtu {
            message = message.mtu(mtu);
        }
        message
    }};
}

impl Netlink {
    /// Creates a macvlan interface in mode `bridge`; it is down.
    ///
    /// # Errors
    /// There is no such parent, the name is taken (`EEXIST`), or the kernel refuses.
    pub async fn create_macvlan(&self, new: &NewOnParent<'_>) -> Result<()> {
        let parent = self.require(new.parent).await?.index;
        let message = message!(LinkMacVlan, new, parent).mode(MacVlanMode::Bridge).build();
        let done = self.handle.link().add(message).execute().await;
        done.map_err(|e| failed(format!("Failed to create macvlan interface {:?}", new.name), e))
    }

    /// Creates an ipvlan interface in mode L2 or L3S; it is down.
    ///
    /// # Errors
    /// There is no such parent, the name is taken (`EEXIST`), or the kernel refuses.
    pub async fn create_ipvlan(&self, new: &NewOnParent<'_>, layer3: bool) -> Result<()> {
        let parent = self.require(new.parent).await?.index;
        let mode = if layer3 { IpVlanMode::L3S } else { IpVlanMode::L2 };
        let message = message!(LinkIpVlan, new, parent).mode(mode).build();
        let done = self.handle.link().add(message).execute().await;
        done.map_err(|e| failed(format!("Failed to create ipvlan interface {:?}", new.name), e))
    }

    /// Creates a VLAN interface that is up. With `gvrp` the VLAN is announced to switches.
    ///
    /// # Errors
    /// There is no such parent, the name is taken (`EEXIST`), or the kernel refuses.
    pub async fn create_vlan(&self, new: &NewOnParent<'_>, vlan: u16, gvrp: bool) -> Result<()> {
        let parent = self.require(new.parent).await?.index;
        let mut message = message!(LinkVlan, new, parent).id(vlan).up();
        if gvrp {
            message = message.flags(VlanFlags::Gvrp, VlanFlags::Gvrp);
        }
        let done = self.handle.link().add(message.build()).execute().await;
        done.map_err(|e| failed(format!("Failed to create VLAN interface {:?}", new.name), e))
    }

    /// Creates an interface to redirect traffic to (ifb); it is up.
    ///
    /// # Errors
    /// The name is taken (`EEXIST`), or the kernel refuses.
    pub async fn create_ifb(&self, name: &str) -> Result<()> {
        let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Ifb).name(name).up();
        let done = self.handle.link().add(message.build()).execute().await;
        done.map_err(|e| failed(format!("Failed to create interface {name:?}"), e))
    }
}
