//! Properties of interfaces: one table per `nictype`.

use lxd_config::{Key, Restriction, Table, keys};
use lxd_network::config::checks;
use lxd_types::{BitRate, Mac, ValueError};

use crate::none::COMMON;

/// Rule of projects for what reaches beyond the network of an interface: only "allow" permits it.
pub const NIC_RULE: &str = "restricted.devices.nic";

/// Rule of projects that names the subnets of each network which the project may route to its instances.
pub const SUBNETS_RULE: &str = "restricted.networks.subnets";

/// The tables of interfaces that may belong to a managed network.
static OF_NETWORKS: [&Table; 4] = [&BRIDGED, &MACVLAN, &PHYSICAL, &SRIOV];

/// What a property means for restricted projects, whichever kind of interface its network makes.
pub fn restrictions(property: &str) -> impl Iterator<Item = Restriction> + '_ {
    OF_NETWORKS.iter().filter_map(move |table| Some(table.find(property)?.meta().restriction))
}

/// All properties of interfaces with `nictype=bridged`.
pub static BRIDGED: Table = Table::new(
    "device: nic (bridged)",
    &[COMMON, BASE, HOST, LIMITS, PARENT, MANAGED, ROUTES, BRIDGE, PORT_VLANS, MAAS, LATER],
);

/// All properties of interfaces with `nictype=p2p`.
pub static P2P: Table = Table::new("device: nic (p2p)", &[COMMON, BASE, HOST, LIMITS, ROUTES]);

/// All properties of interfaces with `nictype=routed`.
pub static ROUTED: Table = Table::new(
    "device: nic (routed)",
    &[COMMON, BASE, HOST, LIMITS, PARENT, VLAN, ANNOUNCED, STATIC, ROUTED_ONLY],
);

/// All properties of interfaces with `nictype=macvlan`.
pub static MACVLAN: Table =
    Table::new("device: nic (macvlan)", &[COMMON, BASE, PARENT, MANAGED, VLAN, ANNOUNCED, MAAS]);

/// All properties of interfaces with `nictype=physical`.
pub static PHYSICAL: Table =
    Table::new("device: nic (physical)", &[COMMON, BASE, PARENT, MANAGED, VLAN, ANNOUNCED, MAAS]);

/// All properties of interfaces with `nictype=sriov`.
pub static SRIOV: Table =
    Table::new("device: nic (sriov)", &[COMMON, BASE, HOST, PARENT, MANAGED, VLAN, FUNCTION, MAAS]);

/// All properties of interfaces with `nictype=ipvlan`.
pub static IPVLAN: Table =
    Table::new("device: nic (ipvlan)", &[COMMON, BASE, PARENT, VLAN, ANNOUNCED, STATIC, IPVLAN_ONLY]);

keys! {
    /// What every interface has.
    BASE = [
        /// Kind of the interface; given by the network when `network` is set.
        NICTYPE: String = Key::new("nictype").restricted_by(NIC_RULE),
        /// The name of the interface inside the instance.
        NAME: String = Key::new("name").safe().check(lxd_network::check_interface),
        /// The MTU of the new interface; that of the parent when not set.
        MTU: String = Key::new("mtu").safe(),
        /// The MAC address of the new interface; random when not set.
        HWADDR: Mac = Key::new("hwaddr").safe().check(checks::mac),
        /// Boot priority for virtual machines (higher boots first).
        BOOT_PRIORITY: u32 = Key::new("boot.priority").safe().since("vm_boot_priority"),
    ]
}

keys! {
    /// What interfaces with an end on the host have.
    HOST = [
        /// The name of the interface on the host; random when not set.
        HOST_NAME: String = Key::new("host_name").restricted_by(NIC_RULE).check(lxd_network::check_interface),
    ]
}

