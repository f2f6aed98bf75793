//! What an ACL may hold, in the words of the reference. Pure.

use std::collections::BTreeSet;

use lxd_api::network_acl::NetworkAclRule;
use lxd_types::{Config, Error, Result};

use super::ports::ports;
use super::{Direction, Subject};

/// Rules as they are stored: no blanks around values and items of lists.
pub fn normalize(rules: &mut [NetworkAclRule]) {
    for rule in rules {
        for value in [
            &mut rule.action,
            &mut rule.protocol,
            &mut rule.icmp_type,
            &mut rule.icmp_code,
            &mut rule.description,
            &mut rule.state,
        ] {
            *value = value.trim().to_owned();
        }
        for list in
            [&mut rule.source, &mut rule.destination, &mut rule.source_port, &mut rule.destination_port]
        {
            *list = list.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        }
    }
}

/// Checks keys and normalized rules; `acls` are the names of the ACLs of the project, this one included when it is
/// there already.
///
/// # Errors
/// The first rule of ours that is broken. The reference answers these with the status of a failure of its own.
pub fn check(
    config: &Config,
    ingress: &[NetworkAclRule],
    egress: &[NetworkAclRule],
    acls: &BTreeSet<String>,
) -> Result<()> {
    if let Some(key) = config.keys().find(|key| !key.starts_with("user.")) {
        return Err(Error::internal(format!("Invalid config option {key:?}")));
    }
    for (direction, rules) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
        for (place, rule) in rules.iter().enumerate() {
            one(rule, direction, acls)
                .map_err(|why| Error::internal(format!("Invalid {direction} rule {place}: {why}")))?;
            if let Some(first) = rules[..place].iter().position(|other| other == rule) {
                return Err(Error::internal(format!("Duplicate of {direction} rule {first}")));
            }
        }
    }
    Ok(())
}

/// A refusal; the text is what the user reads.
type Checked = Result<(), String>;

fn one(rule: &NetworkAclRule, direction: Direction, acls: &BTreeSet<String>) -> Checked {
    word("Action", &rule.action, &["allow", "drop", "reject"])?;
    word("State", &rule.state, &["enabled", "disabled", "logged"])?;
    let source = families("Source", &rule.source, direction == Direction::Ingress, direction, acls)?;
    let target = families("Destination", &rule.destination, direction == Direction::Egress, direction, acls)?;
    if source.any() && target.any() && source != target {
        return Err("Conflicting IP family types used for Source and Destination".to_owned());
    }
    match rule.protocol.as_str() {
        "" => without_protocol(rule),
        "icmp4" | "icmp6" => icmp(rule, source, target),
        _ => {
            word("Protocol", &rule.protocol, &["icmp4", "icmp6", "tcp", "udp"])?;
            with_ports(rule)
        }
    }
}

fn word(what: &str, value: &str, words: &[&str]) -> Checked {
    match words.contains(&value) {
        true => Ok(()),
        false => Err(format!("{what} must be one of: {}", words.join(", "))),
    }
}

/// The families of addresses that a list holds.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
struct Families {
    ipv4: bool,
    ipv6: bool,
}

impl Families {
    fn any(self) -> bool {
        self.ipv4 || self.ipv6
    }
}

fn families(
    field: &str,
    list: &str,
    may_name: bool,
    direction: Direction,
    acls: &BTreeSet<String>,
) -> Result<Families, String> {
    let mut found = Families::default();
    for item in list.split(',').filter(|_| !list.is_empty()) {
        let subject =
            Subject::parse(item, acls).ok_or_else(|| format!("Invalid {field}: Invalid subject {item:?}"))?;
        match subject.is_ipv4() {
            Some(true) => found.ipv4 = true,
            Some(false) => found.ipv6 = true,
            None if may_name => {}
            None => {
                return Err(format!(
                    "Invalid {field}: Named subjects not allowed in {field:?} for \"{direction}\" rules"
                ));
            }
        }
    }
    Ok(found)
}

