//! Rules of a bridge: address translation, forwarding, access to its DHCP and DNS service, forwards. Pure.

use std::net::IpAddr;

use lxd_types::Result;

use super::rules::{Owner, Place, Rules};
use super::{Both, acl};
use crate::bridge::BridgeSpec;
use crate::bridge::forwards::{ForwardSpec, translations};
use crate::bridge::spec::{Family, Nat};

/// Types of ICMP that always pass, and of ICMPv6 to the host and from it.
pub(super) const ICMP4: &[u8] = &[3, 11, 12];
pub(super) const ICMP6_IN: &[u8] = &[1, 2, 3, 4, 133, 135, 136, 143];
pub(super) const ICMP6_OUT: &[u8] = &[1, 2, 3, 4, 128, 134, 135, 136, 143];

/// The rules of a bridge.
///
/// # Errors
/// A word cannot be written.
pub fn rules(owner: &Owner, spec: &BridgeSpec) -> Result<Both> {
    let mut both = Both::default();
    if let Some(acls) = &spec.acls {
        acl::add(&mut both, owner, spec.name.as_str(), acls)?;
    }
    if let Some(ipv4) = &spec.ipv4 {
        family(&mut both.ipv4, owner, spec, true, (&ipv4.cidr.subnet().to_string(), &ipv4.family))?;
    }
    if let Some(ipv6) = &spec.ipv6 {
        family(&mut both.ipv6, owner, spec, false, (&ipv6.cidr.subnet().to_string(), &ipv6.family))?;
    }
    forwards(&mut both, owner, &spec.forwards)?;
    Ok(both)
}

fn family<A: ToString>(
    rules: &mut Rules,
    owner: &Owner,
    spec: &BridgeSpec,
    ipv4: bool,
    (subnet, family): (&str, &Family<A>),
) -> Result<()> {
    if let Some(nat) = &family.nat {
        let action = match nat {
            Nat::Masquerade => "MASQUERADE".to_owned(),
            Nat::To(address) => format!("SNAT --to-source {}", address.to_string()),
        };
        let place = if family.nat_last { Place::Last } else { Place::First };
        rules.add(owner, ("nat", "POSTROUTING", place), &format!("-s {subnet} ! -d {subnet} -j {action}"))?;
    }
    if !family.firewall {
        return Ok(());
    }
    let name = spec.name.as_str();
    let reject = if ipv4 { "icmp-port-unreachable" } else { "icmp6-port-unreachable" };
    let verdict = match family.routing {
        true => "ACCEPT".to_owned(),
        false => format!("REJECT --reject-with {reject}"),
    };
    for side in ["-o", "-i"] {
        rules.add(owner, ("filter", "FORWARD", Place::First), &format!("{side} {name} -j {verdict}"))?;
    }
    for (chain, side, port, icmp6) in
        [("INPUT", "-i", "--dport", ICMP6_IN), ("OUTPUT", "-o", "--sport", ICMP6_OUT)]
    {
        let mut add = |words: &str| {
            rules.add(owner, ("filter", chain, Place::First), &format!("{side} {name} {words} -j ACCEPT"))
        };
        add(&format!("-p tcp -m tcp {port} 53"))?;
        add(&format!("-p udp -m udp {port} 53"))?;
        if family.dhcp {
            for words in icmp(ipv4, if ipv4 { ICMP4 } else { icmp6 }) {
                add(&words)?;
            }
            add(&format!("-p udp -m udp {port} {}", if ipv4 { 67 } else { 547 }))?;
        }
    }
    Ok(())
}

/// Matches of types of ICMP, one each.
pub(super) fn icmp(ipv4: bool, types: &[u8]) -> impl Iterator<Item = String> {
    types.iter().map(move |kind| match ipv4 {
        true => format!("-p icmp -m icmp --icmp-type {kind}"),
        false => format!("-p ipv6-icmp -m icmp6 --icmpv6-type {kind}"),
    })
}

fn forwards(both: &mut Both, owner: &Owner, forwards: &[ForwardSpec]) -> Result<()> {
    for forward in translations(forwards) {
        let rules = both.of(forward.listen.is_ipv4());
        let (listen, target) = (forward.listen, forward.target);
        let matched = match &forward.ports {
            None => String::new(),
            Some(ports) => format!(" -p {0} -m {0} --dport {1}:{2}", ports.protocol, ports.first, ports.last),
        };
        let to = match (forward.to, target) {
            (None, _) => target.to_string(),
            (Some(port), IpAddr::V4(_)) => format!("{target}:{port}"),
            (Some(port), IpAddr::V6(_)) => format!("[{target}]:{port}"),
        };
        let lead = format!("-d {listen}{matched} -j DNAT --to-destination {to}");
        let seen = match (&forward.ports, forward.to) {
            (None, _) => String::new(),
            (Some(ports), Some(port)) => format!(" -p {0} -m {0} --dport {port}", ports.protocol),
            (Some(_), None) => matched,
        };
        // Those of ports come before the rest of the address.
        for chain in ["PREROUTING", "OUTPUT"] {
            rules.add(owner, ("nat", chain, Place::First), &lead)?;
        }
        let back = format!("-s {target} -d {target}{seen} -j MASQUERADE");
        rules.add(owner, ("nat", "POSTROUTING", Place::First), &back)?;
    }
    Ok(())
}
