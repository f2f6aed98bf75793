//! Properties of interfaces.

use lxd_config::{Key, Table, keys};
use lxd_network::config::checks;
use lxd_types::{BitRate, Mac, ValueError};

use crate::none::COMMON;

/// All properties of interfaces with `nictype=bridged`.
pub static BRIDGED: Table = Table::new("device: nic (bridged)", &[COMMON, PROPERTIES, LATER]);

keys! {
    /// Properties that work.
    PROPERTIES = [
        /// Kind of the interface; given by the network when `network` is set.
        NICTYPE: String = Key::new("nictype"),
        /// The name of the bridge on the host (instead of network).
        PARENT: String = Key::new("parent"),
        /// The managed network to link the device to (instead of parent).
        NETWORK: String = Key::new("network").since("instance_nic_network"),
        /// The name of the interface inside the instance.
        NAME: String = Key::new("name").check(lxd_network::check_interface),
        /// The MTU of the new interface; that of the parent when not set.
        MTU: String = Key::new("mtu"),
        /// The MAC address of the new interface; random when not set.
        HWADDR: Mac = Key::new("hwaddr").check(checks::mac),
        /// The name of the interface on the host; random when not set.
        HOST_NAME: String = Key::new("host_name").check(lxd_network::check_interface),
        /// Limit in bit/s for traffic to the instance (various suffixes supported).
        LIMITS_INGRESS: BitRate = Key::new("limits.ingress").live(),
        /// Limit in bit/s for traffic from the instance (various suffixes supported).
        LIMITS_EGRESS: BitRate = Key::new("limits.egress").live(),
        /// Same as setting both limits.ingress and limits.egress.
        LIMITS_MAX: BitRate = Key::new("limits.max").live(),
        /// An IPv4 address to assign to the instance through DHCP.
        IPV4_ADDRESS: String = Key::new("ipv4.address").live(),
        /// An IPv6 address to assign to the instance through DHCP.
        IPV6_ADDRESS: String = Key::new("ipv6.address").live(),
        /// Prevent the NIC from communicating with other NICs in the network that have port isolation enabled.
        PORT_ISOLATION: bool = Key::new("security.port_isolation").default("false").since("instance_nic_bridged_port_isolation"),
        /// Boot priority for virtual machines (higher boots first).
        BOOT_PRIORITY: u32 = Key::new("boot.priority").since("vm_boot_priority"),
    ]
}

keys! {
    /// Properties of later versions.
    LATER = [
        /// Comma-separated list of IPv4 static routes to add on the host to the NIC.
        IPV4_ROUTES: String = Key::new("ipv4.routes").check(checks::ipv4_networks).live().not_yet().since("container_nic_routes"),
        /// Comma-separated list of IPv6 static routes to add on the host to the NIC.
        IPV6_ROUTES: String = Key::new("ipv6.routes").check(checks::ipv6_networks).live().not_yet().since("container_nic_routes"),
        /// Comma-separated list of IPv4 static routes to route to the NIC and publish on the uplink network (BGP).
        IPV4_EXTERNAL: String = Key::new("ipv4.routes.external").check(checks::ipv4_networks).live().not_yet(),
        /// Comma-separated list of IPv6 static routes to route to the NIC and publish on the uplink network (BGP).
        IPV6_EXTERNAL: String = Key::new("ipv6.routes.external").check(checks::ipv6_networks).live().not_yet(),
        /// Prevent the instance from spoofing another's MAC address.
        MAC_FILTERING: bool = Key::new("security.mac_filtering").default("false").live().not_yet().since("network"),
        /// Prevent the instance from spoofing another's IPv4 address (enables mac_filtering).
        IPV4_FILTERING: bool = Key::new("security.ipv4_filtering").default("false").live().not_yet().since("container_nic_ipfilter"),
        /// Prevent the instance from spoofing another's IPv6 address (enables mac_filtering).
        IPV6_FILTERING: bool = Key::new("security.ipv6_filtering").default("false").live().not_yet().since("container_nic_ipfilter"),
        /// MAAS IPv4 subnet to register the instance in.
        MAAS_V4: String = Key::new("maas.subnet.ipv4").not_yet().since("maas_network"),
        /// MAAS IPv6 subnet to register the instance in.
        MAAS_V6: String = Key::new("maas.subnet.ipv6").not_yet().since("maas_network"),
        /// The VLAN ID to use for untagged traffic ("none" removes the port from the default VLAN).
        VLAN: String = Key::new("vlan").check(vlan).not_yet().since("instance_nic_bridged_vlan"),
        /// Comma-separated list of VLAN IDs to join for tagged traffic.
        VLAN_TAGGED: String = Key::new("vlan.tagged").check(vlans).not_yet().since("instance_nic_bridged_vlan"),
    ]
}

fn vlan(value: &str) -> Result<(), ValueError> {
    match (value, value.parse::<u16>()) {
        ("none", _) | (_, Ok(1..=4094)) => Ok(()),
        _ => Err(ValueError(format!("Invalid VLAN ID {value:?}"))),
    }
}

fn vlans(value: &str) -> Result<(), ValueError> {
    value.split(',').map(str::trim).try_for_each(vlan)
}