keys! {
    /// Limits of traffic.
    LIMITS = [
        /// Limit in bit/s for traffic to the instance (various suffixes supported).
        LIMITS_INGRESS: BitRate = Key::new("limits.ingress").safe().live(),
        /// Limit in bit/s for traffic from the instance (various suffixes supported).
        LIMITS_EGRESS: BitRate = Key::new("limits.egress").safe().live(),
        /// Same as setting both limits.ingress and limits.egress.
        LIMITS_MAX: BitRate = Key::new("limits.max").safe().live(),
    ]
}

keys! {
    /// Interfaces that belong to one of the host.
    PARENT = [
        /// The name of the interface on the host that it belongs to.
        PARENT_NAME: String = Key::new("parent").restricted_by(NIC_RULE),
    ]
}

keys! {
    /// Interfaces that may belong to a managed network.
    MANAGED = [
        /// The managed network to link the device to (instead of parent).
        NETWORK: String = Key::new("network").safe().since("instance_nic_network"),
    ]
}

keys! {
    /// Networks that the host routes to an interface.
    ROUTES = [
        /// Comma-separated list of IPv4 static routes to add on the host to the NIC.
        IPV4_ROUTES: String = Key::new("ipv4.routes").restricted_by(SUBNETS_RULE).check(checks::ipv4_networks).live().since("container_nic_routes"),
        /// Comma-separated list of IPv6 static routes to add on the host to the NIC.
        IPV6_ROUTES: String = Key::new("ipv6.routes").restricted_by(SUBNETS_RULE).check(checks::ipv6_networks).live().since("container_nic_routes"),
    ]
}

keys! {
    /// What only ports of bridges have.
    BRIDGE = [
        /// An IPv4 address to assign to the instance through DHCP ("none" lets no IPv4 pass, with security.ipv4_filtering).
        BRIDGED_IPV4: String = Key::new("ipv4.address").safe().live(),
        /// An IPv6 address to assign to the instance through DHCP ("none" lets no IPv6 pass, with security.ipv6_filtering).
        BRIDGED_IPV6: String = Key::new("ipv6.address").safe().live(),
        /// Prevent the NIC from communicating with other NICs in the network that have port isolation enabled.
        PORT_ISOLATION: bool = Key::new("security.port_isolation").safe().default("false").since("instance_nic_bridged_port_isolation"),
        /// Prevent the instance from spoofing another's MAC address.
        MAC_FILTERING: bool = Key::new("security.mac_filtering").safe().default("false").live().since("network"),
        /// Prevent the instance from spoofing another's IPv4 address (enables mac_filtering).
        IPV4_FILTERING: bool = Key::new("security.ipv4_filtering").safe().default("false").live().since("container_nic_ipfilter"),
        /// Prevent the instance from spoofing another's IPv6 address (enables mac_filtering).
        IPV6_FILTERING: bool = Key::new("security.ipv6_filtering").safe().default("false").live().since("container_nic_ipfilter"),
    ]
}

keys! {
    /// Fixed addresses of interfaces that no DHCP service serves.
    STATIC = [
        /// Comma-separated list of IPv4 static addresses to add to the instance.
        STATIC_IPV4: String = Key::new("ipv4.address").safe().check(ipv4_list),
        /// Comma-separated list of IPv6 static addresses to add to the instance.
        STATIC_IPV6: String = Key::new("ipv6.address").safe().check(ipv6_list),
        /// Whether to add an automatic default IPv4 gateway, can be "auto" or "none".
        IPV4_GATEWAY: String = Key::new("ipv4.gateway").restricted_by(NIC_RULE).default("auto").check(gateway),
        /// Whether to add an automatic default IPv6 gateway, can be "auto" or "none".
        IPV6_GATEWAY: String = Key::new("ipv6.gateway").restricted_by(NIC_RULE).default("auto").check(gateway),
        /// Number of a routing table to add the IPv4 static routes to (in addition to the main one).
        IPV4_TABLE: u32 = Key::new("ipv4.host_table").restricted_by(NIC_RULE),
        /// Number of a routing table to add the IPv6 static routes to (in addition to the main one).
        IPV6_TABLE: u32 = Key::new("ipv6.host_table").restricted_by(NIC_RULE),
    ]
}

