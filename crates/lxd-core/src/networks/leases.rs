//! `GET /1.0/networks/{name}/leases`.

use std::collections::{HashMap, HashSet};

use lxd_api::network::NetworkLease;
use lxd_auth::Permit;
use lxd_db::{networks, nodes, projects};
use lxd_network::bridge::hosts::StaticHost;
use lxd_network::bridge::leases::Lease;
use lxd_network::bridge::{BridgeSpec, dnsmasq};
use lxd_types::names::{NetworkName, ProjectName};
use lxd_types::{Error, Result};

use super::{hosts, spec};
use crate::SharedCore;

/// The addresses of a managed network: its own, the fixed ones of instances, and those that were given out.
///
/// # Errors
/// `Failed loading network: Network not found`; `Not implemented` for one that is no bridge.
pub async fn leases(core: &SharedCore, permit: &Permit, name: &str) -> Result<Vec<NetworkLease>> {
    let (project, wanted) = (permit.project().clone(), name.to_owned());
    let row = core.db.read(move |tx| super::row(tx, &project, &wanted)).await?;
    if row.kind != networks::BRIDGE {
        return Err(Error::not_implemented("Not implemented"));
    }
    let network: NetworkName = row.name.parse()?;
    let hosts = match core.bridges.hosts(&network) {
        Some(hosts) => hosts,
        None => {
            let name = network.to_string();
            core.db.read(move |tx| hosts::of(tx, &name)).await?
        }
    };
    let given = core.bridges.leases(&network).await?;
    Ok(plan(&spec::of(&row)?, &hosts, &given, permit.project()))
}

/// What one project is shown: nothing of the instances of others.
fn plan(
    spec: &BridgeSpec,
    hosts: &[StaticHost],
    given: &[Lease],
    project: &ProjectName,
) -> Vec<NetworkLease> {
    let gateway = |address: std::net::IpAddr| NetworkLease {
        hostname: format!("{}.gw", spec.name),
        address: address.to_string(),
        kind: "gateway".to_owned(),
        ..NetworkLease::default()
    };
    let mut leases: Vec<NetworkLease> = match project.as_str() {
        projects::DEFAULT_NAME => dnsmasq::gateways(spec).into_iter().map(gateway).collect(),
        _ => Vec::new(),
    };
    let mine = |host: &&StaticHost| host.project == *project;
    for host in hosts.iter().filter(mine) {
        let fixed = host.addresses().into_iter().map(|cidr| of_host(host, cidr.address(), "static"));
        leases.extend(fixed);
        let automatic = dnsmasq::slaac(spec, host.mac).filter(|_| host.ipv6.is_none());
        leases.extend(automatic.map(|address| of_host(host, address, "dynamic")));
    }
    let mut seen: HashSet<String> = leases.iter().map(|lease| lease.address.clone()).collect();
    let by_mac: HashMap<_, _> = hosts.iter().map(|host| (host.mac, host)).collect();
    for lease in given {
        let owner = lease.mac.and_then(|mac| by_mac.get(&mac).copied());
        // What belongs to no instance belongs to the network, and so to its project.
        let visible =
            owner.map_or(project.as_str() == projects::DEFAULT_NAME, |host| host.project == *project);
        if visible && seen.insert(lease.address.to_string()) {
            leases.push(of_lease(lease, owner));
        }
    }
    leases
}

fn of_host(host: &StaticHost, address: std::net::IpAddr, kind: &str) -> NetworkLease {
    NetworkLease {
        hostname: host.instance.to_string(),
        hwaddr: host.mac.to_string(),
        address: address.to_string(),
        kind: kind.to_owned(),
        location: nodes::LONE_NAME.to_owned(),
    }
}

fn of_lease(lease: &Lease, owner: Option<&StaticHost>) -> NetworkLease {
    let own_name = owner.map(|host| host.instance.to_string()).filter(|_| lease.hostname.is_empty());
    NetworkLease {
        hostname: own_name.unwrap_or_else(|| lease.hostname.clone()),
        hwaddr: lease
            .mac
            .or_else(|| owner.map(|host| host.mac))
            .map(|mac| mac.to_string())
            .unwrap_or_default(),
        address: lease.address.to_string(),
        kind: "dynamic".to_owned(),
        location: nodes::LONE_NAME.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_types::Mac;

    #[test]
    fn a_project_sees_its_own() {
        let config = [("ipv4.address".to_owned(), "10.77.0.1/24".to_owned())].into();
        let spec = BridgeSpec::new(&"br1".parse().unwrap(), &config, Mac::instance([0; 3])).unwrap();
        let host = |project: &str, name: &str, last: u8, ipv4: Option<&str>| StaticHost {
            project: project.parse().unwrap(),
            instance: name.parse().unwrap(),
            device: "eth0".parse().unwrap(),
            mac: Mac::instance([0, 0, last]),
            ipv4: ipv4.map(|text| text.parse().unwrap()),
            ipv6: None,
            fix_ipv4: false,
            fix_ipv6: false,
        };
        let hosts = [host("default", "c1", 1, Some("10.77.0.9")), host("p1", "c2", 2, None)];
        let lease = |last: u8, address: &str, name: &str| Lease {
            mac: Some(Mac::instance([0, 0, last])),
            address: address.parse().unwrap(),
            hostname: name.to_owned(),
            expires: 1,
        };
        let given =
            [lease(1, "10.77.0.9", "c1"), lease(2, "10.77.0.10", ""), lease(3, "10.77.0.11", "guest")];
        let shown = |project: &str| -> Vec<String> {
            let leases = plan(&spec, &hosts, &given, &project.parse().unwrap());
            leases.iter().map(|l| format!("{} {} {}", l.hostname, l.address, l.kind)).collect()
        };
        assert_eq!(
            shown("default"),
            ["br1.gw 10.77.0.1 gateway", "c1 10.77.0.9 static", "guest 10.77.0.11 dynamic"]
        );
        assert_eq!(shown("p1"), ["c2 10.77.0.10 dynamic"]);
    }
}
