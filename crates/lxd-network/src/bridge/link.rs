//! The interface of a bridge: made, changed and given its addresses and routes.

use lxd_host::netlink::{Netlink, NewBridge, RouteOwner, RouteSpec, Scope};
use lxd_host::{Ovs, sysctl};
use lxd_types::error::Context;
use lxd_types::{Cidr, Error, Result};

use super::ports;
use super::spec::{BridgeSpec, Driver};
use crate::DEFAULT_MTU;

/// Makes the interface be as it shall be. `before` is what it may be now, wholly or in part.
pub(super) async fn reconcile(
    netlink: &Netlink,
    ovs: &Ovs,
    spec: &BridgeSpec,
    before: &[BridgeSpec],
) -> Result<()> {
    let name = spec.name.as_str();
    if let Some(other) = before.iter().find(|before| before.driver != spec.driver)
        && is_of(netlink, other).await?
    {
        ports::check_unused(netlink, ovs, other, before).await?;
        remove(netlink, ovs, name).await?;
    }
    match spec.driver {
        Driver::Native => native(netlink, spec).await?,
        Driver::OpenVswitch => open_vswitch(netlink, ovs, spec).await?,
    }
    let link = netlink.require(name).await?;
    if link.mtu != spec.mtu.unwrap_or(DEFAULT_MTU) {
        netlink.set_mtu(name, spec.mtu.unwrap_or(DEFAULT_MTU)).await?;
    }
    settings(spec)?;
    netlink.set_up(name).await?;
    addresses(netlink, spec).await?;
    routes(netlink, spec).await?;
    ports::reconcile(netlink, ovs, spec, before).await
}

/// Whether the interface is there and made by the driver of this bridge.
async fn is_of(netlink: &Netlink, spec: &BridgeSpec) -> Result<bool> {
    let link = netlink.link(spec.name.as_str()).await?;
    Ok(link.is_some_and(|link| (link.kind.as_deref() == Some("bridge")) == (spec.driver == Driver::Native)))
}

/// A bridge of the kernel.
async fn native(netlink: &Netlink, spec: &BridgeSpec) -> Result<()> {
    let name = spec.name.as_str();
    match netlink.link(name).await? {
        None => {
            netlink.create_bridge(&NewBridge { name, mac: Some(spec.mac), mtu: spec.mtu }).await?;
            // Only interfaces that ask for a VLAN need it, and they say so when the kernel cannot.
            if let Err(error) = netlink.filter_vlans(name).await {
                tracing::debug!(network = name, error = %error, "VLAN filtering stays off");
            }
        }
        Some(link) if link.kind.as_deref() != Some("bridge") => {
            return Err(Error::conflict(format!(
                "Network interface {name:?} already exists and is not a bridge"
            )));
        }
        Some(link) if link.mac != Some(spec.mac) => netlink.set_mac(name, spec.mac).await?,
        Some(_) => {}
    }
    Ok(())
}

/// A bridge of Open vSwitch, which keeps it over a restart of the host.
async fn open_vswitch(netlink: &Netlink, ovs: &Ovs, spec: &BridgeSpec) -> Result<()> {
    let name = spec.name.as_str();
    if let Some(link) = netlink.link(name).await?
        && (link.kind.as_deref() == Some("bridge") || !ovs.is_bridge(name).await?)
    {
        return Err(Error::conflict(format!(
            "Network interface {name:?} already exists and is not a bridge of Open vSwitch"
        )));
    }
    Ok(ovs.add_bridge(name, spec.mac).await?)
}

