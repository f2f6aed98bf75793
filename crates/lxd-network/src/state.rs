//! What the API tells of any interface of the host.

use std::collections::BTreeMap;

use lxd_api::instance_state::{
    InstanceStateNetwork, InstanceStateNetworkAddress, InstanceStateNetworkCounters,
};
use lxd_api::network::{
    NetworkState, NetworkStateAddress, NetworkStateBond, NetworkStateBridge, NetworkStateCounters,
    NetworkStateVlan,
};
use lxd_host::netlink::{Address, BridgeInfo, Link, Netlink};
use lxd_types::{Error, Result};

/// The type of an interface, as the list of networks shows it.
pub fn interface_kind(link: &Link) -> &'static str {
    if link.loopback {
        return "loopback";
    }
    match link.kind.as_deref() {
        Some("bridge") => "bridge",
        Some("vlan") => "vlan",
        Some("bond") => "bond",
        Some("openvswitch") => "bridge",
        Some(_) => "unknown",
        None if is_hardware(&link.name) => "physical",
        None => "unknown",
    }
}

fn is_hardware(name: &str) -> bool {
    !name.contains('/') && std::path::Path::new("/sys/class/net").join(name).join("device").exists()
}

/// State of an interface, managed or not.
///
/// # Errors
/// There is no such interface, or the kernel refuses.
pub async fn interface_state(netlink: &Netlink, name: &str) -> Result<NetworkState> {
    let link = netlink.link(name).await?;
    let link = link.ok_or_else(|| Error::not_found(format!("Network interface {name:?} not found")))?;
    let addresses = netlink.addresses(Some(link.index)).await?;
    let links = netlink.links().await?;
    let name_of =
        |index: u32| links.iter().find(|l| l.index == index).map(|l| l.name.clone()).unwrap_or_default();
    let ports = links.iter().filter(|l| l.master == Some(link.index)).map(|l| l.name.clone());
    Ok(NetworkState {
        addresses: addresses
            .iter()
            .map(|address| NetworkStateAddress {
                family: if address.cidr.address().is_ipv4() { "inet" } else { "inet6" }.to_owned(),
                address: address.cidr.address().to_string(),
                netmask: address.cidr.prefix().to_string(),
                scope: address.scope.word().to_owned(),
            })
            .collect(),
        bond: bond(&link),
        bridge: link.bridge.map(|info| bridge(&info, ports.collect())),
        counters: counters(&link),
        hwaddr: link.mac.filter(|_| !link.loopback).map(|mac| mac.to_string()).unwrap_or_default(),
        mtu: i64::from(link.mtu),
        state: if link.up { "up" } else { "down" }.to_owned(),
        kind: state_kind(&link).to_owned(),
        vlan: link.vlan.map(|vid| NetworkStateVlan {
            lower_device: link.lower.map(name_of).unwrap_or_default(),
            vid: u64::from(vid),
        }),
    })
}

/// The interfaces inside a running instance, by name: read in its network namespace, no process is started.
///
/// # Errors
/// The instance ended meanwhile, or the kernel refuses.
pub async fn instance_interfaces(pid: i32) -> Result<BTreeMap<String, InstanceStateNetwork>> {
    let inside = Netlink::open_in_process(pid)?;
    let (links, addresses) = (inside.links().await?, inside.addresses(None).await?);
    let shown = links.into_iter().map(|link| {
        let own = addresses.iter().filter(|address| address.index == link.index);
        let state = InstanceStateNetwork {
            addresses: own.map(instance_address).collect(),
            counters: instance_counters(&link),
            hwaddr: link.mac.filter(|_| !link.loopback).map(|mac| mac.to_string()).unwrap_or_default(),
            host_name: String::new(),
            mtu: i64::from(link.mtu),
            state: if link.up { "up" } else { "down" }.to_owned(),
            kind: state_kind(&link).to_owned(),
        };
        (link.name, state)
    });
    Ok(shown.collect())
}

fn instance_address(address: &Address) -> InstanceStateNetworkAddress {
    InstanceStateNetworkAddress {
        family: if address.cidr.address().is_ipv4() { "inet" } else { "inet6" }.to_owned(),
        address: address.cidr.address().to_string(),
        netmask: address.cidr.prefix().to_string(),
        scope: address.scope.word().to_owned(),
    }
}

fn instance_counters(link: &Link) -> InstanceStateNetworkCounters {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    InstanceStateNetworkCounters {
        bytes_received: number(link.stats.rx_bytes),
        bytes_sent: number(link.stats.tx_bytes),
        packets_received: number(link.stats.rx_packets),
        packets_sent: number(link.stats.tx_packets),
        errors_received: number(link.stats.rx_errors),
        errors_sent: number(link.stats.tx_errors),
        packets_dropped_outbound: number(link.stats.tx_dropped),
        packets_dropped_inbound: number(link.stats.rx_dropped),
    }
}

/// The type of an interface, as its state shows it.
pub fn state_kind(link: &Link) -> &'static str {
    if link.loopback {
        "loopback"
    } else if link.point_to_point {
        "point-to-point"
    } else if link.broadcast {
        "broadcast"
    } else {
        "unknown"
    }
}

/// Traffic counters of an interface.
pub fn counters(link: &Link) -> NetworkStateCounters {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    NetworkStateCounters {
        bytes_received: number(link.stats.rx_bytes),
        bytes_sent: number(link.stats.tx_bytes),
        packets_received: number(link.stats.rx_packets),
        packets_sent: number(link.stats.tx_packets),
    }
}

fn bridge(info: &BridgeInfo, ports: Vec<String>) -> NetworkStateBridge {
    let address: String =
        info.address.map(|mac| mac.to_string().replace(':', "")).unwrap_or_else(|| "000000000000".to_owned());
    NetworkStateBridge {
        id: format!("{:04x}.{address}", info.priority),
        stp: info.stp,
        forward_delay: u64::from(info.forward_delay),
        // A kernel without VLAN filtering has no default VLAN.
        vlan_default: info.default_vlan.map(u64::from).unwrap_or_default(),
        vlan_filtering: info.vlan_filtering,
        upper_devices: ports,
    }
}

/// Bonds are read from `/sys`; `None` when the interface is none.
fn bond(link: &Link) -> Option<NetworkStateBond> {
    if link.kind.as_deref() != Some("bond") {
        return None;
    }
    let directory = std::path::Path::new("/sys/class/net").join(&link.name).join("bonding");
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap_or_default();
    let word = |file: &str| read(file).split_whitespace().next().unwrap_or_default().to_owned();
    let number = |file: &str| word(file).parse().unwrap_or_default();
    Some(NetworkStateBond {
        mode: word("mode"),
        transmit_policy: word("xmit_hash_policy"),
        up_delay: number("updelay"),
        down_delay: number("downdelay"),
        mii_frequency: number("miimon"),
        mii_state: word("mii_status"),
        lower_devices: read("slaves").split_whitespace().map(str::to_owned).collect(),
    })
}
