//! Devices on PCI.

use lxd_api::resources::{ResourcesPci, ResourcesPciDevice};

use super::sysfs::{self, Host};

/// Reads `/sys/bus/pci/devices`.
pub fn read(host: &Host) -> ResourcesPci {
    let base = host.sys("bus/pci/devices");
    let devices: Vec<ResourcesPciDevice> = sysfs::names(&base)
        .into_iter()
        .map(|address| {
            let device = base.join(&address);
            let (driver, driver_version) = host.driver(&device);
            let (vendor_id, product_id) =
                (sysfs::hex(&device.join("vendor")), sysfs::hex(&device.join("device")));
            ResourcesPciDevice {
                driver,
                driver_version,
                numa_node: sysfs::place(&device).numa,
                pci_address: address,
                vendor: host.pci_ids().vendor(&vendor_id),
                product: host.pci_ids().product(&vendor_id, &product_id),
                vendor_id,
                product_id,
                iommu_group: sysfs::link_name(&device.join("iommu_group")).parse().unwrap_or(0),
            }
        })
        .collect();
    ResourcesPci { total: devices.len() as u64, devices }
}
