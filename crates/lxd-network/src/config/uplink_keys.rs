//! All keys of networks that sit on an interface of the host: macvlan, sriov and physical.

use lxd_config::{Key, Table, keys};

use super::checks;
use super::keys::{MAAS, USER};

/// Keys of networks of type `macvlan`.
pub static MACVLAN: Table = Table::new("network: macvlan", &[PARENT, GVRP, MAAS, USER]);

/// Keys of networks of type `sriov`.
pub static SRIOV: Table = Table::new("network: sriov", &[PARENT, MAAS, USER]);

/// Keys of networks of type `physical`.
pub static PHYSICAL: Table = Table::new("network: physical", &[PARENT, GVRP, UPLINK, MAAS, STATE, USER]);

keys! {
    /// The interface of the host.
    PARENT = [
        /// The interface of the host that the network sits on.
        PARENT_NAME: String = Key::new("parent").required().check(crate::name::check_interface),
        /// The MTU of the new interfaces; that of the parent when not set.
        MTU: String = Key::new("mtu").check(checks::mtu),
        /// The VLAN ID to attach to.
        VLAN: String = Key::new("vlan").check(checks::vlan),
    ]
}

keys! {
    /// How a VLAN is announced.
    GVRP = [
        /// Register the VLAN using the GARP VLAN Registration Protocol.
        GVRP_ON: bool = Key::new("gvrp").default("false").since("network_gvrp"),
    ]
}

keys! {
    /// What networks of type `ovn` that have this one as their uplink need to know. Checked and stored.
    UPLINK = [
        /// DNS servers of the physical network.
        NAMESERVERS: String = Key::new("dns.nameservers").check(checks::addresses).since("network_type_physical"),
        /// Address of the gateway and its network (CIDR notation).
        IPV4_GATEWAY: String = Key::new("ipv4.gateway").check(checks::ipv4_gateway).since("network_type_physical"),
        /// Comma-separated list of IPv4 ranges to use for child OVN network routers (FIRST-LAST format).
        IPV4_OVN: String = Key::new("ipv4.ovn.ranges").check(checks::ipv4_ranges).since("network_type_physical"),
        /// Comma-separated list of IPv4 subnets that child OVN networks may use.
        IPV4_ROUTES: String = Key::new("ipv4.routes").check(checks::ipv4_networks).since("network_ovn_external_subnets"),
        /// Allow the overlapping routes to be used on multiple networks and NICs at the same time.
        IPV4_ANYCAST: bool = Key::new("ipv4.routes.anycast").default("false").since("network_physical_routes_anycast"),
        /// Address of the gateway and its network (CIDR notation).
        IPV6_GATEWAY: String = Key::new("ipv6.gateway").check(checks::ipv6_gateway).since("network_type_physical"),
        /// Comma-separated list of IPv6 ranges to use for child OVN network routers (FIRST-LAST format).
        IPV6_OVN: String = Key::new("ipv6.ovn.ranges").check(checks::ipv6_ranges).since("network_type_physical"),
        /// Comma-separated list of IPv6 subnets that child OVN networks may use.
        IPV6_ROUTES: String = Key::new("ipv6.routes").check(checks::ipv6_networks).since("network_ovn_external_subnets"),
        /// Allow the overlapping routes to be used on multiple networks and NICs at the same time.
        IPV6_ANYCAST: bool = Key::new("ipv6.routes.anycast").default("false").since("network_physical_routes_anycast"),
        /// How addresses of OVN NICs are made known on the uplink network ("l2proxy" or "routed").
        INGRESS: String = Key::new("ovn.ingress_mode").default("l2proxy").one_of(&["l2proxy", "routed"]).since("network_physical_ovn_ingress_mode"),
    ]
}

keys! {
    /// What the daemon remembers.
    STATE = [
        /// Whether the VLAN interface was made by the daemon; what a user writes here is replaced.
        CREATED: bool = Key::new("volatile.last_state.created").passive(),
    ]
}
