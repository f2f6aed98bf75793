//! The arguments of a bridge's dnsmasq, as data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use lxd_types::Cidr;

use super::spec::{BridgeSpec, DnsMode, Ipv4, Ipv6};

/// File of the leases, in the network's directory.
pub const LEASES: &str = "dnsmasq.leases";
/// Directory of the static entries.
pub const HOSTS: &str = "dnsmasq.hosts";
/// Configuration file with the user's own lines.
pub const RAW: &str = "dnsmasq.raw";
/// What is known of the running process.
pub const PID: &str = "dnsmasq.pid";

/// Whom the service runs as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// Name of the user.
    pub user: String,
    /// Name of the group.
    pub group: String,
    /// Number of the group, which may read the static entries.
    pub gid: u32,
}

/// The arguments behind the program's name; every value is one argument, so that none can become another.
pub fn arguments(spec: &BridgeSpec, directory: &Path, account: &Account) -> Vec<String> {
    let name = spec.name.as_str();
    let path = |file: &str| directory.join(file).display().to_string();
    let mut args: Vec<String> = [
        "--keep-in-foreground",
        "--strict-order",
        "--bind-interfaces",
        "--except-interface=lo",
        "--pid-file=",
        "--no-ping",
    ]
    .map(str::to_owned)
    .into();
    args.push(format!("--interface={name}"));
    args.push("--dhcp-rapid-commit".to_owned());
    // Every lease and router advertisement would be a line in the host's log.
    args.extend(["--quiet-dhcp", "--quiet-dhcp6", "--quiet-ra"].map(str::to_owned));
    let dhcp = [
        "--dhcp-no-override".to_owned(),
        "--dhcp-authoritative".to_owned(),
        format!("--dhcp-leasefile={}", path(LEASES)),
        format!("--dhcp-hostsfile={}", path(HOSTS)),
    ];
    let mut has_dhcp = false;
    if let Some(ipv4) = &spec.ipv4 {
        args.push(format!("--listen-address={}", ipv4.cidr.address()));
        if ipv4.family.dhcp {
            args.extend(dhcp.clone());
            has_dhcp = true;
            args.extend(ipv4_options(spec, ipv4));
        }
    }
    if let Some(ipv6) = &spec.ipv6 {
        args.push(format!("--listen-address={}", ipv6.cidr.address()));
        args.push("--enable-ra".to_owned());
        if ipv6.family.dhcp && !has_dhcp {
            args.extend(dhcp);
        }
        args.extend(ipv6_options(name, ipv6));
    }
    if spec.dns.mode != DnsMode::None {
        let domain = &spec.dns.domain;
        args.extend(["-s".to_owned(), domain.clone()]);
        args.extend(["--interface-name".to_owned(), format!("_gateway.{domain},{name}")]);
        args.extend(["-S".to_owned(), format!("/{domain}/")]);
    }
    args.push(format!("--conf-file={}", path(RAW)));
    args.extend(["-u".to_owned(), account.user.clone(), "-g".to_owned(), account.group.clone()]);
    args
}

fn ipv4_options(spec: &BridgeSpec, ipv4: &Ipv4) -> Vec<String> {
    let mut args = Vec::new();
    let mut option = |number: u8, value: String| args.push(format!("--dhcp-option-force={number},{value}"));
    if let Some(gateway) = ipv4.gateway {
        option(3, gateway.to_string());
    }
    if let Some(mtu) = spec.mtu {
        option(26, mtu.to_string());
    }
    if let Some(search) = &spec.dns.search {
        option(119, search.clone());
    }
    let ranges = match ipv4.family.ranges.as_slice() {
        [] => vec![all_ipv4(ipv4)],
        ranges => ranges.to_vec(),
    };
    for (first, last) in ranges {
        args.push("--dhcp-range".to_owned());
        args.push(format!("{first},{last},{}", ipv4.family.expiry));
    }
    args
}

/// All hosts of the network but the first, which is the bridge as a rule (dnsmasq leaves out its own address).
fn all_ipv4(ipv4: &Ipv4) -> (Ipv4Addr, Ipv4Addr) {
    let first = u32::from(ipv4.cidr.network());
    let last = u32::from(ipv4.cidr.last());
    match last - first {
        0..=3 => (Ipv4Addr::from(first.saturating_add(1)), Ipv4Addr::from(last)),
        _ => (Ipv4Addr::from(first + 2), Ipv4Addr::from(last - 1)),
    }
}

