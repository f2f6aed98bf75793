//! The interface of the host below a device, and its VLANs.

use lxd_host::netlink::{Link, Netlink, NewOnParent};
use lxd_types::{Config, ConfigExt, Device, Error, Flag, Result};

use crate::context::Context;
use crate::started::Volatile;

/// The interface below a device.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    /// As it is on the host.
    pub link: Link,
    /// Whether it is a VLAN that was made for the device.
    pub created: bool,
}

/// The properties that decide about the parent: the device's own, or its network's.
pub(super) fn properties<'a>(context: &'a Context, device: &'a Device) -> &'a Config {
    match &context.network {
        Some(network) if device.set("network").is_some() => &network.config,
        _ => device,
    }
}

/// The MTU of the device: its own, or its network's.
pub(super) fn mtu(context: &Context, device: &Device) -> Option<u32> {
    super::veth::mtu(properties(context, device))
}

/// The name of the interface below a device: `PARENT`, or `PARENT.VLAN`.
pub fn name(properties: &Config) -> String {
    let parent = properties.value("parent");
    // VLAN 0 stands for "without a VLAN".
    properties
        .set("vlan")
        .filter(|vlan| *vlan != "0")
        .map_or_else(|| parent.to_owned(), |vlan| format!("{parent}.{vlan}"))
}

impl Parent {
    /// Finds the parent; a VLAN that is missing is made.
    ///
    /// # Errors
    /// There is no such interface, or the kernel makes no VLANs.
    pub async fn find(netlink: &Netlink, context: &Context, device: &Device) -> Result<Self> {
        let properties = properties(context, device);
        let (parent, wanted) = (properties.value("parent"), name(properties));
        let missing = || Error::not_found(format!("Parent device '{parent}' doesn't exist"));
        if netlink.link(parent).await?.is_none() {
            return Err(missing());
        }
        if let Some(link) = netlink.link(&wanted).await? {
            return Ok(Self { link, created: false });
        }
        let vlan = properties.value("vlan").parse().map_err(|_| missing())?;
        lxd_network::check_interface(&wanted)?;
        let new = NewOnParent { name: &wanted, parent, ..NewOnParent::default() };
        netlink.create_vlan(&new, vlan, properties.flag("gvrp", Flag::DefaultFalse)).await?;
        Ok(Self { link: netlink.require(&wanted).await?, created: true })
    }

    /// Removes the VLAN again when something else failed.
    pub async fn give_up(&self, netlink: &Netlink) {
        if self.created
            && let Err(left) = netlink.delete_link(&self.link.name).await
        {
            tracing::error!(interface = self.link.name, error = %left, "A VLAN interface is left over");
        }
    }

    /// What is remembered of it.
    pub fn remember(&self, volatile: &mut Volatile) {
        volatile.insert("last_state.created".to_owned(), self.created.to_string());
    }
}

/// Removes the VLAN that was made for a device, unless somebody else uses it by now.
pub(super) async fn release(netlink: &Netlink, context: &Context, device: &Device) -> Result<()> {
    if context.volatile.value("last_state.created") == "true" && !context.shares_parent {
        netlink.delete_link(&name(properties(context, device))).await?;
    }
    Ok(())
}
