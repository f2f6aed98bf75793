//! Forwarding of ports to an instance by address translation (proxy devices with `nat=true`). Pure.

use std::net::IpAddr;

use super::{Chain, Script};
use crate::firewall::Forward;

const PREROUTING: Chain =
    Chain { family: "inet", start: "prert", hook: "type nat hook prerouting priority -100; policy accept;" };
const OUTPUT: Chain =
    Chain { family: "inet", start: "out", hook: "type nat hook output priority -100; policy accept;" };
const POSTROUTING: Chain =
    Chain { family: "inet", start: "pstrt", hook: "type nat hook postrouting priority 100; policy accept;" };

/// Replaces the forwarding of a label.
pub fn replace(script: &mut Script, label: &str, forward: &Forward) {
    let Forward { protocol, listen, connect, ports } = forward;
    let (ip, target) = match connect {
        IpAddr::V4(address) => ("ip", address.to_string()),
        IpAddr::V6(address) => ("ip6", format!("[{address}]")),
    };
    let lead = |(from, to): &(u16, u16)| {
        format!("{ip} daddr {listen} {protocol} dport {from} dnat {ip} to {target}:{to}")
    };
    let lead: Vec<String> = ports.iter().map(lead).collect();
    // The instance's own packets to itself must come back by way of the host.
    let mut targets: Vec<u16> = ports.iter().map(|(_, to)| *to).collect();
    targets.sort_unstable();
    targets.dedup();
    let hairpin = targets
        .iter()
        .map(|to| format!("{ip} saddr {connect} {ip} daddr {connect} {protocol} dport {to} masquerade"));
    remove(script, label);
    script.add(PREROUTING, label, &lead);
    script.add(OUTPUT, label, &lead);
    script.add(POSTROUTING, label, &hairpin.collect::<Vec<_>>());
}

/// Removes the forwarding of a label.
pub fn remove(script: &mut Script, label: &str) {
    script.remove(&[PREROUTING, OUTPUT, POSTROUTING], label);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(forward: &Forward) -> Vec<String> {
        let mut script = Script::default();
        replace(&mut script, "c1.px", forward);
        script.text().lines().filter(|line| line.starts_with("add rule")).map(str::to_owned).collect()
    }

    #[test]
    fn rules_of_both_families() {
        let four = Forward {
            protocol: "tcp",
            listen: "10.9.0.1".parse().unwrap(),
            connect: "10.9.0.20".parse().unwrap(),
            ports: vec![(8080, 80)],
        };
        assert_eq!(
            added(&four),
            [
                "add rule inet lxd prert.c1.px ip daddr 10.9.0.1 tcp dport 8080 dnat ip to 10.9.0.20:80",
                "add rule inet lxd out.c1.px ip daddr 10.9.0.1 tcp dport 8080 dnat ip to 10.9.0.20:80",
                "add rule inet lxd pstrt.c1.px ip saddr 10.9.0.20 ip daddr 10.9.0.20 tcp dport 80 masquerade",
            ]
        );
        let six = Forward {
            protocol: "udp",
            listen: "fd09::1".parse().unwrap(),
            connect: "fd09::20".parse().unwrap(),
            ports: vec![(1, 80), (2, 80)],
        };
        let rules = added(&six);
        assert_eq!(rules.len(), 5);
        assert_eq!(
            rules[1],
            "add rule inet lxd prert.c1.px ip6 daddr fd09::1 udp dport 2 dnat ip6 to [fd09::20]:80"
        );
    }
}
