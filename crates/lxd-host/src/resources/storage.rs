//! Disks and their partitions.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use lxd_api::resources::{ResourcesStorage, ResourcesStorageDisk, ResourcesStorageDiskPartition};

use super::sysfs::{self, Host};

/// Bytes in a sector, whatever the disk's own sectors are.
const SECTOR: u64 = 512;

/// Reads `/sys/class/block`: what has a device of its own. The total counts disks and partitions.
pub fn read(host: &Host) -> ResourcesStorage {
    let base = host.sys("class/block");
    let ids = links(&host.path("dev/disk/by-id"));
    let paths = links(&host.path("dev/disk/by-path"));
    let names = sysfs::names(&base).into_iter();
    let disks: Vec<ResourcesStorageDisk> = names
        .filter(|name| {
            let block = base.join(name);
            block.join("device").exists()
                && !block.join("partition").exists()
                && sysfs::text(&block.join("size")) != "0"
        })
        .map(|name| {
            let mut disk = disk(host, &base.join(&name), &name);
            disk.device_id = ids.get(&name).cloned().unwrap_or_default();
            disk.device_path = paths.get(&name).cloned().unwrap_or_default();
            disk
        })
        .collect();
    let total = disks.iter().map(|disk| 1 + disk.partitions.len() as u64).sum();
    ResourcesStorage { disks, total }
}

fn disk(host: &Host, block: &Path, name: &str) -> ResourcesStorageDisk {
    let device = block.join("device");
    let place = sysfs::place(&device);
    let number = sysfs::text(&block.join("dev"));
    let udev = udev(host, &number);
    let told = |key: &str, file: &str| {
        let from_udev = udev.get(key).cloned().unwrap_or_default();
        if from_udev.is_empty() { sysfs::text(&device.join(file)) } else { from_udev }
    };
    ResourcesStorageDisk {
        id: name.to_owned(),
        model: told("ID_MODEL", "model"),
        kind: kind(block, &device, name, &place.usb, &udev),
        read_only: flag(block, "ro"),
        size: sectors(block),
        removable: flag(block, "removable"),
        wwn: udev.get("ID_WWN").cloned().unwrap_or_default(),
        numa_node: place.numa,
        block_size: sysfs::number(&block.join("queue/physical_block_size")).unwrap_or(0),
        firmware_version: told("ID_REVISION", "firmware_rev"),
        rpm: sysfs::number(&block.join("queue/rotational")).unwrap_or(0),
        serial: told("ID_SERIAL_SHORT", "serial"),
        partitions: partitions(block, name),
        pci_address: if place.usb.is_empty() { place.pci } else { String::new() },
        usb_address: place.usb,
        device: number,
        ..ResourcesStorageDisk::default()
    }
}

/// How the disk is connected.
fn kind(block: &Path, device: &Path, name: &str, usb: &str, udev: &HashMap<String, String>) -> String {
    if name.starts_with("sr") {
        return "cdrom".to_owned();
    }
    if !usb.is_empty() {
        return "usb".to_owned();
    }
    let real = fs::canonicalize(block).unwrap_or_default();
    if udev.get("ID_BUS").is_some_and(|bus| bus == "ata")
        || real.iter().any(|part| is_ata(&part.to_string_lossy()))
    {
        return "sata".to_owned();
    }
    let bus = sysfs::link_name(&device.join("subsystem"));
    if bus.is_empty() { "unknown".to_owned() } else { bus }
}

/// True for `ata1`.
fn is_ata(part: &str) -> bool {
    part.strip_prefix("ata").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn partitions(block: &Path, disk: &str) -> Vec<ResourcesStorageDiskPartition> {
    let mut found: Vec<ResourcesStorageDiskPartition> = sysfs::names(block)
        .into_iter()
        .filter(|name| name.starts_with(disk))
        .filter_map(|name| {
            let dir = block.join(&name);
            Some(ResourcesStorageDiskPartition {
                partition: sysfs::number(&dir.join("partition"))?,
                device: sysfs::text(&dir.join("dev")),
                read_only: flag(&dir, "ro"),
                size: sectors(&dir),
                id: name,
            })
        })
        .collect();
    found.sort_by_key(|partition| partition.partition);
    found
}

fn flag(dir: &Path, file: &str) -> bool {
    sysfs::text(&dir.join(file)) == "1"
}

fn sectors(dir: &Path) -> u64 {
    sysfs::number::<u64>(&dir.join("size")).unwrap_or(0) * SECTOR
}

/// What udev knows about a device number, where it runs.
fn udev(host: &Host, number: &str) -> HashMap<String, String> {
    let text = sysfs::text(&host.path("run/udev/data").join(format!("b{number}")));
    let pairs = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The names in a directory of links, by the disk that they point at; the first in order counts.
fn links(dir: &Path) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for name in sysfs::names(dir) {
        found.entry(sysfs::link_name(&dir.join(&name))).or_insert(name);
    }
    found
}
