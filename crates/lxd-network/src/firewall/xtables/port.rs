//! Filters of interfaces: what an instance may send with which addresses (ebtables), and what it may say as a neighbour
//! (ip6tables, which sees packets between ports by way of `br_netfilter`). Pure.
//!
//! Each filter has chains of its own, two of each so that a new one is whole before the old one goes.

use lxd_types::{Cidr, Error, Result};
use sha2::{Digest, Sha256};

use super::rules::{Owner, Place, Rules};
use crate::firewall::PortFilter;

/// The hooks, and how the names of the chains at them begin.
const HOOKS: [(&str, &str); 2] = [("INPUT", "lxdi"), ("FORWARD", "lxdf")];

/// Where an IPv6 packet with a message of neighbour discovery has the target, the kind of its first option, and the hardware
/// address in that; and how long it is with it.
const TARGET: u32 = 48;
const OPTION: u32 = 64;
const HARDWARE: u32 = 66;
const WITH_OPTION: u32 = 72;

/// The end of the names of a filter's chains: ebtables takes 28 bytes.
fn hash(label: &str) -> String {
    Sha256::digest(label).iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// The chain for messages of neighbours.
pub fn neighbour_chain(label: &str) -> String {
    format!("lxdn-{}", hash(label))
}

/// The arguments of the calls of ebtables that put a filter in the place of an earlier one, or only remove that. `listed` is
/// what `ebtables -L` prints.
pub fn calls(listed: &str, label: &str, filter: Option<&PortFilter>) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    let mut call = |text: String| calls.push(text.split(' ').map(str::to_owned).collect());
    for (hook, start) in HOOKS {
        let names = ["a", "b"].map(|which| format!("{start}-{}{which}", hash(label)));
        let is_there = |name: &&String| listed.contains(&format!("Bridge chain: {name},"));
        let old = names.iter().find(is_there);
        let new = names.iter().find(|name| old != Some(*name)).unwrap_or(&names[0]);
        if let Some(filter) = filter {
            call(format!("-N {new} -P RETURN"));
            for rule in rules(filter, hook == "INPUT") {
                call(format!("-A {new} {rule}"));
            }
            call(format!("-A {hook} -j {new}"));
        }
        for old in names.iter().filter(is_there).filter(|name| filter.is_none() || *name != new) {
            if listed.lines().any(|line| line.trim() == format!("-j {old}")) {
                call(format!("-D {hook} -j {old}"));
            }
            call(format!("-F {old}"));
            call(format!("-X {old}"));
        }
    }
    calls
}

/// The call that takes back what another made; what it removed is not made again.
pub fn undo(call: &[String]) -> Option<Vec<String>> {
    let [verb, chain, rest @ ..] = call else { return None };
    let undo = match verb.as_str() {
        "-N" => vec!["-X".to_owned(), chain.clone()],
        "-A" => [&["-D".to_owned(), chain.clone()], rest].concat(),
        _ => return None,
    };
    Some(undo)
}

/// Rules of a port towards the host itself (`to_host`), where it may ask for addresses, or towards other ports.
fn rules(filter: &PortFilter, to_host: bool) -> Vec<String> {
    let mut rules = vec![
        format!("-i ! {} -j RETURN", filter.interface),
        format!("-s ! {} -j DROP", filter.mac),
        format!("-p ARP --arp-mac-src ! {} -j DROP", filter.mac),
    ];
    if let Some(allowed) = &filter.ipv4 {
        if to_host && !allowed.is_empty() {
            rules.push(
                "-p IPv4 --ip-src 0.0.0.0 --ip-dst 255.255.255.255 --ip-proto udp --ip-dport 67 -j RETURN"
                    .to_owned(),
            );
        }
        for network in allowed {
            rules.push(format!("-p ARP --arp-ip-src {} -j RETURN", network.subnet()));
            rules.push(format!("-p IPv4 --ip-src {} -j RETURN", network.subnet()));
        }
        rules.extend(["-p ARP -j DROP", "-p IPv4 -j DROP"].map(str::to_owned));
    }
    if let Some(allowed) = &filter.ipv6 {
        rules.extend(ipv6_rules(allowed, to_host));
    }
    match (&filter.ipv4, &filter.ipv6) {
        (None, None) => return rules,
        (None, Some(_)) => rules.extend(["-p ARP -j RETURN", "-p IPv4 -j RETURN"].map(str::to_owned)),
        (Some(_), None) => rules.push("-p IPv6 -j RETURN".to_owned()),
        (Some(_), Some(_)) => {}
    }
    // Frames with a VLAN tag and everything else that is not understood here.
    rules.push("-j DROP".to_owned());
    rules
}

