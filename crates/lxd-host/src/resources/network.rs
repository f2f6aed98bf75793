//! Network cards and their ports; virtual functions stand below their card.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lxd_api::resources::{
    ResourcesNetwork, ResourcesNetworkCard, ResourcesNetworkCardPort, ResourcesNetworkCardPortInfiniband,
    ResourcesNetworkCardSriov,
};

use lxd_sys::ethtool;

use super::sysfs::{self, Host};

/// Bits of the modes of a port (`linux/ethtool.h`).
const MODES: &[(u32, &str)] = &[
    (0, "10baseT/Half"),
    (1, "10baseT/Full"),
    (2, "100baseT/Half"),
    (3, "100baseT/Full"),
    (4, "1000baseT/Half"),
    (5, "1000baseT/Full"),
    (12, "10000baseT/Full"),
    (15, "2500baseX/Full"),
    (17, "1000baseKX/Full"),
    (18, "10000baseKX4/Full"),
    (19, "10000baseKR/Full"),
    (20, "10000baseR_FEC"),
    (21, "20000baseMLD2/Full"),
    (22, "20000baseKR2/Full"),
    (23, "40000baseKR4/Full"),
    (24, "40000baseCR4/Full"),
    (25, "40000baseSR4/Full"),
    (26, "40000baseLR4/Full"),
    (27, "56000baseKR4/Full"),
    (28, "56000baseCR4/Full"),
    (29, "56000baseSR4/Full"),
    (30, "56000baseLR4/Full"),
    (31, "25000baseCR/Full"),
];

/// Bits of the kinds of a port.
const PORTS: &[(u32, &str)] = &[
    (7, "twisted pair"),
    (8, "aui"),
    (9, "media-independent"),
    (10, "fibre"),
    (11, "bnc"),
    (16, "backplane"),
];

/// Reads `/sys/class/net`: the interfaces that have a device.
pub fn read(host: &Host) -> ResourcesNetwork {
    let base = host.sys("class/net");
    let mut cards: BTreeMap<PathBuf, ResourcesNetworkCard> = BTreeMap::new();
    for name in sysfs::names(&base) {
        let interface = base.join(&name);
        let Ok(device) = fs::canonicalize(interface.join("device")) else { continue };
        let card = cards.entry(device.clone()).or_insert_with(|| card(host, &device, &name));
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

fn card(host: &Host, device: &Path, interface: &str) -> ResourcesNetworkCard {
    let firmware = host.is_running().then(|| ethtool::firmware(interface).ok()).flatten();
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
        // Drivers without firmware say so in words.
        firmware_version: firmware.filter(|version| version != "N/A").unwrap_or_default(),
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
    let told = host.is_running().then(|| ethtool::port(&name).ok()).flatten();
    ResourcesNetworkCardPort {
        address: sysfs::text(&interface.join("address")),
        port: sysfs::number(&interface.join("dev_port")).unwrap_or(0),
        protocol: protocol.to_owned(),
        link_detected: sysfs::text(&interface.join("carrier")) == "1",
        link_speed: u64::try_from(speed).unwrap_or(0),
        link_duplex: if duplex == "unknown" { String::new() } else { duplex },
        supported_modes: told.map(|told| named(told.supported, MODES)).unwrap_or_default(),
        supported_ports: told.map(|told| named(told.supported, PORTS)).unwrap_or_default(),
        port_type: told.map_or("", |told| port_type(told.port)).to_owned(),
        transceiver_type: told.map_or("", |told| transceiver(told.transceiver)).to_owned(),
        auto_negotiation: told.is_some_and(|told| told.autoneg),
        id: name,
        infiniband,
    }
}

/// The names whose bits are set.
fn named(bits: u32, names: &[(u32, &str)]) -> Vec<String> {
    names.iter().filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, name)| (*name).to_owned()).collect()
}

fn port_type(number: u8) -> &'static str {
    match number {
        0 => "twisted pair",
        1 => "aui",
        2 => "media-independent",
        3 => "fibre",
        4 => "bnc",
        5 => "direct attach",
        0xef => "none",
        _ => "other",
    }
}

fn transceiver(number: u8) -> &'static str {
    match number {
        0 => "internal",
        1 => "external",
        _ => "",
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