fn ipv6_options(name: &str, ipv6: &Ipv6) -> Vec<String> {
    let range = "--dhcp-range".to_owned();
    if !ipv6.family.dhcp {
        return vec![range, format!("::,constructor:{name},ra-only")];
    }
    if !ipv6.stateful {
        return vec![range, format!("::,constructor:{name},ra-stateless,ra-names")];
    }
    let ranges = match ipv6.family.ranges.as_slice() {
        [] => vec![(Ipv6Addr::from(u128::from(ipv6.cidr.network()).saturating_add(2)), ipv6.cidr.last())],
        ranges => ranges.to_vec(),
    };
    let prefix = ipv6.cidr.prefix();
    let all = ranges.into_iter();
    all.flat_map(|(first, last)| [range.clone(), format!("{first},{last},{prefix},{}", ipv6.family.expiry)])
        .collect()
}

/// The address that dnsmasq gives to a host of a /64 with this hardware address.
pub fn slaac(spec: &BridgeSpec, mac: lxd_types::Mac) -> Option<IpAddr> {
    let ipv6 = spec.ipv6.as_ref().filter(|ipv6| !ipv6.stateful && ipv6.cidr.prefix() == 64)?;
    Some(IpAddr::V6(mac.eui64(ipv6.cidr.network())))
}

/// The addresses that are the bridge's own.
pub fn gateways(spec: &BridgeSpec) -> Vec<IpAddr> {
    spec.addresses().iter().map(Cidr::address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::testing::spec;

    fn line(pairs: &[(&str, &str)]) -> String {
        let account = Account { user: "nobody".to_owned(), group: "lxd".to_owned(), gid: 105 };
        let args = arguments(&spec(pairs), Path::new("D"), &account);
        let line = args.join(" ");
        let start = "--keep-in-foreground --strict-order --bind-interfaces --except-interface=lo --pid-file= --no-ping \
                     --interface=br1 --dhcp-rapid-commit --quiet-dhcp --quiet-dhcp6 --quiet-ra ";
        let end = " --conf-file=D/dnsmasq.raw -u nobody -g lxd";
        line.strip_prefix(start).unwrap().strip_suffix(end).unwrap().to_owned()
    }

    const DHCP: &str = "--dhcp-no-override --dhcp-authoritative --dhcp-leasefile=D/dnsmasq.leases --dhcp-hostsfile=D/dnsmasq.hosts";
    const DNS: &str = "-s lxd --interface-name _gateway.lxd,br1 -S /lxd/";

    #[test]
    fn arguments_are_those_of_the_reference() {
        let v4 = ("ipv4.address", "10.77.0.1/24");
        let v6 = ("ipv6.address", "fd77:1::1/64");
        let slaac =
            "--listen-address=fd77:1::1 --enable-ra --dhcp-range ::,constructor:br1,ra-stateless,ra-names";
        let range = "--dhcp-range 10.77.0.2,10.77.0.254,1h";
        assert_eq!(line(&[v4, v6]), format!("--listen-address=10.77.0.1 {DHCP} {range} {slaac} {DNS}"));
        assert_eq!(
            line(&[v4, v6, ("ipv4.dhcp", "false")]),
            format!(
                "--listen-address=10.77.0.1 --listen-address=fd77:1::1 --enable-ra {DHCP} --dhcp-range \
                 ::,constructor:br1,ra-stateless,ra-names {DNS}"
            )
        );
        assert_eq!(
            line(&[v6, ("ipv6.dhcp", "false"), ("dns.mode", "none")]),
            "--listen-address=fd77:1::1 --enable-ra --dhcp-range ::,constructor:br1,ra-only"
        );
        assert_eq!(
            line(&[
                v4,
                ("ipv4.dhcp.ranges", "10.77.0.50-10.77.0.60, 10.77.0.70-10.77.0.80"),
                ("ipv4.dhcp.expiry", "2h"),
                ("ipv4.dhcp.gateway", "10.77.0.9"),
                ("bridge.mtu", "1400"),
                ("dns.domain", "example"),
                ("dns.search", "a.example,b.example"),
            ]),
            format!(
                "--listen-address=10.77.0.1 {DHCP} --dhcp-option-force=3,10.77.0.9 --dhcp-option-force=26,1400 \
                 --dhcp-option-force=119,a.example,b.example --dhcp-range 10.77.0.50,10.77.0.60,2h --dhcp-range \
                 10.77.0.70,10.77.0.80,2h -s example --interface-name _gateway.example,br1 -S /example/"
            )
        );
        assert_eq!(
            line(&[("ipv6.address", "fd77:1::1/80"), ("ipv6.dhcp.stateful", "true")]),
            format!(
                "--listen-address=fd77:1::1 --enable-ra {DHCP} --dhcp-range fd77:1::2,fd77:1::ffff:ffff:ffff,80,1h {DNS}"
            )
        );
    }

    #[test]
    fn small_networks_have_a_range() {
        for (net, range) in [("10.0.0.1/30", "10.0.0.1,10.0.0.3"), ("10.0.0.1/29", "10.0.0.2,10.0.0.6")] {
            assert!(line(&[("ipv4.address", net)]).contains(&format!("--dhcp-range {range},1h")), "{net}");
        }
    }
}
