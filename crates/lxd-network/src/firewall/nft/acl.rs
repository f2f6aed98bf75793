//! Rules of the ACLs of a bridge: three chains at the hooks, and one with the rules that they share. Pure.

use super::network::{ICMP4, Side};
use super::{Chain, Script};
use crate::acl::{Action, BridgeAcls, Direction, Protocol, Rule, Subject};

const IN: Chain =
    Chain { family: "inet", start: "aclin", hook: "type filter hook input priority 0; policy accept;" };
const OUT: Chain =
    Chain { family: "inet", start: "aclout", hook: "type filter hook output priority 0; policy accept;" };
const FORWARD: Chain =
    Chain { family: "inet", start: "aclfwd", hook: "type filter hook forward priority 0; policy accept;" };
/// The rules themselves. Removed last: a chain that others jump to stays.
const RULES: Chain = Chain { family: "inet", start: "acl", hook: "" };

/// Adds the chains of a bridge's ACLs.
pub fn add(script: &mut Script, label: &str, bridge: &str, acls: &BridgeAcls) {
    let mut rules = vec!["ct state established,related accept".to_owned()];
    rules.extend(acls.rules.iter().map(|rule| text(bridge, rule)));
    for (interface, rest) in [("iifname", &acls.egress), ("oifname", &acls.ingress)] {
        rules.push(format!(
            "{interface} \"{bridge}\"{}{}",
            logged(rest.log.as_ref()),
            verdict(rest.action, None)
        ));
    }
    script.add(RULES, label, &rules);
    script.add(IN, label, &services(label, bridge, Side::In));
    script.add(OUT, label, &services(label, bridge, Side::Out));
    let jump = |interface: &str| format!("{interface} \"{bridge}\" jump acl.{label}");
    script.add(FORWARD, label, &[jump("iifname"), jump("oifname")]);
}

/// Removes the chains of a bridge's ACLs, whether they are there or not.
pub fn remove(script: &mut Script, label: &str) {
    script.remove(&[IN, OUT, FORWARD, RULES], label);
}

/// What passes whatever the rules say, so that instances get addresses and names; then the rules.
fn services(label: &str, bridge: &str, side: Side) -> Vec<String> {
    let (interface, port, icmp6) = side.words();
    let mut rules = match side {
        Side::In => vec!["tcp dport 53 accept".to_owned(), "udp dport 53 accept".to_owned()],
        Side::Out => Vec::new(),
    };
    rules.extend([67, 547].map(|number| format!("udp {port} {number} accept")));
    rules.push(format!("icmp type {ICMP4} accept"));
    rules.push(format!("icmpv6 type {icmp6} accept"));
    rules.push(format!("jump acl.{label}"));
    rules.into_iter().map(|rule| format!("{interface} \"{bridge}\" {rule}")).collect()
}

fn text(bridge: &str, rule: &Rule) -> String {
    let interface = match rule.direction {
        Direction::Ingress => "oifname",
        Direction::Egress => "iifname",
    };
    let mut text = format!("{interface} \"{bridge}\"");
    let ip = if rule.ipv4 == Some(false) { "ip6" } else { "ip" };
    for (word, list) in [("saddr", &rule.sources), ("daddr", &rule.destinations)] {
        if !list.is_empty() {
            text.push_str(&format!(" {ip} {word} {}", set(list.iter().map(Subject::to_string))));
        }
    }
    if let Some(protocol) = &rule.protocol {
        text.push_str(&of_protocol(protocol));
    }
    text + &logged(rule.log.as_ref()) + &verdict(rule.action, rule.ipv4)
}

fn of_protocol(protocol: &Protocol) -> String {
    match protocol {
        Protocol::Ports { name, source, destination } => {
            let mut text = format!(" meta l4proto {name}");
            for (word, list) in [("sport", source), ("dport", destination)] {
                if !list.is_empty() {
                    let one = |(first, last): &(u16, u16)| match first == last {
                        true => first.to_string(),
                        false => format!("{first}-{last}"),
                    };
                    text.push_str(&format!(" th {word} {}", set(list.iter().map(one))));
                }
            }
            text
        }
        Protocol::Icmp { v6, kind, code } => {
            // Not `ip6 nexthdr`: an extension header would hide the protocol from a rule that forbids it.
            let (mut text, word) = match v6 {
                false => (" ip protocol icmp".to_owned(), "icmp"),
                true => (" meta nfproto ipv6 meta l4proto ipv6-icmp".to_owned(), "icmpv6"),
            };
            for (part, value) in [("type", kind), ("code", code)] {
                if let Some(value) = value {
                    text.push_str(&format!(" {word} {part} {value}"));
                }
            }
            text
        }
    }
}

/// One item as it is, several as a set.
fn set(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [one] => one.clone(),
        _ => format!("{{ {} }}", items.join(", ")),
    }
}

fn logged(prefix: Option<&String>) -> String {
    prefix.map(|prefix| format!(" log prefix \"{prefix}\"")).unwrap_or_default()
}

fn verdict(action: Action, ipv4: Option<bool>) -> String {
    let word = match (action, ipv4) {
        (Action::Allow, _) => " accept",
        (Action::Drop, _) => " drop",
        (Action::Reject, None) => " reject",
        (Action::Reject, Some(true)) => " reject with icmp type port-unreachable",
        (Action::Reject, Some(false)) => " reject with icmpv6 type port-unreachable",
    };
    word.to_owned()
}
