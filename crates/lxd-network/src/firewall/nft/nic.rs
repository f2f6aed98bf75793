//! Filters of interfaces: what an instance may send with which addresses. Pure.
//!
//! The order matters: what is allowed stands behind what is forbidden to everybody and before what is forbidden else.
//! Neighbour discovery is judged before IPv6 in general, so that an allowed source address does not let an advertisement
//! of another's address pass.

use lxd_types::{Cidr, Mac};

use super::{Chain, Script};
use crate::firewall::PortFilter;

const INPUT: Chain =
    Chain { family: "bridge", start: "in", hook: "type filter hook input priority -200; policy accept;" };
const FORWARD: Chain =
    Chain { family: "bridge", start: "fwd", hook: "type filter hook forward priority -200; policy accept;" };
const RAW: Chain = Chain {
    family: "inet",
    start: "prert",
    hook: "type filter hook prerouting priority -300; policy accept;",
};

/// Replaces the filter of a port.
pub fn replace_port(script: &mut Script, label: &str, filter: &PortFilter) {
    remove_port(script, label);
    script.add(INPUT, label, &rules(filter, true));
    script.add(FORWARD, label, &rules(filter, false));
}

/// Removes the filter of a port.
pub fn remove_port(script: &mut Script, label: &str) {
    script.remove(&[INPUT, FORWARD], label);
}

/// Lets a routed interface send only from addresses that are routed to it.
pub fn replace_routed(script: &mut Script, label: &str, interface: &str) {
    remove_routed(script, label);
    script.add(RAW, label, &[format!("iif \"{interface}\" fib saddr . iif oif missing drop")]);
}

/// Removes the filter of a routed interface.
pub fn remove_routed(script: &mut Script, label: &str) {
    script.remove(&[RAW], label);
}

/// Rules of a port towards the host itself (`to_host`), where it may ask for addresses, or towards other ports.
fn rules(filter: &PortFilter, to_host: bool) -> Vec<String> {
    let mut rules = mac_rules(filter.mac);
    if let Some(allowed) = &filter.ipv4 {
        rules.extend(ipv4_rules(allowed, to_host));
    }
    if let Some(allowed) = &filter.ipv6 {
        rules.extend(ipv6_rules(allowed, to_host));
    }
    if filter.ipv4.is_some() || filter.ipv6.is_some() {
        // Frames with a VLAN tag and everything else that is not understood here.
        rules.push("ether type != { ip, arp, ip6 } drop".to_owned());
    }
    rules.into_iter().map(|rule| format!("iifname \"{}\" {rule}", filter.interface)).collect()
}

fn mac_rules(mac: Mac) -> Vec<String> {
    let number: String = mac.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        format!("ether saddr != {mac} drop"),
        format!("arp saddr ether != {mac} drop"),
        // Extension headers would move the option that is looked at below.
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 nexthdr != icmpv6 drop".to_owned(),
        format!("icmpv6 type nd-neighbor-advert @nh,528,48 != 0x{number} drop"),
        format!("icmpv6 type nd-neighbor-solicit @nh,512,8 1 @nh,528,48 != 0x{number} drop"),
    ]
}

fn ipv4_rules(allowed: &[Cidr], to_host: bool) -> Vec<String> {
    let mut rules = Vec::new();
    if to_host && !allowed.is_empty() {
        rules.push("ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp dport 67 accept".to_owned());
    }
    for network in allowed {
        let network = plain(network);
        rules.push(format!("arp saddr ip {network} accept"));
        rules.push(format!("ip saddr {network} accept"));
    }
    rules.extend(["ether type arp drop", "ether type ip drop"].map(str::to_owned));
    rules
}

fn ipv6_rules(allowed: &[Cidr], to_host: bool) -> Vec<String> {
    let mut rules = Vec::new();
    if to_host && !allowed.is_empty() {
        rules.push("ip6 saddr fe80::/10 ip6 daddr ff02::1:2 udp dport 547 accept".to_owned());
        rules.push("ip6 saddr fe80::/10 ip6 daddr ff02::2 icmpv6 type nd-router-solicit accept".to_owned());
    }
    rules.push("icmpv6 type { nd-router-advert, nd-redirect } drop".to_owned());
    rules.extend(
        allowed
            .iter()
            .map(|network| format!("icmpv6 type nd-neighbor-advert {} accept", target_is_in(network))),
    );
    rules.push("icmpv6 type nd-neighbor-advert drop".to_owned());
    rules.extend(allowed.iter().map(|network| format!("ip6 saddr {} accept", plain(network))));
    rules.push("ether type ip6 drop".to_owned());
    rules
}

