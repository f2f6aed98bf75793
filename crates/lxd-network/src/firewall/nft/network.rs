//! Rules of a bridge, in the table `inet lxd`: address translation, forwarding, its services and its ACLs. Pure.

use lxd_types::names::NetworkName;

use super::{Chain, Script, acl};
use crate::bridge::spec::{BridgeSpec, Family, Nat};
use crate::firewall::network_label;

const CHAINS: [Chain; 7] = [
    Chain { family: "inet", start: "pstrt", hook: "type nat hook postrouting priority 100; policy accept;" },
    Chain { family: "inet", start: "fwd", hook: "type filter hook forward priority 0; policy accept;" },
    Chain { family: "inet", start: "in", hook: "type filter hook input priority 0; policy accept;" },
    Chain { family: "inet", start: "out", hook: "type filter hook output priority 0; policy accept;" },
    Chain {
        family: "inet",
        start: "fwdprert",
        hook: "type nat hook prerouting priority -100; policy accept;",
    },
    Chain { family: "inet", start: "fwdout", hook: "type nat hook output priority -100; policy accept;" },
    Chain {
        family: "inet",
        start: "fwdpstrt",
        hook: "type nat hook postrouting priority 100; policy accept;",
    },
];

/// Types of ICMP that always pass.
pub(super) const ICMP4: &str = "{ 3, 11, 12 }";
const ICMP6_IN: &str = "{ 1, 2, 3, 4, 133, 135, 136, 143 }";
const ICMP6_OUT: &str = "{ 1, 2, 3, 4, 128, 134, 135, 136, 143 }";

/// Replaces what is there of a network by what shall be there.
pub fn replace(script: &mut Script, spec: &BridgeSpec) {
    remove(script, &spec.name);
    let label = network_label(&spec.name);
    if let Some(acls) = &spec.acls {
        acl::add(script, &label, spec.name.as_str(), acls);
    }
    for (chain, rules) in CHAINS.into_iter().zip(rules(spec)) {
        script.add(chain, &label, &rules);
    }
}

/// Removes all chains of a network, whether they are there or not.
pub fn remove(script: &mut Script, name: &NetworkName) {
    let label = network_label(name);
    acl::remove(script, &label);
    script.remove(&CHAINS, &label);
}

/// Rules of each chain, in the order of [`CHAINS`].
fn rules(spec: &BridgeSpec) -> [Vec<String>; 7] {
    let name = spec.name.as_str();
    let (there, back) = crate::bridge::forwards::rules(&spec.forwards);
    [
        translation(spec),
        forwarding(spec, name),
        services(spec, name, Side::In),
        services(spec, name, Side::Out),
        there.clone(),
        there,
        back,
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
pub(super) enum Side {
    In,
    Out,
}

impl Side {
    /// The expression for the bridge's interface and for the service's port, and the types of ICMPv6 that pass.
    pub(super) fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::In => ("iifname", "dport", ICMP6_IN),
            Self::Out => ("oifname", "sport", ICMP6_OUT),
        }
    }
}

/// Rules that let clients reach the DHCP and DNS service.
fn services(spec: &BridgeSpec, name: &str, side: Side) -> Vec<String> {
    let ipv4 = spec.ipv4.as_ref().map(|ipv4| &ipv4.family).filter(|family| family.firewall);
    let ipv6 = spec.ipv6.as_ref().map(|ipv6| &ipv6.family).filter(|family| family.firewall);
    if ipv4.is_none() && ipv6.is_none() {
        return Vec::new();
    }
    let (interface, port, icmp6) = side.words();
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

    fn text(spec: &BridgeSpec) -> String {
        let mut script = Script::default();
        replace(&mut script, spec);
        script.text().to_owned()
    }

    fn added(script: &str) -> Vec<&str> {
        script.lines().filter(|line| line.starts_with("add rule")).collect()
    }

    #[test]
    fn both_families() {
        let script = text(&spec(&[
            ("ipv4.address", "10.77.0.1/24"),
            ("ipv4.nat", "true"),
            ("ipv6.address", "fd77:1::1/64"),
            ("ipv6.nat", "true"),
        ]));
        insta::assert_snapshot!(script);
    }

    #[test]
    fn a_network_called_like_a_device_has_chains_of_its_own() {
        let spec = BridgeSpec { name: "c1.px".parse().unwrap(), ..spec(&[("ipv4.address", "10.77.0.1/24")]) };
        let script = text(&spec);
        assert!(script.contains(" fwd.c1/px ") && !script.contains(".c1.px"), "{script}");
        assert!(script.contains("oifname \"c1.px\" accept"), "{script}");
    }

    #[test]
    fn what_is_off_has_no_rules() {
        assert!(added(&text(&spec(&[("ipv4.address", "none")]))).is_empty());
        let script = text(&spec(&[
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
            text(&spec(&[("ipv4.address", "10.77.0.1/24"), ("ipv4.routing", "no"), ("ipv4.dhcp", "off")]));
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
