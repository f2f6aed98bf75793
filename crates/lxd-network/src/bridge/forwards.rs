//! Addresses that are forwarded to instances: what is asked for, checked, and the rules that do it.

use std::collections::HashSet;
use std::net::IpAddr;

use lxd_api::network_forward::NetworkForwardPort;
use lxd_types::{Cidr, Config, ConfigExt, Error, Result};

/// Key of the address that gets what no port specification takes.
const TARGET: &str = "target_address";

/// A forward, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForwardSpec {
    /// The address that is forwarded.
    pub listen: IpAddr,
    /// Gets what no port takes.
    pub target: Option<IpAddr>,
    /// Ports, in the order in which they count.
    pub ports: Vec<PortSpec>,
}

/// Ports of a forward.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortSpec {
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// The ports that are forwarded.
    pub listen: Vec<u16>,
    /// Where they go to.
    pub target: IpAddr,
    /// The ports there: none (the same), one, or as many as are forwarded.
    pub target_ports: Vec<u16>,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The address of a new forward.
///
/// # Errors
/// It is none.
pub fn listen_address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| {
        let prefix = if text.contains(':') { 128 } else { 32 };
        Error::bad_request(format!(
            "Failed parsing address forward listen address {text:?}: invalid CIDR address: {text}/{prefix}"
        ))
    })
}

/// Checks that the address of a new forward is nobody's: `others` are the configurations of the other networks and
/// `forwarded` the addresses that these forward.
///
/// # Errors
/// It belongs to another network, to a bridge itself, or can be no host's.
pub fn check_free(listen: IpAddr, own: &Config, others: &[Config], forwarded: &[IpAddr]) -> Result<()> {
    let broadcast = matches!(listen, IpAddr::V4(address) if address.is_broadcast());
    let local = matches!(listen, IpAddr::V6(address) if address.is_unicast_link_local());
    if listen.is_loopback() || listen.is_unspecified() || listen.is_multicast() || broadcast || local {
        return Err(Error::bad_request(format!("Forward listen address \"{listen}\" cannot be forwarded")));
    }
    let family = if listen.is_ipv4() { "ipv4" } else { "ipv6" };
    let address = format!("{family}.address");
    if own.value(&address).parse::<Cidr>().is_ok_and(|cidr| cidr.address() == listen) {
        let text = format!("Forward listen address \"{listen}\" is the address of the network itself");
        return Err(Error::bad_request(text));
    }
    let subnets = |config: &Config| {
        let texts = [config.value(&address), config.value(&format!("{family}.routes"))];
        texts
            .iter()
            .flat_map(|text| text.split(','))
            .any(|text| text.trim().parse::<Cidr>().is_ok_and(|cidr| cidr.contains(listen)))
    };
    if forwarded.contains(&listen) || others.iter().any(subnets) {
        let prefix = if listen.is_ipv4() { 32 } else { 128 };
        return Err(Error::bad_request(format!(
            "Forward listen address \"{listen}/{prefix}\" overlaps with another network or NIC"
        )));
    }
    Ok(())
}

/// Checks a forward on a network with this configuration.
///
/// # Errors
/// The first rule that is broken.
pub fn check(
    listen: IpAddr,
    config: &Config,
    ports: &[NetworkForwardPort],
    network: &Config,
) -> Result<ForwardSpec> {
    let refuse = |text: String| Err(Error::bad_request(text));
    if let Some(key) = config.keys().find(|key| *key != TARGET && !key.starts_with("user.")) {
        return refuse(format!("Invalid option {key:?}"));
    }
    let key = if listen.is_ipv4() { "ipv4.address" } else { "ipv6.address" };
    let subnet: Cidr = network.value(key).parse()?;
    let target = match config.set(TARGET) {
        None => None,
        Some(text) => {
            let Ok(target) = text.parse::<IpAddr>() else {
                return refuse("Invalid default target address".to_owned());
            };
            if target.is_ipv4() != listen.is_ipv4() {
                return refuse(
                    "Cannot mix IP versions in listen address and default target address".to_owned(),
                );
            }
            if !subnet.contains(target) {
                return refuse("Default target address is not within the network subnet".to_owned());
            }
            Some(target)
        }
    };
    let mut taken = HashSet::new();
    let ports = ports.iter().enumerate();
    let ports = ports.map(|(number, port)| check_port(listen, port, number, subnet, &mut taken));
    Ok(ForwardSpec { listen, target, ports: ports.collect::<Result<_>>()? })
}