fn ipv6_rules(allowed: &[Cidr], to_host: bool) -> Vec<String> {
    let mut rules = Vec::new();
    let own = "-p IPv6 --ip6-src fe80::/10";
    if to_host && !allowed.is_empty() {
        rules.push(format!("{own} --ip6-dst ff02::1:2 --ip6-proto udp --ip6-dport 547 -j RETURN"));
        rules.push(format!("{own} --ip6-dst ff02::2 --ip6-proto ipv6-icmp --ip6-icmp-type 133 -j RETURN"));
    }
    let icmp = |kind: u8, verdict: &str| {
        format!("-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type {kind} -j {verdict}")
    };
    rules.extend([icmp(134, "DROP"), icmp(137, "DROP")]);
    // Judged by the address that it speaks for, which ebtables does not see.
    rules.push(icmp(136, if allowed.is_empty() { "DROP" } else { "RETURN" }));
    rules.extend(allowed.iter().map(|network| format!("-p IPv6 --ip6-src {} -j RETURN", network.subnet())));
    rules.push("-p IPv6 -j DROP".to_owned());
    rules
}

/// Adds the rules for messages of neighbours.
///
/// # Errors
/// The filter lets a network pass whose prefix is no multiple of 8.
pub fn neighbours(rules: &mut Rules, owner: &Owner, label: &str, filter: &PortFilter) -> Result<()> {
    let chain = neighbour_chain(label);
    let physical = format!("-m physdev --physdev-in {} -p ipv6-icmp -j {chain}", filter.interface);
    for hook in ["INPUT", "FORWARD"] {
        rules.add(owner, ("filter", hook, Place::First), &physical)?;
    }
    let mac: String = filter.mac.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let kind = |kind: u8| format!("-p ipv6-icmp -m icmp6 --icmpv6-type {kind}");
    let at = |place: u32, not: &str, hex: &str| {
        format!("-m string{not} --hex-string \"|{hex}|\" --algo bm --from {place} --to {place}")
    };
    // Extension headers would move what is looked at below.
    for message in [135, 136] {
        let hidden = "-m ipv6header --header hop,dst,route,frag --soft";
        rules.own(&chain, format!("{} {hidden} -j DROP", kind(message)));
    }
    let long = format!("-m length --length {WITH_OPTION}:65535");
    let others = at(HARDWARE, " !", &mac);
    rules.own(&chain, format!("{} {long} {others} -j DROP", kind(136)));
    rules.own(&chain, format!("{} {long} {} {others} -j DROP", kind(135), at(OPTION, "", "01")));
    if let Some(allowed) = &filter.ipv6 {
        for network in allowed {
            let target = at(TARGET, "", &prefix(network)?);
            rules.own(&chain, format!("{} {target} -j RETURN", kind(136)));
        }
        rules.own(&chain, format!("{} -j DROP", kind(136)));
    }
    Ok(())
}

