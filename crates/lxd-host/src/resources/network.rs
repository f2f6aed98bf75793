//! Network cards and their ports; virtual functions stand below their card.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lxd_api::resources::{
    ResourcesNetwork, ResourcesNetworkCard, ResourcesNetworkCardPort, ResourcesNetworkCardPortInfiniband,
    ResourcesNetworkCardSriov,
};

use super::sysfs::{self, Host};

/// Reads `/sys/class/net`: the interfaces that have a device.
pub fn read(host: &Host) -> ResourcesNetwork {
    let base = host.sys("class/net");
    let mut cards: BTreeMap<PathBuf, ResourcesNetworkCard> = BTreeMap::new();
    for name in sysfs::names(&base) {
        let interface = base.join(&name);
        let Ok(device) = fs::canonicalize(interface.join("device")) else { continue };
        let card = cards.entry(device.clone()).or_insert_with(|| card(host, &device));
        card.ports.push(port(host, &interface, &device, name));
    }
    let mut total = cards.len() as u64;
    let functions: Vec<(PathBuf, PathBuf)> = cards
        .keys()
        .filter_map(|device| Some((device.clone(), fs::canonicalize(device.join("physfn")).ok()?)))
        .collect();
    for (function, parent) in functions {
        let Some(card) = cards.remove(&function) else { continue };
        match cards.get_mut(&parent).and_then(|parent| parent.sriov.as_mut()) {
            Some(sriov) => sriov.vfs.push(card),
            None => drop(cards.insert(function, card)),
        }
    }
    let mut cards: Vec<ResourcesNetworkCard> = cards.into_values().collect();
    cards.sort_by(|a, b| (&a.pci_address, &a.usb_address).cmp(&(&b.pci_address, &b.usb_address)));
    total = total.max(cards.len() as u64);
    ResourcesNetwork { cards, total }
}

fn card(host: &Host, device: &Path) -> ResourcesNetworkCard {
    let (driver, driver_version) = host.driver(device);
    let place = sysfs::place(device);
    let usb = device.join("..");
    let on_usb = !place.usb.is_empty();
    let (vendor_id, product_id) = if on_usb {
        (sysfs::text(&usb.join("idVendor")), sysfs::text(&usb.join("idProduct")))
    } else {
        (sysfs::hex(&device.join("vendor")), sysfs::hex(&device.join("device")))
    };
    let ids = if on_usb { host.usb_ids() } else { host.pci_ids() };
    let maximum_vfs = sysfs::number(&device.join("sriov_totalvfs"));
    ResourcesNetworkCard {
        driver,
        driver_version,
        ports: Vec::new(),
        sriov: maximum_vfs.map(|maximum_vfs| ResourcesNetworkCardSriov {
            current_vfs: sysfs::number(&device.join("sriov_numvfs")).unwrap_or(0),
            maximum_vfs,
            vfs: Vec::new(),
        }),
        numa_node: place.numa,
        pci_address: if on_usb { String::new() } else { place.pci },
        vendor: ids.vendor(&vendor_id),
        product: ids.product(&vendor_id, &product_id),
        vendor_id,
        product_id,
        firmware_version: String::new(),
        usb_address: place.usb,
    }
}

fn port(host: &Host, interface: &Path, device: &Path, name: String) -> ResourcesNetworkCardPort {
    let (infiniband, protocol) = match sysfs::number::<u64>(&interface.join("type")) {
        Some(32) => (infiniband(host, device), "infiniband"),
        Some(1) => (None, "ethernet"),
        _ => (None, "unknown"),
    };
    let speed: i64 = sysfs::number(&interface.join("speed")).unwrap_or(0);
    let duplex = sysfs::text(&interface.join("duplex"));
    ResourcesNetworkCardPort {
        address: sysfs::text(&interface.join("address")),
        port: sysfs::number(&interface.join("dev_port")).unwrap_or(0),
        protocol: protocol.to_owned(),
        link_detected: sysfs::text(&interface.join("carrier")) == "1",
        link_speed: u64::try_from(speed).unwrap_or(0),
        link_duplex: if duplex == "unknown" { String::new() } else { duplex },
        id: name,
        infiniband,
        ..ResourcesNetworkCardPort::default()
    }
}

/// The character devices of an InfiniBand port.
fn infiniband(host: &Host, device: &Path) -> Option<ResourcesNetworkCardPortInfiniband> {
    let mad = device.join("infiniband_mad");
    let verbs = device.join("infiniband_verbs");
    let numbered = |dir: &Path, start: &str| {
        let name = sysfs::names(dir).into_iter().find(|name| name.starts_with(start)).unwrap_or_default();
        let number = sysfs::text(&dir.join(&name).join("dev"));
        (name, number)
    };
    if !mad.is_dir() && !verbs.is_dir() && !host.sys("class/infiniband").is_dir() {
        return None;
    }
    let (issm_name, issm_device) = numbered(&mad, "issm");
    let (mad_name, mad_device) = numbered(&mad, "umad");
    let (verb_name, verb_device) = numbered(&verbs, "uverbs");
    Some(ResourcesNetworkCardPortInfiniband {
        issm_device,
        issm_name,
        mad_device,
        mad_name,
        verb_device,
        verb_name,
    })
}