/// A network without a prefix that says nothing.
fn plain(network: &Cidr) -> String {
    let whole = if network.address().is_ipv4() { 32 } else { 128 };
    if network.prefix() == whole { network.address().to_string() } else { network.subnet().to_string() }
}

/// The comparison of the address that a neighbour advertisement speaks for with a network.
fn target_is_in(network: &Cidr) -> String {
    let bytes = match network.subnet().address() {
        std::net::IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(address) => address.octets(),
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let prefix = network.prefix();
    if prefix > 0 && prefix.is_multiple_of(8) {
        return format!("@nh,384,{prefix} 0x{}", hex(&bytes[..usize::from(prefix / 8)]));
    }
    let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0).to_be_bytes();
    format!("@nh,384,128 & 0x{} == 0x{}", hex(&mask), hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::testing::filter;

    #[test]
    fn all_filters() {
        let filter = filter(
            Some(&["10.9.0.20/32", "198.51.100.0/24"]),
            Some(&["fd09::20/128", "fd55::/64", "fd66::/61"]),
        );
        let rules = rules(&filter, true);
        let place = |text: &str| rules.iter().position(|rule| rule.ends_with(text)).expect(text);
        let order = [
            "ether saddr != 00:16:3e:11:22:33 drop",
            "udp dport 67 accept",
            "arp saddr ip 10.9.0.20 accept",
            "ip saddr 198.51.100.0/24 accept",
            "ether type arp drop",
            "ether type ip drop",
            "icmpv6 type { nd-router-advert, nd-redirect } drop",
            "icmpv6 type nd-neighbor-advert @nh,384,128 0xfd090000000000000000000000000020 accept",
            "icmpv6 type nd-neighbor-advert @nh,384,64 0xfd55000000000000 accept",
            "icmpv6 type nd-neighbor-advert @nh,384,128 & 0xfffffffffffffff80000000000000000 == \
             0xfd660000000000000000000000000000 accept",
            "icmpv6 type nd-neighbor-advert drop",
            "ip6 saddr fd09::20 accept",
            "ip6 saddr fd55::/64 accept",
            "ether type ip6 drop",
            "ether type != { ip, arp, ip6 } drop",
        ];
        assert!(order.map(place).is_sorted(), "{rules:?}");
        // Towards other ports nothing is asked for by DHCP.
        let mut script = Script::default();
        replace_port(&mut script, "c1.e0", &filter);
        let text = script.text();
        assert!(!text.lines().any(|line| line.contains(" fwd.c1.e0 ") && line.contains("dport")));
    }

    #[test]
    fn nothing_allowed_means_nothing_passes() {
        let rules = rules(&filter(Some(&[]), Some(&[])), true);
        assert!(rules.iter().all(|rule| rule.ends_with("drop")), "{rules:?}");
        let end: Vec<&str> =
            rules.iter().rev().take(6).map(|rule| rule.trim_start_matches("iifname \"v0\" ")).collect();
        assert_eq!(
            end,
            [
                "ether type != { ip, arp, ip6 } drop",
                "ether type ip6 drop",
                "icmpv6 type nd-neighbor-advert drop",
                "icmpv6 type { nd-router-advert, nd-redirect } drop",
                "ether type ip drop",
                "ether type arp drop",
            ]
        );
    }

    #[test]
    fn the_hardware_address_alone() {
        let rules = rules(&filter(None, None), false);
        assert_eq!(rules.len(), 5);
        assert_eq!(rules[0], "iifname \"v0\" ether saddr != 00:16:3e:11:22:33 drop");
        assert_eq!(
            rules[3],
            "iifname \"v0\" icmpv6 type nd-neighbor-advert @nh,528,48 != 0x00163e112233 drop"
        );
    }
}
