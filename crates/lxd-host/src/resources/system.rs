//! The machine itself, from DMI.

use lxd_api::resources::{
    ResourcesSystem, ResourcesSystemChassis, ResourcesSystemFirmware, ResourcesSystemMotherboard,
};

use super::sysfs::{self, Host};

/// Names of chassis types (SMBIOS 7.4.1).
const CHASSIS: &[&str] = &[
    "Unknown",
    "Other",
    "Unknown",
    "Desktop",
    "Low Profile Desktop",
    "Pizza Box",
    "Mini Tower",
    "Tower",
    "Portable",
    "Laptop",
    "Notebook",
    "Hand Held",
    "Docking Station",
    "All in One",
    "Sub Notebook",
    "Space-saving",
    "Lunch Box",
    "Main Server Chassis",
    "Expansion Chassis",
    "SubChassis",
    "Bus Expansion Chassis",
    "Peripheral Chassis",
    "RAID Chassis",
    "Rack Mount Chassis",
    "Sealed-case PC",
    "Multi-system chassis",
    "Compact PCI",
    "Advanced TCA",
    "Blade",
    "Blade Enclosure",
    "Tablet",
    "Convertible",
    "Detachable",
    "IoT Gateway",
    "Embedded PC",
    "Mini PC",
    "Stick PC",
];

/// Files that only containers have.
const CONTAINER_MARKS: &[&str] =
    &[".dockerenv", "run/.containerenv", "run/systemd/container", "run/host/container-manager"];

/// Reads `/sys/class/dmi/id`.
pub fn read(host: &Host) -> ResourcesSystem {
    let base = host.sys("class/dmi/id");
    let field = |name: &str| sysfs::text(&base.join(name));
    let known = base.is_dir();
    ResourcesSystem {
        uuid: field("product_uuid"),
        vendor: field("sys_vendor"),
        product: field("product_name"),
        family: field("product_family"),
        version: field("product_version"),
        sku: field("product_sku"),
        serial: field("product_serial"),
        kind: kind(host).to_owned(),
        firmware: known.then(|| ResourcesSystemFirmware {
            vendor: field("bios_vendor"),
            date: field("bios_date"),
            version: field("bios_version"),
        }),
        chassis: known.then(|| ResourcesSystemChassis {
            vendor: field("chassis_vendor"),
            kind: chassis(&field("chassis_type")),
            serial: field("chassis_serial"),
            version: field("chassis_version"),
        }),
        motherboard: known.then(|| ResourcesSystemMotherboard {
            vendor: field("board_vendor"),
            product: field("board_name"),
            serial: field("board_serial"),
            version: field("board_version"),
        }),
    }
}

fn chassis(number: &str) -> String {
    let name = number.parse::<usize>().ok().and_then(|number| CHASSIS.get(number));
    name.map_or_else(String::new, |name| (*name).to_owned())
}

/// What we run on: the innermost that is found.
fn kind(host: &Host) -> &'static str {
    let environment = std::fs::read(host.path("proc/1/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    if CONTAINER_MARKS.iter().any(|mark| host.path(mark).exists())
        || variables.any(|variable| variable.starts_with(b"container="))
    {
        return "container";
    }
    let cpuinfo = sysfs::text(&host.path("proc/cpuinfo"));
    let mut flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    let guest = flags.any(|line| line.split_whitespace().any(|flag| flag == "hypervisor"));
    if guest || host.sys("hypervisor/type").exists() { "virtual-machine" } else { "physical" }
}
