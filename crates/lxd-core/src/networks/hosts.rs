//! The interfaces of instances on a managed bridge, as its DHCP and DNS service shall know them.

use lxd_db::{Tx, instances};
use lxd_network::bridge::hosts::StaticHost;
use lxd_types::{ConfigExt, Device, DeviceExt, Flag, Result};

use crate::instances::{Model, models};

/// The static entries of a bridge: every interface on it whose hardware address is known.
///
/// # Errors
/// A failure of the database.
pub(super) fn of(tx: &Tx<'_>, network: &str) -> Result<Vec<StaticHost>> {
    Ok(of_each(tx, &[network])?.pop().unwrap_or_default())
}

/// [`of`] for several bridges, reading the instances once.
///
/// # Errors
/// A failure of the database.
pub(super) fn of_each(tx: &Tx<'_>, networks: &[&str]) -> Result<Vec<Vec<StaticHost>>> {
    let models = models(tx, instances::Filter::default())?;
    let of = |network: &&str| models.iter().flat_map(|model| of_instance(model, network)).collect();
    Ok(networks.iter().map(of).collect())
}

/// The entries of one instance.
fn of_instance(model: &Model, network: &str) -> Vec<StaticHost> {
    let nics = model.devices.iter().filter(|(_, device)| is_on(device, network));
    nics.filter_map(|(name, device)| {
        let kept = format!("volatile.{name}.hwaddr");
        Some(StaticHost {
            project: model.key.project.clone(),
            instance: model.key.name.clone(),
            device: name.parse().ok()?,
            mac: device.set("hwaddr").unwrap_or_else(|| model.row.config.value(&kept)).parse().ok()?,
            ipv4: device.value("ipv4.address").parse().ok(),
            ipv6: device.value("ipv6.address").parse().ok(),
            fix_ipv4: fixes(device, "ipv4"),
            fix_ipv6: fixes(device, "ipv6"),
        })
    })
    .collect()
}

/// Whether an address is to be fixed, given or not: the filter lets only that one pass.
fn fixes(device: &Device, family: &str) -> bool {
    device.flag(&format!("security.{family}_filtering"), Flag::DefaultFalse)
        && device.value(&format!("{family}.address")) != "none"
}

/// Whether a device is an interface on this bridge.
fn is_on(device: &Device, network: &str) -> bool {
    device.kind() == "nic"
        && (device.value("network") == network
            || (device.value("nictype") == "bridged" && device.value("parent") == network))
}
