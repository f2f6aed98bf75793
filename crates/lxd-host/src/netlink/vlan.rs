//! VLANs of ports of bridges.

use rtnetlink::packet_route::link::{BridgeVlanInfoFlags, LinkMessage};
use rtnetlink::{LinkBridge, LinkBridgeVlan};

use super::{Netlink, Result, failed};

/// The VLANs of a port.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PortVlans {
    /// What frames without a tag belong to.
    pub untagged: Untagged,
    /// VLANs whose frames come and go with their tag.
    pub tagged: Vec<u16>,
}

/// What frames without a tag belong to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Untagged {
    /// To the bridge's default VLAN.
    #[default]
    Default,
    /// To none: they are dropped.
    None,
    /// To this VLAN.
    Vlan(u16),
}

impl Netlink {
    /// Switches VLAN filtering of a bridge on.
    ///
    /// # Errors
    /// There is no such bridge, or the kernel refuses (it may not know VLANs).
    pub async fn filter_vlans(&self, bridge: &str) -> Result<()> {
        let done =
            self.handle.link().change(LinkBridge::new(bridge).vlan_filtering(true).build()).execute().await;
        done.map_err(|e| failed(format!("Failed to enable VLAN filtering of bridge {bridge:?}"), e))
    }

    /// Gives a port of a bridge its VLANs. `default` is the VLAN that the bridge gave it by itself.
    ///
    /// # Errors
    /// There is no such interface, it is no port of a bridge, or the kernel refuses.
    pub async fn set_port_vlans(&self, port: &str, vlans: &PortVlans, default: Option<u16>) -> Result<()> {
        let index = self.require(port).await?.index;
        let what = || format!("Failed to set the VLANs of interface {port:?}");
        if let Some(default) = default.filter(|default| leaves(vlans, *default)) {
            let message = LinkBridgeVlan::new(index).vlan(default, BridgeVlanInfoFlags::empty()).build();
            let done = self.handle.link().del_with_message(message).execute().await;
            done.map_err(|e| failed(what(), e))?;
        }
        let Some(message) = message(index, vlans) else { return Ok(()) };
        self.handle.link().set(message).execute().await.map_err(|e| failed(what(), e))
    }
}

/// Whether a port with these VLANs is to leave the default one.
fn leaves(vlans: &PortVlans, default: u16) -> bool {
    match vlans.untagged {
        Untagged::Default => false,
        Untagged::None => true,
        Untagged::Vlan(vlan) => vlan != default,
    }
}

/// The request that adds VLANs; `None` when there is none to add.
fn message(index: u32, vlans: &PortVlans) -> Option<LinkMessage> {
    let mut message = LinkBridgeVlan::new(index);
    let mut any = false;
    if let Untagged::Vlan(vlan) = vlans.untagged {
        message = message.vlan(vlan, BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged);
        any = true;
    }
    for vlan in &vlans.tagged {
        message = message.vlan(*vlan, BridgeVlanInfoFlags::empty());
        any = true;
    }
    any.then(|| message.build())
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::Emitable;

    use super::*;

    fn bytes(vlans: &PortVlans) -> Vec<u8> {
        let message = message(3, vlans).unwrap();
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    /// As `bridge vlan add dev X vid N [pvid untagged]` sends them (ifinfomsg, then IFLA_AF_SPEC).
    #[test]
    fn requests_are_those_of_the_tool() {
        let header = [7, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let access = PortVlans { untagged: Untagged::Vlan(5), tagged: Vec::new() };
        let spec = [12, 0, 26, 0, 8, 0, 2, 0, 6, 0, 5, 0];
        assert_eq!(bytes(&access), [&header[..], &spec[..]].concat());
        let trunk = PortVlans { untagged: Untagged::None, tagged: vec![6, 300] };
        let spec = [20, 0, 26, 0, 8, 0, 2, 0, 0, 0, 6, 0, 8, 0, 2, 0, 0, 0, 44, 1];
        assert_eq!(bytes(&trunk), [&header[..], &spec[..]].concat());
        assert!(message(3, &PortVlans::default()).is_none());
        assert!(leaves(&trunk, 1) && leaves(&access, 1) && !leaves(&access, 5));
    }
}
