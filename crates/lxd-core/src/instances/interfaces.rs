//! The network part of an instance's state: what the kernel says inside its network namespace. Starts no process.

use std::collections::BTreeMap;

use lxd_api::instance::{InstanceStateNetwork, InstanceStateNetworkAddress, InstanceStateNetworkCounters};
use lxd_container::Running;
use lxd_host::netlink::{Address, Link, Netlink, Stats};
use lxd_types::Result;

use super::Model;

/// The interfaces of a running container, by name.
///
/// # Errors
/// The namespace is gone, or the kernel refuses.
pub(super) async fn of(model: &Model, running: &Running) -> Result<BTreeMap<String, InstanceStateNetwork>> {
    let netlink = Netlink::open_in(running.init_fd())?;
    let (links, addresses) = tokio::try_join!(netlink.links(), netlink.addresses(None))?;
    let hosts = host_names(model);
    Ok(links
        .into_iter()
        .map(|link| {
            let host_name = hosts.get(link.name.as_str()).copied().unwrap_or_default();
            let own = addresses.iter().filter(|address| address.index == link.index);
            let view = interface(&link, host_name, own.map(address).collect());
            (link.name, view)
        })
        .collect())
}

/// The name on the host of each interface that has one there, by its name inside.
fn host_names(model: &Model) -> BTreeMap<&str, &str> {
    let volatile = |device: &str, key: &str| model.row.config.get(&format!("volatile.{device}.{key}"));
    let mut names = BTreeMap::new();
    for (device, config) in &model.devices {
        let Some(host_name) = volatile(device, "host_name") else { continue };
        let inside = config.get("name").or_else(|| volatile(device, "name"));
        names.insert(inside.map_or(device.as_str(), String::as_str), host_name.as_str());
    }
    names
}

fn interface(
    link: &Link,
    host_name: &str,
    addresses: Vec<InstanceStateNetworkAddress>,
) -> InstanceStateNetwork {
    let kind = match link {
        Link { loopback: true, .. } => "loopback",
        Link { broadcast: true, .. } => "broadcast",
        Link { point_to_point: true, .. } => "point-to-point",
        _ => "unknown",
    };
    let mac = link.mac.filter(|_| !link.loopback);
    InstanceStateNetwork {
        addresses,
        counters: counters(&link.stats),
        hwaddr: mac.map(|mac| mac.to_string()).unwrap_or_default(),
        host_name: host_name.to_owned(),
        mtu: link.mtu.into(),
        state: if link.up { "up" } else { "down" }.to_owned(),
        kind: kind.to_owned(),
    }
}

fn address(address: &Address) -> InstanceStateNetworkAddress {
    let ip = address.cidr.address();
    InstanceStateNetworkAddress {
        family: if ip.is_ipv4() { "inet" } else { "inet6" }.to_owned(),
        address: ip.to_string(),
        netmask: address.cidr.prefix().to_string(),
        scope: address.scope.word().to_owned(),
    }
}

fn counters(stats: &Stats) -> InstanceStateNetworkCounters {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    InstanceStateNetworkCounters {
        bytes_received: number(stats.rx_bytes),
        bytes_sent: number(stats.tx_bytes),
        packets_received: number(stats.rx_packets),
        packets_sent: number(stats.tx_packets),
        errors_received: number(stats.rx_errors),
        errors_sent: number(stats.tx_errors),
        packets_dropped_outbound: number(stats.tx_dropped),
        packets_dropped_inbound: number(stats.rx_dropped),
    }
}