/// The fields that say what of a protocol is meant, in the order in which they are looked at.
fn details(rule: &NetworkAclRule) -> [(&'static str, &str); 4] {
    [
        ("ICMP type", &rule.icmp_type),
        ("ICMP code", &rule.icmp_code),
        ("Source port", &rule.source_port),
        ("Destination port", &rule.destination_port),
    ]
}

fn without_protocol(rule: &NetworkAclRule) -> Checked {
    match details(rule).iter().find(|(_, value)| !value.is_empty()) {
        Some((what, _)) => Err(format!("{what} cannot be used without specifying protocol")),
        None => Ok(()),
    }
}

fn icmp(rule: &NetworkAclRule, source: Families, target: Families) -> Checked {
    let protocol = &rule.protocol;
    if let Some((what, _)) = details(rule)[2..].iter().find(|(_, value)| !value.is_empty()) {
        return Err(format!("{what} cannot be used with {protocol:?} protocol"));
    }
    for (what, found) in [("source", source), ("destination", target)] {
        let (wrong, version) = if protocol == "icmp4" { (found.ipv6, 6) } else { (found.ipv4, 4) };
        if wrong {
            return Err(format!("Cannot use IPv{version} {what} addresses with {protocol:?} protocol"));
        }
    }
    for (what, value) in details(rule)[..2].iter().filter(|(_, value)| !value.is_empty()) {
        crate::config::checks::byte(value).map_err(|why| format!("Invalid {what}: {why}"))?;
    }
    Ok(())
}

fn with_ports(rule: &NetworkAclRule) -> Checked {
    let [kind, code, source, target] = details(rule);
    if let Some((what, _)) = [kind, code].iter().find(|(_, value)| !value.is_empty()) {
        return Err(format!("{what} cannot be used with non-ICMP protocol"));
    }
    for (what, value) in [source, target] {
        ports(value).map_err(|why| format!("Invalid {what}: {why}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule from `key=value` words.
    fn rule(words: &str) -> NetworkAclRule {
        let mut value = serde_json::json!({"action": "allow", "state": "enabled"});
        for (key, text) in words.split_whitespace().filter_map(|word| word.split_once('=')) {
            value[key] = text.into();
        }
        serde_json::from_value(value).unwrap()
    }

    fn text(words: &str, direction: Direction) -> String {
        let mut rules = [rule(words)];
        normalize(&mut rules);
        let (ingress, egress): (&[_], &[_]) = match direction {
            Direction::Ingress => (&rules, &[]),
            Direction::Egress => (&[], &rules),
        };
        match check(&Config::new(), ingress, egress, &["A".to_owned()].into()) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.chain().replace(&format!("Invalid {direction} rule 0: "), ""),
        }
    }

    #[test]
    fn texts_are_those_of_the_reference() {
        use Direction::{Egress, Ingress};
        for (direction, words, wanted) in [
            (Ingress, "action=foo", "Action must be one of: allow, drop, reject"),
            (Ingress, "action=foo source=nope", "Action must be one of: allow, drop, reject"),
            (Ingress, "state=x", "State must be one of: enabled, disabled, logged"),
            (Ingress, "protocol=sctp", "Protocol must be one of: icmp4, icmp6, tcp, udp"),
            (Ingress, "protocol=foo source=nope", "Invalid Source: Invalid subject \"nope\""),
            (Ingress, "source=10.0.0.1,", "Invalid Source: Invalid subject \"\""),
            (
                Ingress,
                "destination=A",
                "Invalid Destination: Named subjects not allowed in \"Destination\" for \"ingress\" rules",
            ),
            (
                Egress,
                "source=A,nope",
                "Invalid Source: Named subjects not allowed in \"Source\" for \"egress\" rules",
            ),
            (Egress, "source=nope,A", "Invalid Source: Invalid subject \"nope\""),
            (Egress, "destination=A,10.0.0.1", "ok"),
            (
                Ingress,
                "protocol=foo source=10.0.0.1 destination=fd00::1",
                "Conflicting IP family types used for Source and Destination",
            ),
            (
                Ingress,
                "source=10.0.0.1 destination=fd00::1,10.0.0.1",
                "Conflicting IP family types used for Source and Destination",
            ),
            (Ingress, "source=A destination=fd00::1", "ok"),
            (Ingress, "source_port=80", "Source port cannot be used without specifying protocol"),
            (Ingress, "icmp_type=x source_port=80", "ICMP type cannot be used without specifying protocol"),
            (
                Ingress,
                "protocol=icmp4 source=fd00::1 source_port=80",
                "Source port cannot be used with \"icmp4\" protocol",
            ),
            (
                Ingress,
                "protocol=icmp4 destination=fd00::1 icmp_type=999",
                "Cannot use IPv6 destination addresses with \"icmp4\" protocol",
            ),
            (
                Ingress,
                "protocol=icmp6 source=10.0.0.1",
                "Cannot use IPv4 source addresses with \"icmp6\" protocol",
            ),
            (
                Ingress,
                "protocol=icmp4 icmp_type=256",
                "Invalid ICMP type: Invalid value for an integer \"256\". Must be between 0 and 255",
            ),
            (
                Ingress,
                "protocol=tcp source_port=x icmp_code=8",
                "ICMP code cannot be used with non-ICMP protocol",
            ),
            (
                Ingress,
                "protocol=tcp destination_port=90-80",
                "Invalid Destination port: Start port 90 must be lower than end port 80",
            ),
            (Ingress, "protocol=udp source_port=1,2,5-9 destination_port=080", "ok"),
        ] {
            assert_eq!(text(words, direction), wanted, "{words}");
        }
    }

    #[test]
    fn blanks_go_and_copies_are_found() {
        let mut rules = [NetworkAclRule {
            source: " 1.1.1.1 , 2.2.2.2".to_owned(),
            description: " a b ".to_owned(),
            ..rule("")
        }];
        normalize(&mut rules);
        assert_eq!((rules[0].source.as_str(), rules[0].description.as_str()), ("1.1.1.1,2.2.2.2", "a b"));
        let twice = [rule("source=1.1.1.1"), rule("")];
        let twice = [twice[0].clone(), twice[1].clone(), twice[0].clone()];
        let refused = |config: &Config| check(config, &[], &twice, &BTreeSet::new()).unwrap_err().chain();
        assert_eq!(refused(&Config::new()), "Duplicate of egress rule 0");
        assert_eq!(refused(&[("foo".to_owned(), "x".to_owned())].into()), "Invalid config option \"foo\"");
    }
}
