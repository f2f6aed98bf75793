//! VLANs of a port of a bridge: what `vlan` and `vlan.tagged` ask for.

use lxd_host::netlink::{Link, PortVlans, Untagged};
use lxd_network::config::vlans;
use lxd_types::error::Context;
use lxd_types::{ConfigExt, Device, Error, Result};

/// The VLANs that the properties ask for.
pub(super) fn of(device: &Device) -> Result<PortVlans> {
    let untagged = match device.value("vlan") {
        // 0 stands for "without a VLAN".
        "" | "0" => Untagged::Default,
        "none" => Untagged::None,
        text => Untagged::Vlan(
            text.parse().map_err(|_| Error::internal(format!("The stored VLAN {text:?} is invalid")))?,
        ),
    };
    let tagged = match device.set("vlan.tagged") {
        None => Vec::new(),
        Some(list) => vlans::parse(list).map_err(Error::from).context("Invalid value of \"vlan.tagged\"")?,
    };
    Ok(PortVlans { untagged, tagged })
}

/// Refuses a bridge of the kernel that does not filter VLANs.
pub(super) fn check_bridge(bridge: &Link) -> Result<()> {
    let name = bridge.name.as_str();
    match bridge.bridge {
        Some(info) if info.vlan_filtering => Ok(()),
        Some(info) if info.default_vlan.is_none() => Err(Error::bad_request(format!(
            "Failed getting bridge VLAN status for {name:?}: this kernel has no VLAN filtering of bridges \
             (CONFIG_BRIDGE_VLAN_FILTERING)"
        ))),
        _ => Err(Error::bad_request(format!(
            "VLAN filtering is off on bridge {name:?}: switch it on with \"ip link set {name} type bridge \
             vlan_filtering 1\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_host::netlink::BridgeInfo;

    #[test]
    fn properties_become_vlans() {
        let device = |pairs: &[(&str, &str)]| -> Device {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let vlans = of(&device(&[("vlan", "none"), ("vlan.tagged", "6, 8-9")])).unwrap();
        assert_eq!(vlans, PortVlans { untagged: Untagged::None, tagged: vec![6, 8, 9] });
        assert_eq!(of(&device(&[("vlan", "0")])).unwrap(), PortVlans::default());
        assert_eq!(of(&device(&[("vlan", "5")])).unwrap().untagged, Untagged::Vlan(5));
    }

    #[test]
    fn a_bridge_must_filter() {
        let text = |info: BridgeInfo| {
            let link = Link { name: "br1".to_owned(), bridge: Some(info), ..Link::default() };
            check_bridge(&link).map_or_else(|error| error.chain(), |()| "ok".to_owned())
        };
        let able = BridgeInfo { default_vlan: Some(1), ..BridgeInfo::default() };
        assert!(text(BridgeInfo::default()).contains("this kernel has no VLAN filtering"));
        assert!(text(able).starts_with("VLAN filtering is off on bridge \"br1\""));
        assert_eq!(text(BridgeInfo { vlan_filtering: true, ..able }), "ok");
    }
}
