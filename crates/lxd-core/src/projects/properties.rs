//! `restricted.devices.*=managed`: which properties interfaces of managed networks and disks of pools may have. Pure;
//! what nobody declared harmless is refused (security.md R6).

use lxd_config::{AnyKey, Restriction};
use lxd_device::disk::DISK;
use lxd_device::nic::{self, SUBNETS_RULE};
use lxd_types::{Cidr, Config, ConfigExt};

/// Why an interface of a managed network is forbidden.
pub(super) fn of_nic(rules: &Config, device: &Config) -> Option<String> {
    let mut set = device.iter().filter(|(_, value)| !value.is_empty());
    set.find_map(|(key, value)| {
        let classes: Vec<Restriction> = nic::restrictions(key).collect();
        match classes.first() {
            Some(Restriction::Project(SUBNETS_RULE)) => {
                let subnet = foreign_subnet(rules, device.value("network"), value)?;
                Some(format!("Use of {key:?} with {subnet} is forbidden"))
            }
            Some(_) if classes.iter().all(|class| *class == Restriction::Safe) => None,
            _ => Some(forbidden(key)),
        }
    })
}

/// Why a disk of a pool is forbidden.
pub(super) fn of_disk(device: &Config) -> Option<String> {
    let mut set = device.iter().filter(|(_, value)| !value.is_empty());
    let class = |key: &str| DISK.find(key).map(AnyKey::meta).map(|meta| meta.restriction);
    set.find(|(key, _)| class(key) != Some(Restriction::Safe)).map(|(key, _)| forbidden(key))
}

fn forbidden(key: &str) -> String {
    format!("Use of {key:?} is forbidden")
}

/// The first of these subnets that is not within one which the project was given of the network.
fn foreign_subnet<'a>(rules: &Config, network: &str, value: &'a str) -> Option<&'a str> {
    let given: Vec<Cidr> = rules
        .value(SUBNETS_RULE)
        .split(',')
        .filter_map(|item| item.trim().split_once(':').filter(|(of, _)| *of == network)?.1.parse().ok())
        .collect();
    let within = |subnet: &str| {
        subnet.parse::<Cidr>().is_ok_and(|subnet| {
            let fits = |given: &Cidr| given.prefix() <= subnet.prefix() && given.contains(subnet.address());
            given.iter().any(fits)
        })
    };
    value.split(',').map(str::trim).find(|subnet| !within(subnet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// Every property of interfaces, and whether a managed one in a restricted project may have it.
    #[test]
    fn properties_of_interfaces() {
        let open = [
            "boot.priority",
            "hwaddr",
            "ipv4.address",
            "ipv6.address",
            "limits.egress",
            "limits.ingress",
            "limits.max",
            "mtu",
            "name",
            "network",
            "security.ipv4_filtering",
            "security.ipv6_filtering",
            "security.mac_filtering",
            "security.port_isolation",
            "type",
            "user.*",
        ];
        let tables = [
            &nic::BRIDGED,
            &nic::MACVLAN,
            &nic::PHYSICAL,
            &nic::SRIOV,
            &nic::P2P,
            &nic::ROUTED,
            &nic::IPVLAN,
        ];
        for key in tables.iter().flat_map(|table| table.keys()) {
            let name = key.meta().name;
            let device = map(&[("network", "br0"), (&name.replace('*', "x"), "1")]);
            assert_eq!(of_nic(&map(&[]), &device).is_none(), open.contains(&name), "{name}");
        }
        assert!(of_nic(&map(&[]), &map(&[("no.such", "1")])).is_some());
    }

    #[test]
    fn properties_of_disks() {
        let closed = ["ceph.cluster_name", "ceph.user_name", "propagation", "raw.mount.options"];
        for key in DISK.keys() {
            let name = key.meta().name;
            let refused = of_disk(&map(&[(&name.replace('*', "x"), "1")])).is_some();
            assert_eq!(refused, closed.contains(&name), "{name}");
        }
        assert!(of_disk(&map(&[("no.such", "1")])).is_some());
    }

    #[test]
    fn routes_stay_in_the_subnets_of_the_project() {
        let rules =
            map(&[("restricted.networks.subnets", "br0:192.0.2.0/24, br0:2001:db8::/48,br1:0.0.0.0/0")]);
        for (key, value, good) in [
            ("ipv4.routes", "192.0.2.0/25, 192.0.2.128/25", true),
            ("ipv4.routes", "192.0.2.0/25,192.0.3.0/25", false),
            ("ipv4.routes", "192.0.0.0/16", false),
            ("ipv4.routes", "x", false),
            ("ipv6.routes", "2001:db8:0:7::/64", true),
            ("ipv6.routes", "2001:db9::/64", false),
        ] {
            let device = map(&[("network", "br0"), (key, value)]);
            assert_eq!(of_nic(&rules, &device).is_none(), good, "{key}={value}");
            assert!(of_nic(&map(&[("restricted.networks.subnets", "block")]), &device).is_some());
        }
    }
}
