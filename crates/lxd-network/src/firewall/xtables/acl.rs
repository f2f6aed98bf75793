//! Rules of the ACLs of a bridge: one chain, to which the host's chains lead. Pure.

use lxd_types::Result;

use super::Both;
use super::network::{ICMP4, ICMP6_IN, ICMP6_OUT, icmp};
use super::rules::{Owner, Place, Rules, quoted};
use crate::acl::{Action, BridgeAcls, Direction, Protocol, Rule, Subject};

/// As many ports as one match takes; a range counts twice.
const PORTS: usize = 15;

/// As long as the beginning of a line in the kernel's log may be.
const PREFIX: usize = 29;

/// The chain of a bridge's ACLs.
pub fn chain(bridge: &str) -> String {
    format!("lxd_acl_{bridge}")
}

/// Adds the rules of a bridge's ACLs.
///
/// # Errors
/// A word cannot be written.
pub fn add(both: &mut Both, owner: &Owner, bridge: &str, acls: &BridgeAcls) -> Result<()> {
    for ipv4 in [true, false] {
        let rules = both.of(ipv4);
        lead(rules, owner, bridge, ipv4)?;
        fill(rules, bridge, ipv4, acls)?;
    }
    Ok(())
}

/// What passes whatever the rules say, so that instances get addresses and names; then the rules.
fn lead(rules: &mut Rules, owner: &Owner, bridge: &str, ipv4: bool) -> Result<()> {
    let jump = format!("-j {}", chain(bridge));
    let dhcp = if ipv4 { 67 } else { 547 };
    for (hook, side, port, icmp6) in
        [("INPUT", "-i", "--dport", ICMP6_IN), ("OUTPUT", "-o", "--sport", ICMP6_OUT)]
    {
        let mut add = |words: &str| {
            rules.add(owner, ("filter", hook, Place::First), &format!("{side} {bridge} {words}"))
        };
        if hook == "INPUT" {
            add("-p tcp -m tcp --dport 53 -j ACCEPT")?;
            add("-p udp -m udp --dport 53 -j ACCEPT")?;
        }
        add(&format!("-p udp -m udp {port} {dhcp} -j ACCEPT"))?;
        for words in icmp(ipv4, if ipv4 { ICMP4 } else { icmp6 }) {
            add(&format!("{words} -j ACCEPT"))?;
        }
        add(&jump)?;
    }
    for side in ["-i", "-o"] {
        rules.add(owner, ("filter", "FORWARD", Place::First), &format!("{side} {bridge} {jump}"))?;
    }
    Ok(())
}

