//! Network ACLs: what they may hold ([`check()`]) and what a bridge makes of them ([`BridgeAcls`]). Pure.

mod check;
mod ports;
mod subject;

use std::collections::BTreeSet;
use std::fmt;

use lxd_api::network_acl::NetworkAclRule;
use lxd_types::{Config, ConfigExt, Error, Flag, Result};

pub use check::{check, normalize};
pub use subject::Subject;

/// Whether packets come to instances or from them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// To instances.
    Ingress,
    /// From instances.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// What happens to a packet. In the order in which rules are looked at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// It is gone without a word.
    Drop,
    /// Its sender is told.
    Reject,
    /// It passes.
    Allow,
}

/// A protocol, with what of it is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// TCP or UDP between these ports; any where there are none.
    Ports {
        /// `tcp` or `udp`.
        name: &'static str,
        /// First and last port of each range.
        source: Vec<(u16, u16)>,
        /// First and last port of each range.
        destination: Vec<(u16, u16)>,
    },
    /// ICMP of this type and code; any where there is none.
    Icmp {
        /// ICMPv6.
        v6: bool,
        /// The type.
        kind: Option<u8>,
        /// The code.
        code: Option<u8>,
    },
}

/// One rule of one family of addresses, for a firewall.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Which packets it is about.
    pub direction: Direction,
    /// IPv4 (`Some(true)`), IPv6, or both.
    pub ipv4: Option<bool>,
    /// The senders; any where there are none. Never names.
    pub sources: Vec<Subject>,
    /// The receivers; any where there are none. Never names.
    pub destinations: Vec<Subject>,
    /// The protocol, if only one is meant.
    pub protocol: Option<Protocol>,
    /// What happens.
    pub action: Action,
    /// The beginning of the line in the kernel's log, when there shall be one.
    pub log: Option<String>,
}

/// What happens to packets that no rule is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rest {
    /// What happens.
    pub action: Action,
    /// The beginning of the line in the kernel's log, when there shall be one.
    pub log: Option<String>,
}

/// All ACLs of a bridge as one list of rules.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BridgeAcls {
    /// The rules in their order.
    pub rules: Vec<Rule>,
    /// For the rest of what comes from instances.
    pub egress: Rest,
    /// For the rest of what goes to instances.
    pub ingress: Rest,
}

/// One ACL as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Acl {
    /// Rules for what goes to instances.
    pub ingress: Vec<NetworkAclRule>,
    /// Rules for what comes from instances.
    pub egress: Vec<NetworkAclRule>,
}

/// The names in `security.acls`.
pub fn names(config: &Config) -> Vec<&str> {
    match config.set("security.acls") {
        Some(list) => list.split(',').map(str::trim).collect(),
        None => Vec::new(),
    }
}

/// Checks the names in `security.acls`; `acls` are those that there are.
///
/// # Errors
/// One is missing or there twice.
pub fn check_names(config: &Config, acls: &BTreeSet<String>) -> Result<()> {
    let names = names(config);
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            return Err(Error::bad_request(format!("Network ACL {name:?} specified multiple times")));
        }
        if !acls.contains(*name) {
            return Err(Error::bad_request(format!("Network ACL {name:?} does not exist")));
        }
    }
    Ok(())
}

impl BridgeAcls {
    /// The rules of these ACLs for a bridge with this configuration; rules that forbid come first, whichever ACL they
    /// are of.
    ///
    /// # Errors
    /// A rule is about a name: bridges do not know where named things are.
    pub fn new(bridge: &str, config: &Config, acls: &[Acl]) -> Result<Self> {
        let mut rules = Vec::new();
        for acl in acls {
            for (direction, list) in [(Direction::Ingress, &acl.ingress), (Direction::Egress, &acl.egress)] {
                for (place, rule) in list.iter().enumerate().filter(|(_, rule)| rule.state != "disabled") {
                    let log = format!("{bridge}-{direction}-{place} ");
                    rules.extend(of_rule(direction, rule, log)?);
                }
            }
        }
        rules.sort_by_key(|rule: &Rule| rule.action);
        let rest = |direction: Direction| {
            let key = |end: &str| format!("security.acls.default.{direction}.{end}");
            let logged = config.flag(&key("logged"), Flag::DefaultFalse);
            Rest {
                action: action(config.value(&key("action"))),
                log: logged.then(|| format!("{bridge}-{direction} ")),
            }
        };
        Ok(Self { rules, egress: rest(Direction::Egress), ingress: rest(Direction::Ingress) })
    }
}

fn action(word: &str) -> Action {
    match word {
        "allow" => Action::Allow,
        "drop" => Action::Drop,
        _ => Action::Reject,
    }
}

/// A rule for each family that it is about, or one for both.
fn of_rule(direction: Direction, rule: &NetworkAclRule, log: String) -> Result<Vec<Rule>> {
    let (sources, destinations) = (subjects(&rule.source)?, subjects(&rule.destination)?);
    let named: Vec<bool> = sources.iter().chain(&destinations).filter_map(Subject::is_ipv4).collect();
    let protocol = protocol(rule)?;
    let families: Vec<Option<bool>> = match (&protocol, named.contains(&true), named.contains(&false)) {
        (Some(Protocol::Icmp { v6, .. }), _, _) => vec![Some(!v6)],
        (_, false, false) => vec![None],
        (_, four, six) => [(four, true), (six, false)].iter().filter(|f| f.0).map(|f| Some(f.1)).collect(),
    };
    let of = |list: &[Subject], family: Option<bool>| -> Vec<Subject> {
        list.iter().filter(|subject| family.is_none() || subject.is_ipv4() == family).cloned().collect()
    };
    let one = |ipv4: Option<bool>| Rule {
        direction,
        ipv4,
        sources: of(&sources, ipv4),
        destinations: of(&destinations, ipv4),
        protocol: protocol.clone(),
        action: action(&rule.action),
        log: (rule.state == "logged").then(|| log.clone()),
    };
    // A list that has nothing of a family must not become "any".
    let whole = |made: &Rule| {
        (sources.is_empty() || !made.sources.is_empty())
            && (destinations.is_empty() || !made.destinations.is_empty())
    };
    Ok(families.into_iter().map(one).filter(whole).collect())
}

fn subjects(list: &str) -> Result<Vec<Subject>> {
    let all = BTreeSet::new();
    let one = |item: &str| match Subject::parse(item, &all) {
        Some(Subject::Named(_)) | None => {
            Err(Error::internal(format!("Unsupported nftables subject {item:?}")))
        }
        Some(subject) => Ok(subject),
    };
    list.split(',').filter(|_| !list.is_empty()).map(one).collect()
}

fn protocol(rule: &NetworkAclRule) -> Result<Option<Protocol>> {
    let stored = |why: String| Error::internal(format!("The stored rule of a network ACL is invalid: {why}"));
    let byte = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| stored(text.to_owned())),
    };
    let icmp =
        |v6| Ok(Some(Protocol::Icmp { v6, kind: byte(&rule.icmp_type)?, code: byte(&rule.icmp_code)? }));
    let name = match rule.protocol.as_str() {
        "" => return Ok(None),
        "icmp4" => return icmp(false),
        "icmp6" => return icmp(true),
        "tcp" => "tcp",
        "udp" => "udp",
        other => return Err(stored(other.to_owned())),
    };
    let source = ports::ports(&rule.source_port).map_err(stored)?;
    let destination = ports::ports(&rule.destination_port).map_err(stored)?;
    Ok(Some(Protocol::Ports { name, source, destination }))
}
