//! All keys of a bridge (manual 3.2.3). Those that have no effect in this version are refused when they are set.

use lxd_config::{Blob, Key, Table, keys};
use lxd_types::Mac;

use super::checks;

/// Keys of networks of type `bridge`.
pub static BRIDGE: Table =
    Table::new("network: bridge", &[LINK, DNS, FAN, IPV4, IPV6, MAAS, RAW, TUNNEL, ACLS, BGP, USER]);

keys! {
    /// `bridge.*`
    LINK = [
        /// Bridge driver ("native" or "openvswitch").
        DRIVER: String = Key::new("bridge.driver").default("native").one_of(&["native", "openvswitch"]).live(),
        /// Comma-separated list of unconfigured network interfaces to include in the bridge.
        EXTERNAL_INTERFACES: String = Key::new("bridge.external_interfaces").check(checks::interfaces).live(),
        /// MAC address for the bridge.
        HWADDR: Mac = Key::new("bridge.hwaddr").check(checks::mac).live().since("network_hwaddr"),
        /// Bridge operation mode ("standard" or "fan").
        MODE: String = Key::new("bridge.mode").default("standard").one_of(&["standard", "fan"]).live(),
        /// Bridge MTU (default varies if tunnel or fan setup).
        MTU: String = Key::new("bridge.mtu").default("1500").check(checks::mtu).live(),
    ]
}

keys! {
    /// `dns.*`
    DNS = [
        /// Domain to advertise to DHCP clients and use for DNS resolution.
        DOMAIN: String = Key::new("dns.domain").default("lxd").check(checks::domain).live(),
        /// DNS registration mode ("none" for no DNS record, "managed" for LXD generated static records or "dynamic" for
        /// client generated records).
        DNS_MODE: String = Key::new("dns.mode").default("managed").one_of(&["dynamic", "managed", "none"]).live(),
        /// Full comma-separated domain search list, defaulting to `dns.domain` value.
        SEARCH: String = Key::new("dns.search").check(checks::domains).live().since("network_dns_search"),
        /// DNS zone name for forward DNS records.
        ZONE_FORWARD: String = Key::new("dns.zone.forward").live().not_yet(),
        /// DNS zone name for reverse DNS records of IPv4.
        ZONE_REVERSE_V4: String = Key::new("dns.zone.reverse.ipv4").live().not_yet(),
        /// DNS zone name for reverse DNS records of IPv6.
        ZONE_REVERSE_V6: String = Key::new("dns.zone.reverse.ipv6").live().not_yet(),
    ]
}

keys! {
    /// `fan.*`
    FAN = [
        /// Subnet to use as the overlay for the FAN (CIDR notation).
        OVERLAY: String = Key::new("fan.overlay_subnet").check(checks::network).live(),
        /// The tunneling type for the FAN ("vxlan" or "ipip").
        FAN_TYPE: String = Key::new("fan.type").one_of(&["vxlan", "ipip"]).live(),
        /// Subnet to use as the underlay for the FAN (CIDR notation). "auto" uses the default gateway's subnet.
        UNDERLAY: String = Key::new("fan.underlay_subnet").check(checks::network_or_auto).live(),
    ]
}

