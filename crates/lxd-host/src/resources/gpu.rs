//! Graphics cards: those with a driver (DRM) and the others on PCI.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lxd_api::resources::{
    ResourcesGpu, ResourcesGpuCard, ResourcesGpuCardDrm, ResourcesGpuCardMdev, ResourcesGpuCardSriov,
};

use super::sysfs::{self, Host};

/// How the PCI class of display controllers begins.
const DISPLAY: &str = "03";

/// Reads `/sys/class/drm` and `/sys/bus/pci/devices`.
pub fn read(host: &Host) -> ResourcesGpu {
    let mut cards: BTreeMap<PathBuf, ResourcesGpuCard> = BTreeMap::new();
    let drm = host.sys("class/drm");
    for name in sysfs::names(&drm) {
        let number = name.strip_prefix("card").and_then(|rest| rest.parse::<u64>().ok());
        let device = fs::canonicalize(drm.join(&name).join("device"));
        if let (Some(id), Ok(device)) = (number, device) {
            let card = cards.entry(device.clone()).or_insert_with(|| card(host, &device));
            card.drm = Some(read_drm(&device.join("drm"), id, name));
        }
    }
    let pci = host.sys("bus/pci/devices");
    for address in sysfs::names(&pci) {
        let Ok(device) = fs::canonicalize(pci.join(address)) else { continue };
        if sysfs::hex(&device.join("class")).starts_with(DISPLAY) {
            cards.entry(device.clone()).or_insert_with(|| card(host, &device));
        }
    }
    let total = cards.len() as u64;
    ResourcesGpu { cards: below_parents(cards), total }
}

/// Virtual functions stand below the card that they are a part of.
fn below_parents(mut cards: BTreeMap<PathBuf, ResourcesGpuCard>) -> Vec<ResourcesGpuCard> {
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
    cards.into_values().collect()
}

fn card(host: &Host, device: &Path) -> ResourcesGpuCard {
    let (driver, driver_version) = host.driver(device);
    let place = sysfs::place(device);
    let (vendor_id, product_id) = (sysfs::hex(&device.join("vendor")), sysfs::hex(&device.join("device")));
    let maximum_vfs = sysfs::number(&device.join("sriov_totalvfs"));
    ResourcesGpuCard {
        driver,
        driver_version,
        sriov: maximum_vfs.map(|maximum_vfs| ResourcesGpuCardSriov {
            current_vfs: sysfs::number(&device.join("sriov_numvfs")).unwrap_or(0),
            maximum_vfs,
            vfs: Vec::new(),
        }),
        mdev: mdev(&device.join("mdev_supported_types")),
        numa_node: place.numa,
        pci_address: place.pci,
        usb_address: place.usb,
        vendor: host.pci_ids().vendor(&vendor_id),
        product: host.pci_ids().product(&vendor_id, &product_id),
        vendor_id,
        product_id,
        ..ResourcesGpuCard::default()
    }
}

fn read_drm(dir: &Path, id: u64, card_name: String) -> ResourcesGpuCardDrm {
    let numbered = |start: &str| {
        let name = sysfs::names(dir).into_iter().find(|name| name.starts_with(start)).unwrap_or_default();
        let number = sysfs::text(&dir.join(&name).join("dev"));
        (name, number)
    };
    let (control_name, control_device) = numbered("controlD");
    let (render_name, render_device) = numbered("renderD");
    ResourcesGpuCardDrm {
        card_device: sysfs::text(&dir.join(&card_name).join("dev")),
        card_name,
        control_device,
        control_name,
        id,
        render_device,
        render_name,
    }
}

fn mdev(dir: &Path) -> BTreeMap<String, ResourcesGpuCardMdev> {
    let types = sysfs::names(dir).into_iter().map(|name| {
        let profile = dir.join(&name);
        let read = ResourcesGpuCardMdev {
            api: sysfs::text(&profile.join("device_api")),
            available: sysfs::number(&profile.join("available_instances")).unwrap_or(0),
            description: sysfs::text(&profile.join("description")),
            devices: sysfs::names(&profile.join("devices")),
            name: sysfs::text(&profile.join("name")),
        };
        (name, read)
    });
    types.collect()
}