/// Removes a bridge of either kind with its tunnels; success when it is gone.
pub(super) async fn remove(netlink: &Netlink, ovs: &Ovs, name: &str) -> Result<()> {
    let Some(link) = netlink.link(name).await? else {
        for tunnel in ports::left_over(&netlink.links().await?, name) {
            netlink.delete_link(&tunnel).await?;
        }
        return Ok(());
    };
    let native = link.kind.as_deref() == Some("bridge");
    if !native && !ovs.is_bridge(name).await? {
        tracing::warn!(network = name, "The interface is no bridge any more and is left alone");
        return Ok(());
    }
    for tunnel in ports::tunnels(netlink, ovs, &link, native).await? {
        netlink.delete_link(&tunnel).await?;
    }
    match native {
        true => Ok(netlink.delete_link(name).await?),
        false => Ok(ovs.delete_bridge(name).await?),
    }
}

/// Settings of the kernel for the interface, and forwarding on the host.
fn settings(spec: &BridgeSpec) -> Result<()> {
    let name = spec.name.as_str();
    if sysctl::exists("net/ipv6") {
        let key = |setting: &str| format!("net/ipv6/conf/{name}/{setting}");
        set(&key("disable_ipv6"), if spec.ipv6.is_some() { "0" } else { "1" })?;
        set(&key("autoconf"), "0")?;
        set(&key("accept_dad"), "0")?;
    }
    if spec.ipv4.as_ref().is_some_and(|ipv4| ipv4.family.routing) {
        set("net/ipv4/ip_forward", "1")?;
    }
    if spec.ipv6.as_ref().is_some_and(|ipv6| ipv6.family.routing) {
        forward_ipv6()?;
    }
    Ok(())
}

/// A host that forwards no longer listens to routers, unless `accept_ra` says 2: those that listened go on listening.
fn forward_ipv6() -> Result<()> {
    const ALL: &str = "net/ipv6/conf/all/forwarding";
    if sysctl::read(ALL).is_ok_and(|value| value == "1") {
        return Ok(());
    }
    let conf = std::fs::read_dir("/proc/sys/net/ipv6/conf").context("Failed to list IPv6 settings")?;
    for interface in conf.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let key = format!("net/ipv6/conf/{interface}/accept_ra");
        if sysctl::read(&key).is_ok_and(|value| value == "1") {
            set(&key, "2")?;
        }
    }
    set(ALL, "1")
}

fn set(key: &str, value: &str) -> Result<()> {
    sysctl::write(key, value).context(format!("Failed to set the kernel setting {key}={value}"))
}

/// Exactly the wanted addresses; those that the kernel makes by itself on the link stay.
async fn addresses(netlink: &Netlink, spec: &BridgeSpec) -> Result<()> {
    let name = spec.name.as_str();
    let index = netlink.require(name).await?.index;
    let wanted = spec.addresses();
    let there = netlink.addresses(Some(index)).await?;
    let surplus =
        there.iter().filter(|address| address.scope == Scope::Global && !wanted.contains(&address.cidr));
    for address in surplus {
        netlink.delete_address(name, address.cidr).await?;
    }
    for cidr in wanted.into_iter().filter(|cidr| !there.iter().any(|address| address.cidr == *cidr)) {
        netlink.add_address(name, cidr).await?;
    }
    Ok(())
}

/// Exactly the wanted static routes.
async fn routes(netlink: &Netlink, spec: &BridgeSpec) -> Result<()> {
    let interface = spec.name.as_str();
    let index = netlink.require(interface).await?.index;
    let wanted: Vec<Cidr> = spec.routes().iter().map(Cidr::subnet).collect();
    let routes = netlink.routes().await?;
    let there: Vec<Cidr> = routes
        .iter()
        .filter(|route| route.is_static && route.gateway.is_none() && route.output == Some(index))
        .map(|route| route.destination)
        .collect();
    for destination in there.iter().copied().filter(|route| !wanted.contains(route)) {
        netlink.delete_route(&RouteSpec::new(destination, interface, RouteOwner::Network)).await?;
    }
    for destination in wanted.into_iter().filter(|route| !there.contains(route)) {
        netlink.add_route(&RouteSpec::new(destination, interface, RouteOwner::Network)).await?;
    }
    Ok(())
}
