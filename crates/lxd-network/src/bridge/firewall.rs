//! Firewall rules of a bridge: the text for one `nft -f -`, which the kernel applies as a whole or not at all.
//!
//! All rules are in the table `inet lxd`, in up to four chains per network (`pstrt.NAME`, `fwd.NAME`, `in.NAME`,
//! `out.NAME`). Tables of others are never touched.

use std::fmt::Write as _;

use super::spec::{BridgeSpec, Family, Nat};

/// Beginnings of the names of a network's chains, with the hook of each.
const CHAINS: &[(&str, &str)] = &[
    ("pstrt", "type nat hook postrouting priority 100; policy accept;"),
    ("fwd", "type filter hook forward priority 0; policy accept;"),
    ("in", "type filter hook input priority 0; policy accept;"),
    ("out", "type filter hook output priority 0; policy accept;"),
];

const ICMP4: &str = "{ 3, 11, 12 }";
const ICMP6_IN: &str = "{ 1, 2, 3, 4, 133, 135, 136, 143 }";
const ICMP6_OUT: &str = "{ 1, 2, 3, 4, 128, 134, 135, 136, 143 }";

/// The script that removes what is there of the network and adds what shall be there.
pub fn replace(spec: &BridgeSpec) -> String {
    let name = spec.name.as_str();
    let mut script = remove(name);
    for ((chain, hook), rules) in CHAINS.iter().zip(rules(spec)) {
        if !rules.is_empty() {
            let _ = writeln!(script, "add chain inet lxd {chain}.{name} {{ {hook} }}");
            for rule in rules {
                let _ = writeln!(script, "add rule inet lxd {chain}.{name} {rule}");
            }
        }
    }
    script
}

/// The script that removes all chains of the network, whether they are there or not.
pub fn remove(name: &str) -> String {
    let mut script = "add table inet lxd\n".to_owned();
    for (chain, hook) in CHAINS {
        // Adding first makes the deletion succeed in any case.
        let _ = writeln!(script, "add chain inet lxd {chain}.{name} {{ {hook} }}");
        let _ = writeln!(script, "flush chain inet lxd {chain}.{name}");
        let _ = writeln!(script, "delete chain inet lxd {chain}.{name}");
    }
    script
}

/// Rules of each chain, in the order of [`CHAINS`].
fn rules(spec: &BridgeSpec) -> [Vec<String>; 4] {
    let name = spec.name.as_str();
    [
        translation(spec),
        forwarding(spec, name),
        services(spec, name, Side::In),
        services(spec, name, Side::Out),
    ]
}

fn translation(spec: &BridgeSpec) -> Vec<String> {
    let mut rules = Vec::new();
    if let Some(ipv4) = &spec.ipv4 {
        rules.extend(nat_rule("ip", &ipv4.cidr.subnet().to_string(), &ipv4.family));
    }
    if let Some(ipv6) = &spec.ipv6 {
        rules.extend(nat_rule("ip6", &ipv6.cidr.subnet().to_string(), &ipv6.family));
    }
    rules
}

fn nat_rule<A: ToString>(ip: &str, subnet: &str, family: &Family<A>) -> Option<String> {
    let action = match family.nat.as_ref()? {
        Nat::Masquerade => "masquerade".to_owned(),
        Nat::To(address) => format!("snat {ip} to {}", address.to_string()),
    };
    Some(format!("{ip} saddr {subnet} {ip} daddr != {subnet} {action}"))
}

fn forwarding(spec: &BridgeSpec, name: &str) -> Vec<String> {
    let mut rules = Vec::new();
    let mut family = |on: bool, version: &str, routing: bool, reject: &str| {
        let verdict = if routing { "accept" } else { reject };
        if on {
            rules.push(format!("{version} oifname \"{name}\" {verdict}"));
            rules.push(format!("{version} iifname \"{name}\" {verdict}"));
        }
    };
    if let Some(ipv4) = &spec.ipv4 {
        let on = ipv4.family.firewall;
        family(on, "ip version 4", ipv4.family.routing, "reject with icmp type port-unreachable");
    }
    if let Some(ipv6) = &spec.ipv6 {
        let on = ipv6.family.firewall;
        family(on, "ip6 version 6", ipv6.family.routing, "reject with icmpv6 type port-unreachable");
    }
    rules
}

#[derive(Clone, Copy)]
enum Side {
    In,
    Out,
}

/// Rules that let clients reach the DHCP and DNS service.
fn services(spec: &BridgeSpec, name: &str, side: Side) -> Vec<String> {
    let ipv4 = spec.ipv4.as_ref().map(|ipv4| &ipv4.family).filter(|family| family.firewall);
    let ipv6 = spec.ipv6.as_ref().map(|ipv6| &ipv6.family).filter(|family| family.firewall);
    if ipv4.is_none() && ipv6.is_none() {
        return Vec::new();
    }
    let (interface, port, icmp6) = match side {
        Side::In => ("iifname", "dport", ICMP6_IN),
        Side::Out => ("oifname", "sport", ICMP6_OUT),
    };
    let mut rules = vec![format!("tcp {port} 53 accept"), format!("udp {port} 53 accept")];
    if ipv4.is_some_and(|family| family.dhcp) {
        rules.push(format!("icmp type {ICMP4} accept"));
        rules.push(format!("udp {port} 67 accept"));
    }
    if ipv6.is_some_and(|family| family.dhcp) {
        rules.push(format!("icmpv6 type {icmp6} accept"));
        rules.push(format!("udp {port} 547 accept"));
    }
    rules.into_iter().map(|rule| format!("{interface} \"{name}\" {rule}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::testing::spec;

    fn added(script: &str) -> Vec<&str> {
        script.lines().filter(|line| line.starts_with("add rule")).collect()
    }

    #[test]
    fn both_families() {
        let script = replace(&spec(&[
            ("ipv4.address", "10.77.0.1/24"),
            ("ipv4.nat", "true"),
            ("ipv6.address", "fd77:1::1/64"),
            ("ipv6.nat", "true"),
        ]));
        insta::assert_snapshot!(script);
    }

    #[test]
    fn what_is_off_has_no_rules() {
        assert!(added(&replace(&spec(&[("ipv4.address", "none")]))).is_empty());
        let script = replace(&spec(&[
            ("ipv4.address", "10.77.0.1/24"),
            ("ipv4.firewall", "false"),
            ("ipv4.nat", "true"),
            ("ipv4.nat.address", "192.0.2.1"),
        ]));
        assert_eq!(
            added(&script),
            [
                "add rule inet lxd pstrt.br1 ip saddr 10.77.0.0/24 ip daddr != 10.77.0.0/24 snat ip to 192.0.2.1"
            ]
        );
        let script =
            replace(&spec(&[("ipv4.address", "10.77.0.1/24"), ("ipv4.routing", "no"), ("ipv4.dhcp", "off")]));
        assert_eq!(
            added(&script),
            [
                "add rule inet lxd fwd.br1 ip version 4 oifname \"br1\" reject with icmp type port-unreachable",
                "add rule inet lxd fwd.br1 ip version 4 iifname \"br1\" reject with icmp type port-unreachable",
                "add rule inet lxd in.br1 iifname \"br1\" tcp dport 53 accept",
                "add rule inet lxd in.br1 iifname \"br1\" udp dport 53 accept",
                "add rule inet lxd out.br1 oifname \"br1\" tcp sport 53 accept",
                "add rule inet lxd out.br1 oifname \"br1\" udp sport 53 accept",
            ]
        );
    }
}