keys! {
    /// `ipv4.*`
    IPV4 = [
        /// IPv4 address for the bridge (CIDR notation). "none" turns off IPv4, "auto" generates a new random unused
        /// subnet.
        IPV4_ADDRESS: String = Key::new("ipv4.address").check(checks::ipv4_address).live(),
        /// Whether to allocate addresses using DHCP.
        IPV4_DHCP: bool = Key::new("ipv4.dhcp").default("true").live(),
        /// When to expire DHCP leases.
        IPV4_EXPIRY: String = Key::new("ipv4.dhcp.expiry").default("1h").check(checks::expiry).live().since("network_dhcp_expiry"),
        /// Address of the gateway for the subnet.
        IPV4_GATEWAY: String = Key::new("ipv4.dhcp.gateway").check(checks::ipv4).live().since("network_dhcp_gateway"),
        /// Comma-separated list of IP ranges to use for DHCP (FIRST-LAST format).
        IPV4_RANGES: String = Key::new("ipv4.dhcp.ranges").check(checks::ipv4_ranges).live(),
        /// Whether to generate filtering firewall rules for this network.
        IPV4_FIREWALL: bool = Key::new("ipv4.firewall").default("true").live().since("network_firewall_filtering"),
        /// Whether to NAT (true when a random address was generated).
        IPV4_NAT: bool = Key::new("ipv4.nat").default("false").live(),
        /// The source address used for outbound traffic from the bridge.
        IPV4_NAT_ADDRESS: String = Key::new("ipv4.nat.address").check(checks::ipv4).live().since("network_nat_address"),
        /// Whether to add the required NAT rules before or after any pre-existing rules (only for iptables).
        IPV4_NAT_ORDER: String = Key::new("ipv4.nat.order").default("before").one_of(&["before", "after"]).live().since("network_nat_order"),
        /// Comma-separated list of IPv4 ranges to use for child OVN network routers (FIRST-LAST format).
        IPV4_OVN: String = Key::new("ipv4.ovn.ranges").check(checks::ipv4_ranges).live().since("network_type_ovn"),
        /// Comma-separated list of additional IPv4 CIDR subnets to route to the bridge.
        IPV4_ROUTES: String = Key::new("ipv4.routes").check(checks::ipv4_networks).live().since("network_routes"),
        /// Whether to route traffic in and out of the bridge.
        IPV4_ROUTING: bool = Key::new("ipv4.routing").default("true").live(),
    ]
}

keys! {
    /// `ipv6.*`
    IPV6 = [
        /// IPv6 address for the bridge (CIDR notation). "none" turns off IPv6, "auto" generates a new random unused
        /// subnet.
        IPV6_ADDRESS: String = Key::new("ipv6.address").check(checks::ipv6_address).live(),
        /// Whether to provide additional network configuration over DHCP.
        IPV6_DHCP: bool = Key::new("ipv6.dhcp").default("true").live(),
        /// When to expire DHCP leases.
        IPV6_EXPIRY: String = Key::new("ipv6.dhcp.expiry").default("1h").check(checks::expiry).live().since("network_dhcp_expiry"),
        /// Comma-separated list of IPv6 ranges to use for DHCP (FIRST-LAST format).
        IPV6_RANGES: String = Key::new("ipv6.dhcp.ranges").check(checks::ipv6_ranges).live(),
        /// Whether to allocate addresses using DHCP.
        IPV6_STATEFUL: bool = Key::new("ipv6.dhcp.stateful").default("false").live(),
        /// Whether to generate filtering firewall rules for this network.
        IPV6_FIREWALL: bool = Key::new("ipv6.firewall").default("true").live().since("network_firewall_filtering"),
        /// Whether to NAT (true when a random address was generated).
        IPV6_NAT: bool = Key::new("ipv6.nat").default("false").live(),
        /// The source address used for outbound traffic from the bridge.
        IPV6_NAT_ADDRESS: String = Key::new("ipv6.nat.address").check(checks::ipv6).live().since("network_nat_address"),
        /// Whether to add the required NAT rules before or after any pre-existing rules (only for iptables).
        IPV6_NAT_ORDER: String = Key::new("ipv6.nat.order").default("before").one_of(&["before", "after"]).live().since("network_nat_order"),
        /// Comma-separated list of IPv6 ranges to use for child OVN network routers (FIRST-LAST format).
        IPV6_OVN: String = Key::new("ipv6.ovn.ranges").check(checks::ipv6_ranges).live().since("network_type_ovn"),
        /// Comma-separated list of additional IPv6 CIDR subnets to route to the bridge.
        IPV6_ROUTES: String = Key::new("ipv6.routes").check(checks::ipv6_networks).live().since("network_routes"),
        /// Whether to route traffic in and out of the bridge.
        IPV6_ROUTING: bool = Key::new("ipv6.routing").default("true").live(),
    ]
}

keys! {
    /// `maas.*`
    MAAS = [
        /// MAAS IPv4 subnet to register instances in (when using the `network` property on a NIC).
        MAAS_V4: String = Key::new("maas.subnet.ipv4").live().not_yet().since("maas_network"),
        /// MAAS IPv6 subnet to register instances in (when using the `network` property on a NIC).
        MAAS_V6: String = Key::new("maas.subnet.ipv6").live().not_yet().since("maas_network"),
    ]
}

