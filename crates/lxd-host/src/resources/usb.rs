//! Devices on USB, without hubs.

use std::path::Path;

use lxd_api::resources::{ResourcesUsb, ResourcesUsbDevice, ResourcesUsbDeviceInterface};

use super::sysfs::{self, Host};

/// The class of hubs.
const HUB: &str = "09";

/// Names of interface classes, from the list of the USB Implementers Forum.
const CLASSES: &[(u64, &str)] = &[
    (0x01, "Audio"),
    (0x02, "Communications"),
    (0x03, "Human Interface Device"),
    (0x05, "Physical Interface Device"),
    (0x06, "Imaging"),
    (0x07, "Printer"),
    (0x08, "Mass Storage"),
    (0x09, "Hub"),
    (0x0a, "CDC Data"),
    (0x0b, "Chip/SmartCard"),
    (0x0d, "Content Security"),
    (0x0e, "Video"),
    (0x0f, "Personal Healthcare"),
    (0x10, "Audio/Video Devices"),
    (0xdc, "Diagnostic"),
    (0xe0, "Wireless"),
    (0xef, "Miscellaneous Device"),
    (0xfe, "Application Specific Interface"),
    (0xff, "Vendor Specific Class"),
];

/// Reads `/sys/bus/usb/devices`.
pub fn read(host: &Host) -> ResourcesUsb {
    let base = host.sys("bus/usb/devices");
    let devices: Vec<ResourcesUsbDevice> = sysfs::names(&base)
        .into_iter()
        .map(|name| base.join(name))
        .filter(|device| device.join("devnum").exists() && sysfs::text(&device.join("bDeviceClass")) != HUB)
        .map(|device| read_device(host, &device))
        .collect();
    ResourcesUsb { total: devices.len() as u64, devices }
}

fn read_device(host: &Host, device: &Path) -> ResourcesUsbDevice {
    let (vendor_id, product_id) =
        (sysfs::text(&device.join("idVendor")), sysfs::text(&device.join("idProduct")));
    let told = |file: &str, listed: String| {
        let own = sysfs::text(&device.join(file));
        if own.is_empty() { listed } else { own }
    };
    let interfaces = sysfs::names(device).into_iter().map(|name| device.join(name));
    ResourcesUsbDevice {
        bus_address: sysfs::number(&device.join("busnum")).unwrap_or(0),
        device_address: sysfs::number(&device.join("devnum")).unwrap_or(0),
        interfaces: interfaces
            .filter(|interface| interface.join("bInterfaceClass").exists())
            .map(|interface| read_interface(host, &interface))
            .collect(),
        product: told("product", host.usb_ids().product(&vendor_id, &product_id)),
        speed: sysfs::number(&device.join("speed")).unwrap_or(0.0),
        vendor: told("manufacturer", host.usb_ids().vendor(&vendor_id)),
        vendor_id,
        product_id,
    }
}

fn read_interface(host: &Host, interface: &Path) -> ResourcesUsbDeviceInterface {
    let hex = |file: &str| u64::from_str_radix(&sysfs::text(&interface.join(file)), 16).unwrap_or(0);
    let class_id = hex("bInterfaceClass");
    let (driver, driver_version) = host.driver(interface);
    ResourcesUsbDeviceInterface {
        class: CLASSES.iter().find(|(id, _)| *id == class_id).map_or("", |(_, name)| name).to_owned(),
        class_id,
        driver,
        driver_version,
        number: hex("bInterfaceNumber"),
        subclass: String::new(),
        subclass_id: hex("bInterfaceSubClass"),
    }
}
