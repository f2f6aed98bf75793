//! Ports of a bridge that are not of instances: interfaces of the host and tunnels.

use lxd_host::Ovs;
use lxd_host::netlink::{Link, Netlink, PortVlans, Scope};
use lxd_types::{Error, Result};

use super::spec::{BridgeSpec, Driver};
use super::tunnel;
use crate::DEFAULT_MTU;

/// Adds the ports that shall be there and removes those that no longer shall.
pub(super) async fn reconcile(
    netlink: &Netlink,
    ovs: &Ovs,
    spec: &BridgeSpec,
    before: &[BridgeSpec],
) -> Result<()> {
    let bridge = netlink.require(spec.name.as_str()).await?;
    let dropped = before.iter().flat_map(|before| &before.external);
    for name in dropped.filter(|name| !spec.external.contains(name)) {
        detach(netlink, ovs, spec, &bridge, name).await?;
    }
    let there = tunnels(netlink, ovs, &bridge, spec.driver == Driver::Native).await?;
    for name in there.iter().filter(|name| !spec.tunnels.iter().any(|tunnel| tunnel.interface == **name)) {
        detach(netlink, ovs, spec, &bridge, name).await?;
        netlink.delete_link(name).await?;
    }
    for name in &spec.external {
        add_external(netlink, ovs, spec, &bridge, name).await?;
    }
    let master = (spec.driver == Driver::Native).then_some(bridge.index);
    for tunnel in &spec.tunnels {
        tunnel::reconcile(netlink, tunnel, spec.mtu.unwrap_or(DEFAULT_MTU), master).await?;
        attach(netlink, ovs, spec, &bridge, &tunnel.interface).await?;
    }
    Ok(())
}

/// Interfaces of the host become ports when they are there and not configured otherwise.
async fn add_external(
    netlink: &Netlink,
    ovs: &Ovs,
    spec: &BridgeSpec,
    bridge: &Link,
    name: &str,
) -> Result<()> {
    let Some(link) = netlink.link(name).await? else {
        tracing::warn!(network = %spec.name, interface = name, "Skipping an interface that is not there");
        return Ok(());
    };
    if spec.driver == Driver::Native && link.master == Some(bridge.index) {
        return Ok(());
    }
    let addresses = netlink.addresses(Some(link.index)).await?;
    let foreign = link.master.is_some() && spec.driver == Driver::Native;
    if addresses.iter().any(|address| address.scope == Scope::Global) || foreign {
        return Err(Error::bad_request("Only unconfigured network interfaces can be bridged"));
    }
    attach(netlink, ovs, spec, bridge, name).await
}

async fn attach(netlink: &Netlink, ovs: &Ovs, spec: &BridgeSpec, bridge: &Link, port: &str) -> Result<()> {
    match spec.driver {
        Driver::Native if netlink.require(port).await?.master != Some(bridge.index) => {
            netlink.set_master(port, Some(&bridge.name)).await?;
        }
        Driver::Native => {}
        Driver::OpenVswitch => ovs.add_port(&bridge.name, port, &PortVlans::default()).await?,
    }
    Ok(netlink.set_up(port).await?)
}

async fn detach(netlink: &Netlink, ovs: &Ovs, spec: &BridgeSpec, bridge: &Link, port: &str) -> Result<()> {
    match (spec.driver, netlink.link(port).await?) {
        (Driver::OpenVswitch, _) => Ok(ovs.delete_port(&bridge.name, port).await?),
        (Driver::Native, Some(link)) if link.master == Some(bridge.index) => {
            Ok(netlink.set_master(port, None).await?)
        }
        (Driver::Native, _) => Ok(()),
    }
}

/// The tunnels that were made for a bridge: those with its name before theirs that are its ports, or nobody's.
pub(super) async fn tunnels(
    netlink: &Netlink,
    ovs: &Ovs,
    bridge: &Link,
    native: bool,
) -> Result<Vec<String>> {
    let start = format!("{}-", bridge.name);
    let links = netlink.links().await?;
    let mut ours: Vec<&Link> =
        links.iter().filter(|link| link.name.starts_with(&start) && tunnel::is_tunnel(link)).collect();
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let alone = left_over(&links, &bridge.name);
    match native {
        true => ours.retain(|link| link.master == Some(bridge.index) || alone.contains(&link.name)),
        false => {
            let ports = ovs.ports(&bridge.name).await?;
            ours.retain(|link| ports.contains(&link.name) || alone.contains(&link.name));
        }
    }
    Ok(ours.into_iter().map(|link| link.name.clone()).collect())
}

/// Tunnels that were made for a bridge of this name and are nobody's port, by name: an end came between, or their bridge
/// is gone. Those of a bridge with a longer name are not meant.
pub(super) fn left_over(links: &[Link], bridge: &str) -> Vec<String> {
    let start = format!("{bridge}-");
    let of_another = |name: &str| {
        let longer = |link: &&Link| link.name.starts_with(&start) && !tunnel::is_tunnel(link);
        links.iter().filter(longer).any(|link| name.starts_with(&format!("{}-", link.name)))
    };
    let alone = |link: &&Link| link.master.is_none() && link.name.starts_with(&start);
    let tunnels = links.iter().filter(alone).filter(|link| tunnel::is_tunnel(link));
    tunnels.map(|link| link.name.clone()).filter(|name| !of_another(name)).collect()
}

/// Refuses while instances are on the bridge: they would be cut off. `before` is what the bridge may be now.
pub(super) async fn check_unused(
    netlink: &Netlink,
    ovs: &Ovs,
    spec: &BridgeSpec,
    before: &[BridgeSpec],
) -> Result<()> {
    let Some(bridge) = netlink.link(spec.name.as_str()).await? else { return Ok(()) };
    let ports: Vec<String> = match spec.driver {
        Driver::Native => {
            let links = netlink.links().await?.into_iter();
            links.filter(|link| link.master == Some(bridge.index)).map(|link| link.name).collect()
        }
        Driver::OpenVswitch => ovs.ports(&bridge.name).await?,
    };
    let ours = |name: &String| {
        let tunnel = |spec: &BridgeSpec| spec.tunnels.iter().any(|tunnel| tunnel.interface == *name);
        before.iter().any(|spec| spec.external.contains(name) || tunnel(spec))
    };
    match ports.iter().find(|name| !ours(name)) {
        None => Ok(()),
        Some(port) => Err(Error::conflict(format!(
            "The bridge driver of network {:?} cannot be changed while {port:?} is connected to it",
            spec.name.as_str()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_over_is_nobodys_tunnel_with_the_bridges_name() {
        let link = |name: &str, kind: &str, master: Option<u32>| Link {
            name: name.to_owned(),
            kind: Some(kind.to_owned()),
            master,
            ..Link::default()
        };
        let links = [
            link("br1", "bridge", None),
            link("br1-a", "vxlan", None),
            link("br1-b", "gretap", None),
            link("br1-c", "vxlan", Some(7)),
            link("br1-d", "veth", None),
            link("br1-x", "bridge", None),
            link("br1-x-a", "vxlan", None),
            link("br10-a", "vxlan", None),
        ];
        assert_eq!(left_over(&links, "br1"), ["br1-a", "br1-b"]);
        assert_eq!(left_over(&links, "br1-x"), ["br1-x-a"]);
    }
}