fn check_port(
    listen: IpAddr,
    port: &NetworkForwardPort,
    number: usize,
    subnet: Cidr,
    taken: &mut HashSet<(Protocol, u16)>,
) -> Result<PortSpec> {
    let refuse = |text: String| Error::bad_request(text);
    let place = format!("in port specification {number}");
    let protocol = match port.protocol.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(refuse(format!("Invalid port protocol {place}, protocol must be one of: tcp, udp"))),
    };
    let target: IpAddr =
        port.target_address.parse().map_err(|_| refuse(format!("Invalid target address {place}")))?;
    if target.is_ipv4() != listen.is_ipv4() {
        return Err(refuse(format!(
            "Cannot mix IP versions in listen address and {} target address",
            place.trim_start_matches("in ")
        )));
    }
    if !subnet.contains(target) {
        return Err(refuse(format!("Target address is not within the network subnet {place}")));
    }
    if port.listen_port.is_empty() {
        return Err(refuse(format!("Missing listen port {place}")));
    }
    let listen =
        numbers(&port.listen_port).map_err(|error| error.context(format!("Invalid listen port {place}")))?;
    for one in &listen {
        if !taken.insert((protocol, *one)) {
            let word = protocol.word();
            return Err(refuse(format!("Duplicate listen port {one} for protocol {word:?} {place}")));
        }
    }
    let target_ports = match port.target_port.as_str() {
        "" => Vec::new(),
        list => numbers(list).map_err(|error| error.context(format!("Invalid target port {place}")))?,
    };
    if target_ports.len() > 1 && target_ports.len() != listen.len() {
        return Err(refuse(format!("Mismatch of listen port(s) and target port(s) count {place}")));
    }
    Ok(PortSpec { protocol, listen, target, target_ports })
}

/// The ports of a list of ports and ranges, in its order.
fn numbers(list: &str) -> Result<Vec<u16>> {
    let mut all = Vec::new();
    for item in list.split(',').map(str::trim) {
        let number = |text: &str| -> Result<u16> {
            let known: i64 = text
                .parse()
                .map_err(|_| Error::bad_request(format!("Invalid value for an integer {text:?}")))?;
            u16::try_from(known).map_err(|_| Error::bad_request(format!("Invalid port number: {known}")))
        };
        match item.split_once('-') {
            None => all.push(number(item)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(Error::bad_request("End port should be higher than start port"));
                }
                all.extend(first..=last);
            }
        }
    }
    Ok(all)
}

/// What goes to the same place: ports in a row that need one rule.
struct Run<'a> {
    port: &'a PortSpec,
    first: u16,
    last: u16,
    /// The port there; the same one when not given.
    to: Option<u16>,
}

/// The fewest rules for the ports: a range that keeps its ports, or goes to one, is one rule.
fn runs(port: &PortSpec) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for (place, listen) in port.listen.iter().copied().enumerate() {
        let to = match port.target_ports.as_slice() {
            [] => None,
            [one] => Some(*one),
            many => many.get(place).copied(),
        };
        let shifted = port.target_ports.len() > 1;
        match runs.last_mut() {
            Some(run) if !shifted && run.last.checked_add(1) == Some(listen) => run.last = listen,
            _ => runs.push(Run { port, first: listen, last: listen, to }),
        }
    }
    runs
}

/// One translation of a destination.
pub(crate) struct Translation {
    /// The address that is forwarded.
    pub listen: IpAddr,
    /// The ports; all protocols and ports when not given.
    pub ports: Option<Ports>,
    /// Where it goes to.
    pub target: IpAddr,
    /// The port there; the same one when not given.
    pub to: Option<u16>,
}