fn fill(rules: &mut Rules, bridge: &str, ipv4: bool, acls: &BridgeAcls) -> Result<()> {
    let name = chain(bridge);
    rules.own(&name, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".to_owned());
    for rule in acls.rules.iter().filter(|rule| rule.ipv4.is_none_or(|of| of == ipv4)) {
        for matched in matches(bridge, rule) {
            end(rules, &name, &matched, (rule.action, ipv4), rule.log.as_ref())?;
        }
    }
    for (side, rest) in [("-i", &acls.egress), ("-o", &acls.ingress)] {
        end(rules, &name, &format!("{side} {bridge}"), (rest.action, ipv4), rest.log.as_ref())?;
    }
    Ok(())
}

/// A rule's last part: the line in the log, and what happens.
fn end(
    rules: &mut Rules,
    chain: &str,
    matched: &str,
    (action, ipv4): (Action, bool),
    log: Option<&String>,
) -> Result<()> {
    if let Some(prefix) = log {
        let prefix: String = prefix.chars().take(PREFIX).collect();
        rules.own(chain, format!("{matched} -j LOG --log-prefix {}", quoted(&prefix)?));
    }
    let verdict = match (action, ipv4) {
        (Action::Allow, _) => "ACCEPT",
        (Action::Drop, _) => "DROP",
        (Action::Reject, true) => "REJECT --reject-with icmp-port-unreachable",
        (Action::Reject, false) => "REJECT --reject-with icmp6-port-unreachable",
    };
    rules.own(chain, format!("{matched} -j {verdict}"));
    Ok(())
}

/// What a rule is about, as the fewest matches: each combination of sender, receiver and ports.
fn matches(bridge: &str, rule: &Rule) -> Vec<String> {
    let side = match rule.direction {
        Direction::Ingress => "-o",
        Direction::Egress => "-i",
    };
    let mut all = vec![format!("{side} {bridge}")];
    let subjects = |list: &[Subject], net: &str, range: &str| -> Vec<String> {
        list.iter()
            .map(|subject| match subject {
                Subject::Range(..) => format!(" -m iprange {range} {subject}"),
                Subject::Net(_) | Subject::Named(_) => format!(" {net} {subject}"),
            })
            .collect()
    };
    combine(&mut all, &subjects(&rule.sources, "-s", "--src-range"));
    combine(&mut all, &subjects(&rule.destinations, "-d", "--dst-range"));
    match &rule.protocol {
        None => {}
        Some(Protocol::Icmp { v6, kind, code }) => {
            let (name, option) =
                if *v6 { ("ipv6-icmp", "icmp6 --icmpv6-type") } else { ("icmp", "icmp --icmp-type") };
            let text = match (kind, code) {
                (None, _) => format!(" -p {name}"),
                (Some(kind), None) => format!(" -p {name} -m {option} {kind}"),
                (Some(kind), Some(code)) => format!(" -p {name} -m {option} {kind}/{code}"),
            };
            combine(&mut all, &[text]);
        }
        Some(Protocol::Ports { name, source, destination }) => {
            combine(&mut all, &[format!(" -p {name}")]);
            combine(&mut all, &ports(source, "--sports"));
            combine(&mut all, &ports(destination, "--dports"));
        }
    }
    all
}

fn combine(all: &mut Vec<String>, parts: &[String]) {
    if !parts.is_empty() {
        *all = all.iter().flat_map(|one| parts.iter().map(move |part| format!("{one}{part}"))).collect();
    }
}

/// Matches of ports, each with no more than it takes.
fn ports(list: &[(u16, u16)], option: &str) -> Vec<String> {
    let (mut matches, mut open, mut used) = (Vec::new(), Vec::new(), 0);
    let text = |open: &[String]| format!(" -m multiport {option} {}", open.join(","));
    for (first, last) in list {
        let slots = if first == last { 1 } else { 2 };
        if used + slots > PORTS {
            matches.push(text(&open));
            (open, used) = (Vec::new(), 0);
        }
        open.push(if first == last { first.to_string() } else { format!("{first}:{last}") });
        used += slots;
    }
    if !open.is_empty() {
        matches.push(text(&open));
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_a_rule() {
        let rule = Rule {
            direction: Direction::Egress,
            ipv4: Some(true),
            sources: vec![
                Subject::Net("10.0.0.0/24".parse().unwrap()),
                Subject::Range("10.1.0.1".parse().unwrap(), "10.1.0.9".parse().unwrap()),
            ],
            destinations: vec![Subject::Net("192.0.2.1/32".parse().unwrap())],
            protocol: Some(Protocol::Ports {
                name: "tcp",
                source: vec![],
                destination: vec![(80, 80), (90, 99)],
            }),
            action: Action::Drop,
            log: None,
        };
        assert_eq!(
            matches("br1", &rule),
            [
                "-i br1 -s 10.0.0.0/24 -d 192.0.2.1 -p tcp -m multiport --dports 80,90:99",
                "-i br1 -m iprange --src-range 10.1.0.1-10.1.0.9 -d 192.0.2.1 -p tcp -m multiport --dports 80,90:99",
            ]
        );
        let icmp = Protocol::Icmp { v6: true, kind: Some(128), code: Some(0) };
        let ping = Rule { sources: vec![], destinations: vec![], protocol: Some(icmp), ..rule };
        assert_eq!(matches("br1", &ping), ["-i br1 -p ipv6-icmp -m icmp6 --icmpv6-type 128/0"]);
    }

    #[test]
    fn long_lists_of_ports_are_split() {
        let single: Vec<(u16, u16)> = (1..=16).map(|port| (port, port)).collect();
        assert_eq!(ports(&single, "--dports").len(), 2);
        let ranges: Vec<(u16, u16)> = (1..=8).map(|n| (n * 10, n * 10 + 1)).collect();
        assert_eq!(ports(&ranges, "--dports")[1], " -m multiport --dports 80:81");
        assert!(ports(&[], "--dports").is_empty());
    }
}