keys! {
    /// `raw.*`
    RAW = [
        /// Additional dnsmasq configuration to append to the configuration file.
        RAW_DNSMASQ: Blob = Key::new("raw.dnsmasq").check(checks::raw_lines).live(),
    ]
}

keys! {
    /// `tunnel.*`
    TUNNEL = [
        /// Multicast address for vxlan (used if local and remote aren't set).
        TUNNEL_GROUP: String = Key::new("tunnel.<name>.group").check(checks::ip).live(),
        /// Specific tunnel ID to use for the vxlan tunnel.
        TUNNEL_ID: i64 = Key::new("tunnel.<name>.id").check(checks::vxlan_id).live(),
        /// Specific host interface to use for the tunnel.
        TUNNEL_INTERFACE: String = Key::new("tunnel.<name>.interface").check(crate::name::check_interface).live().since("network_vxlan_interface"),
        /// Local address for the tunnel (not necessary for multicast vxlan).
        TUNNEL_LOCAL: String = Key::new("tunnel.<name>.local").check(checks::ip).live(),
        /// Specific port to use for the vxlan tunnel.
        TUNNEL_PORT: String = Key::new("tunnel.<name>.port").check(checks::port).live(),
        /// Tunneling protocol ("vxlan" or "gre").
        TUNNEL_PROTOCOL: String = Key::new("tunnel.<name>.protocol").one_of(&["gre", "vxlan"]).live(),
        /// Remote address for the tunnel (not necessary for multicast vxlan).
        TUNNEL_REMOTE: String = Key::new("tunnel.<name>.remote").check(checks::ip).live(),
        /// Specific TTL to use for multicast routing topologies.
        TUNNEL_TTL: String = Key::new("tunnel.<name>.ttl").check(checks::byte).live().since("network_vxlan_ttl"),
    ]
}

keys! {
    /// `security.*`
    ACLS = [
        /// Comma-separated list of Network ACLs to apply to NICs connected to this network.
        ACL_LIST: String = Key::new("security.acls").live().since("network_bridge_acl"),
        /// Action to use for ingress traffic that doesn't match any ACL rule.
        ACL_INGRESS: String = Key::new("security.acls.default.ingress.action").one_of(&["allow", "drop", "reject"]).live(),
        /// Action to use for egress traffic that doesn't match any ACL rule.
        ACL_EGRESS: String = Key::new("security.acls.default.egress.action").one_of(&["allow", "drop", "reject"]).live(),
        /// Whether to log ingress traffic that doesn't match any ACL rule.
        ACL_INGRESS_LOG: bool = Key::new("security.acls.default.ingress.logged").live(),
        /// Whether to log egress traffic that doesn't match any ACL rule.
        ACL_EGRESS_LOG: bool = Key::new("security.acls.default.egress.logged").live(),
    ]
}

keys! {
    /// `bgp.*`
    BGP = [
        /// Peer address of a BGP peer.
        BGP_ADDRESS: String = Key::new("bgp.peers.<name>.address").check(checks::ip).live().not_yet().since("network_bgp"),
        /// AS number of a BGP peer.
        BGP_ASN: i64 = Key::new("bgp.peers.<name>.asn").live().not_yet().since("network_bgp"),
        /// Password of a BGP peer.
        BGP_PASSWORD: String = Key::new("bgp.peers.<name>.password").live().not_yet().since("network_bgp"),
        /// Override of the IPv4 next hop.
        BGP_V4: String = Key::new("bgp.ipv4.nexthop").check(checks::ipv4).live().not_yet().since("network_bgp"),
        /// Override of the IPv6 next hop.
        BGP_V6: String = Key::new("bgp.ipv6.nexthop").check(checks::ipv6).live().not_yet().since("network_bgp"),
    ]
}

keys! {
    /// `user.*`
    USER = [
        /// Free-form key and value storage.
        USER_ANY: Blob = Key::new("user.*").passive(),
    ]
}