/// Ports of a protocol.
pub(crate) struct Ports {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// What forwards mean, in the order in which it counts.
pub(crate) fn translations(forwards: &[ForwardSpec]) -> Vec<Translation> {
    let mut all = Vec::new();
    for ForwardSpec { listen, target, ports } in forwards {
        all.extend(ports.iter().flat_map(runs).map(|run| Translation {
            listen: *listen,
            ports: Some(Ports { protocol: run.port.protocol.word(), first: run.first, last: run.last }),
            target: run.port.target,
            to: run.to,
        }));
        all.extend(target.map(|target| Translation { listen: *listen, ports: None, target, to: None }));
    }
    all
}

/// Rules that translate the destination (the same for packets from outside and from the host), and rules that let an
/// instance reach itself by the forwarded address.
pub(crate) fn rules(forwards: &[ForwardSpec]) -> (Vec<String>, Vec<String>) {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for Translation { listen, ports, target, to } in translations(forwards) {
        let ip = if listen.is_ipv4() { "ip" } else { "ip6" };
        let lead_to = match (to, target) {
            (None, _) => target.to_string(),
            (Some(port), IpAddr::V4(_)) => format!("{target}:{port}"),
            (Some(port), IpAddr::V6(_)) => format!("[{target}]:{port}"),
        };
        let matched = |to: Option<u16>| match (&ports, to) {
            (None, _) => String::new(),
            (Some(ports), Some(port)) => format!(" {} dport {port}", ports.protocol),
            (Some(ports), None) if ports.first == ports.last => {
                format!(" {} dport {}", ports.protocol, ports.first)
            }
            (Some(ports), None) => format!(" {} dport {}-{}", ports.protocol, ports.first, ports.last),
        };
        there.push(format!("{ip} daddr {listen}{} dnat {ip} to {lead_to}", matched(None)));
        let rule = format!("{ip} saddr {target} {ip} daddr {target}{} masquerade", matched(to));
        if !back.contains(&rule) {
            back.push(rule);
        }
    }
    (there, back)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn port(protocol: &str, listen: &str, address: &str, target: &str) -> NetworkForwardPort {
        NetworkForwardPort {
            protocol: protocol.to_owned(),
            listen_port: listen.to_owned(),
            target_address: address.to_owned(),
            target_port: target.to_owned(),
            ..NetworkForwardPort::default()
        }
    }

    fn checked(listen: &str, config: &[(&str, &str)], ports: &[NetworkForwardPort]) -> Result<ForwardSpec> {
        let network = map(&[("ipv4.address", "10.9.0.1/24"), ("ipv6.address", "none")]);
        check(listen_address(listen)?, &map(config), ports, &network)
    }

    fn text(listen: &str, config: &[(&str, &str)], ports: &[NetworkForwardPort]) -> String {
        checked(listen, config, ports).map_or_else(|error| error.chain(), |_| "ok".to_owned())
    }

    #[test]
    fn refusals_are_those_of_the_reference() {
        let one = "192.0.2.1";
        assert_eq!(
            text("x", &[], &[]),
            "Failed parsing address forward listen address \"x\": invalid CIDR address: x/32"
        );
        assert_eq!(text("fd00::1", &[], &[]), "invalid CIDR address: none");
        assert_eq!(text(one, &[("foo", "x")], &[]), "Invalid option \"foo\"");
        assert_eq!(text(one, &[(TARGET, "x")], &[]), "Invalid default target address");
        assert_eq!(
            text(one, &[(TARGET, "10.8.0.7")], &[]),
            "Default target address is not within the network subnet"
        );
        assert_eq!(
            text(one, &[(TARGET, "fd00::7")], &[]),
            "Cannot mix IP versions in listen address and default target address"
        );
        let to = "10.9.0.7";
        let cases = [
            (
                port("icmp", "80", to, ""),
                "Invalid port protocol in port specification 0, protocol must be one of: tcp, udp",
            ),
            (port("tcp", "", to, ""), "Missing listen port in port specification 0"),
            (
                port("tcp", "9-5", to, ""),
                "Invalid listen port in port specification 0: End port should be higher than start port",
            ),
            (
                port("tcp", "70000", to, ""),
                "Invalid listen port in port specification 0: Invalid port number: 70000",
            ),
            (
                port("tcp", "9", "10.9.1.8", ""),
                "Target address is not within the network subnet in port specification 0",
            ),
            (
                port("tcp", "9", "fd00::8", ""),
                "Cannot mix IP versions in listen address and port specification 0 target address",
            ),
            (port("tcp", "9", "", ""), "Invalid target address in port specification 0"),
            (
                port("tcp", "9,9", to, ""),
                "Duplicate listen port 9 for protocol \"tcp\" in port specification 0",
            ),
            (
                port("tcp", "1-9", to, "1-3"),
                "Mismatch of listen port(s) and target port(s) count in port specification 0",
            ),
        ];
        for (port, wanted) in cases {
            assert_eq!(text(one, &[], &[port]), wanted);
        }
        assert_eq!(
            text(one, &[("user.a", "b")], &[port("tcp", "80", to, ""), port("udp", "80", to, "")]),
            "ok"
        );
    }

    #[test]
    fn addresses_belong_to_one_network() {
        let own = map(&[("ipv4.address", "10.9.0.1/24"), ("ipv6.address", "fd09::1/64")]);
        let others =
            [map(&[("ipv4.address", "10.8.0.1/24"), ("ipv4.routes", "192.0.2.0/28, 198.51.100.0/24")])];
        let forwarded = ["203.0.113.7".parse().unwrap()];
        let text = |listen: &str| {
            let checked = check_free(listen.parse().unwrap(), &own, &others, &forwarded);
            checked.map_or_else(|error| error.chain(), |()| "ok".to_owned())
        };
        for good in ["203.0.113.8", "10.9.0.5", "2001:db8::1", "192.0.2.16"] {
            assert_eq!(text(good), "ok", "{good}");
        }
        for taken in ["203.0.113.7", "10.8.0.1", "10.8.0.9", "192.0.2.15", "198.51.100.1"] {
            let wanted =
                format!("Forward listen address \"{taken}/32\" overlaps with another network or NIC");
            assert_eq!(text(taken), wanted);
        }
        for own in ["10.9.0.1", "fd09::1"] {
            assert!(text(own).ends_with("is the address of the network itself"), "{own}");
        }
        for nobodys in
            ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "ff02::1", "fe80::1"]
        {
            assert!(text(nobodys).ends_with("cannot be forwarded"), "{nobodys}");
        }
    }