/// The bytes that addresses of a network begin with.
fn prefix(network: &Cidr) -> Result<String> {
    let bits = network.prefix();
    let std::net::IpAddr::V6(address) = network.subnet().address() else {
        return Err(Error::internal(format!("{network} is no IPv6 network")));
    };
    if bits == 0 || !bits.is_multiple_of(8) {
        return Err(Error::bad_request(format!(
            "security.ipv6_filtering cannot be used with ipv6.routes={network} and the firewall driver xtables: the prefix \
             must be a multiple of 8"
        )));
    }
    Ok(address.octets().iter().take(usize::from(bits / 8)).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::testing::filter;

    fn texts(calls: &[Vec<String>]) -> Vec<String> {
        calls.iter().map(|call| call.join(" ")).collect()
    }

    #[test]
    fn a_filter_is_whole_before_the_old_one_goes() {
        let (name, mac) = (hash("c1.eth0"), filter(None, None));
        let made = texts(&calls("", "c1.eth0", Some(&mac)));
        assert_eq!(
            made[..5],
            [
                format!("-N lxdi-{name}a -P RETURN"),
                format!("-A lxdi-{name}a -i ! v0 -j RETURN"),
                format!("-A lxdi-{name}a -s ! 00:16:3e:11:22:33 -j DROP"),
                format!("-A lxdi-{name}a -p ARP --arp-mac-src ! 00:16:3e:11:22:33 -j DROP"),
                format!("-A INPUT -j lxdi-{name}a"),
            ]
        );
        let listed = format!(
            "Bridge chain: INPUT, entries: 1, policy: ACCEPT\n-j lxdi-{name}a\n\nBridge chain: lxdi-{name}a, entries: 3, \
             policy: RETURN\n"
        );
        let again = texts(&calls(&listed, "c1.eth0", Some(&mac)));
        let place = |text: String| again.iter().position(|call| *call == text).expect("it is there");
        let order = [
            format!("-N lxdi-{name}b -P RETURN"),
            format!("-A INPUT -j lxdi-{name}b"),
            format!("-D INPUT -j lxdi-{name}a"),
            format!("-F lxdi-{name}a"),
            format!("-X lxdi-{name}a"),
            format!("-N lxdf-{name}a -P RETURN"),
        ];
        assert!(order.map(place).is_sorted(), "{again:?}");
        assert_eq!(
            texts(&calls(&listed, "c1.eth0", None)),
            [format!("-D INPUT -j lxdi-{name}a"), format!("-F lxdi-{name}a"), format!("-X lxdi-{name}a")]
        );
        assert!(calls("", "c1.eth0", None).is_empty());
    }

    #[test]
    fn what_was_made_is_taken_back() {
        let call = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(undo(&call("-N a -P RETURN")).unwrap(), call("-X a"));
        assert_eq!(undo(&call("-A INPUT -j a")).unwrap(), call("-D INPUT -j a"));
        assert!(undo(&call("-F a")).is_none());
    }

    #[test]
    fn names_of_chains_fit() {
        assert!(neighbour_chain("x").len() <= 28 && format!("lxdi-{}a", hash("x")).len() <= 28);
    }

    #[test]
    fn all_filters() {
        let rules = rules(&filter(Some(&["10.9.0.20/32"]), Some(&["fd09::20/128"])), true);
        let place = |text: &str| rules.iter().position(|rule| rule.contains(text)).expect(text);
        let order = [
            "-s ! 00:16:3e:11:22:33 -j DROP",
            "--ip-dport 67 -j RETURN",
            "--arp-ip-src 10.9.0.20/32 -j RETURN",
            "-p IPv4 -j DROP",
            "--ip6-dport 547 -j RETURN",
            "--ip6-icmp-type 134 -j DROP",
            "--ip6-icmp-type 136 -j RETURN",
            "--ip6-src fd09::20/128 -j RETURN",
            "-p IPv6 -j DROP",
        ];
        assert!(order.map(place).is_sorted(), "{rules:?}");
        assert_eq!(rules.last().unwrap(), "-j DROP");
        let nothing = super::rules(&filter(Some(&[]), Some(&[])), true);
        assert!(nothing[1..].iter().all(|rule| rule.ends_with("DROP")), "{nothing:?}");
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        assert_eq!(prefix(&"fd55::/64".parse().unwrap()).unwrap(), "fd55000000000000");
        assert!(prefix(&"fd55::/61".parse().unwrap()).is_err());
    }
}