keys! {
    /// What only routed interfaces have.
    ROUTED_ONLY = [
        /// The IPv4 address of the host's end.
        IPV4_HOST: String = Key::new("ipv4.host_address").restricted_by(NIC_RULE).default("169.254.0.1").check(checks::ipv4),
        /// The IPv6 address of the host's end.
        IPV6_HOST: String = Key::new("ipv6.host_address").restricted_by(NIC_RULE).default("fe80::1").check(checks::ipv6),
    ]
}

keys! {
    /// What only ipvlan interfaces have.
    IPVLAN_ONLY = [
        /// The mode, "l3s" or "l2".
        IPVLAN_MODE: String = Key::new("mode").restricted_by(NIC_RULE).default("l3s").one_of(&["l3s", "l2"]),
    ]
}

keys! {
    /// VLAN of the parent.
    VLAN = [
        /// The VLAN ID to attach to.
        PARENT_VLAN: String = Key::new("vlan").restricted_by(NIC_RULE).check(checks::vlan),
    ]
}

keys! {
    /// How the VLAN of a parent is announced.
    ANNOUNCED = [
        /// Register the VLAN using the GARP VLAN Registration Protocol.
        GVRP: bool = Key::new("gvrp").restricted_by(NIC_RULE).default("false"),
    ]
}

keys! {
    /// VLANs of a port of a bridge.
    PORT_VLANS = [
        /// The VLAN ID to use for untagged traffic ("none" removes the port from the default VLAN).
        BRIDGED_VLAN: String = Key::new("vlan").restricted_by(NIC_RULE).check(vlan).since("instance_nic_bridged_vlan"),
        /// Comma-separated list of VLAN IDs to join for tagged traffic.
        BRIDGED_TAGGED: String = Key::new("vlan.tagged").restricted_by(NIC_RULE).check(vlans).since("instance_nic_bridged_vlan"),
    ]
}

keys! {
    /// What only virtual functions have.
    FUNCTION = [
        /// Prevent the instance from spoofing another's MAC address.
        FUNCTION_MAC_FILTERING: bool = Key::new("security.mac_filtering").safe().default("false").since("network_vlan_sriov"),
    ]
}

keys! {
    /// Registration in MAAS.
    MAAS = [
        /// MAAS IPv4 subnet to register the instance in.
        MAAS_V4: String = Key::new("maas.subnet.ipv4").restricted_by(NIC_RULE).not_yet().since("maas_network"),
        /// MAAS IPv6 subnet to register the instance in.
        MAAS_V6: String = Key::new("maas.subnet.ipv6").restricted_by(NIC_RULE).not_yet().since("maas_network"),
    ]
}

keys! {
    /// Properties of later versions.
    LATER = [
        /// Comma-separated list of IPv4 static routes to route to the NIC and publish on the uplink network (BGP).
        IPV4_EXTERNAL: String = Key::new("ipv4.routes.external").restricted_by(SUBNETS_RULE).check(checks::ipv4_networks).live().not_yet(),
        /// Comma-separated list of IPv6 static routes to route to the NIC and publish on the uplink network (BGP).
        IPV6_EXTERNAL: String = Key::new("ipv6.routes.external").restricted_by(SUBNETS_RULE).check(checks::ipv6_networks).live().not_yet(),
    ]
}

fn vlan(value: &str) -> Result<(), ValueError> {
    if value == "none" { Ok(()) } else { checks::vlan(value) }
}

fn vlans(value: &str) -> Result<(), ValueError> {
    lxd_network::config::vlans::parse(value).map(drop)
}

fn gateway(value: &str) -> Result<(), ValueError> {
    match value {
        "auto" | "none" => Ok(()),
        other => Err(ValueError(format!("Invalid gateway {other:?}: must be \"auto\" or \"none\""))),
    }
}

fn ipv4_list(value: &str) -> Result<(), ValueError> {
    value.split(',').map(str::trim).try_for_each(checks::ipv4)
}

fn ipv6_list(value: &str) -> Result<(), ValueError> {
    value.split(',').map(str::trim).try_for_each(checks::ipv6)
}