    #[test]
    fn rules_do_what_those_of_the_reference_do() {
        let ports = [
            port("tcp", "80,90-95", "10.9.0.7", "8080"),
            port("udp", "5-6", "10.9.0.7", "15-16"),
            port("tcp", "100-110", "10.9.0.8", ""),
        ];
        let (there, back) = rules(&[checked("192.0.2.1", &[(TARGET, "10.9.0.9")], &ports).unwrap()]);
        assert_eq!(
            there,
            [
                "ip daddr 192.0.2.1 tcp dport 80 dnat ip to 10.9.0.7:8080",
                "ip daddr 192.0.2.1 tcp dport 90-95 dnat ip to 10.9.0.7:8080",
                "ip daddr 192.0.2.1 udp dport 5 dnat ip to 10.9.0.7:15",
                "ip daddr 192.0.2.1 udp dport 6 dnat ip to 10.9.0.7:16",
                "ip daddr 192.0.2.1 tcp dport 100-110 dnat ip to 10.9.0.8",
                "ip daddr 192.0.2.1 dnat ip to 10.9.0.9",
            ]
        );
        assert_eq!(
            back,
            [
                "ip saddr 10.9.0.7 ip daddr 10.9.0.7 tcp dport 8080 masquerade",
                "ip saddr 10.9.0.7 ip daddr 10.9.0.7 udp dport 15 masquerade",
                "ip saddr 10.9.0.7 ip daddr 10.9.0.7 udp dport 16 masquerade",
                "ip saddr 10.9.0.8 ip daddr 10.9.0.8 tcp dport 100-110 masquerade",
                "ip saddr 10.9.0.9 ip daddr 10.9.0.9 masquerade",
            ]
        );
    }
}
