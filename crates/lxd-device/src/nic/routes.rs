//! Static routes of the host to an interface.

use lxd_host::netlink::{Netlink, RouteOwner, RouteSpec};
use lxd_types::{Cidr, ConfigExt, Device, Result};

/// The networks that the properties of these names list.
pub(super) fn listed(device: &Device, keys: &[&str]) -> Vec<Cidr> {
    let words = keys.iter().flat_map(|key| device.value(key).split(',').map(str::trim));
    words.filter_map(|word| word.parse().ok()).collect()
}

/// The routes of a device.
pub(super) fn of(device: &Device) -> Vec<Cidr> {
    listed(device, &["ipv4.routes", "ipv6.routes"])
}

/// Adds routes to an interface.
pub(super) async fn add(netlink: &Netlink, interface: &str, networks: &[Cidr]) -> Result<()> {
    for network in networks {
        netlink.add_route(&RouteSpec::new(*network, interface, RouteOwner::Instance)).await?;
    }
    Ok(())
}

/// Removes routes of an interface; success when it is gone, as its routes are then.
pub(super) async fn remove(netlink: &Netlink, interface: &str, networks: &[Cidr]) -> Result<()> {
    if networks.is_empty() || netlink.link(interface).await?.is_none() {
        return Ok(());
    }
    for network in networks {
        netlink.delete_route(&RouteSpec::new(*network, interface, RouteOwner::Instance)).await?;
    }
    Ok(())
}

/// Makes the routes of an interface the new ones.
pub(super) async fn replace(netlink: &Netlink, interface: &str, old: &[Cidr], new: &[Cidr]) -> Result<()> {
    let without = |list: &[Cidr], other: &[Cidr]| -> Vec<Cidr> {
        list.iter().filter(|network| !other.contains(network)).copied().collect()
    };
    remove(netlink, interface, &without(old, new)).await?;
    add(netlink, interface, &without(new, old)).await
}
