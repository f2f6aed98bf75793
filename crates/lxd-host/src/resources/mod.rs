//! What the host has: processors, memory, cards, disks, from `/sys` and `/proc` alone (`GET /1.0/resources`).
//!
//! Everything is read below a root that tests replace by a tree of their own; no program is started. What the kernel
//! does not say is left empty: nothing here fails.

mod cpu;
mod gpu;
mod ids;
mod memory;
mod network;
mod pci;
mod storage;
mod sysfs;
mod system;
mod usb;

use std::path::Path;

use lxd_api::resources::Resources;
use sysfs::Host;

/// All resources of the host whose `/sys` and `/proc` are below `root`. Reads some hundred small files: call it where
/// blocking is allowed.
pub fn collect(root: &Path) -> Resources {
    let host = Host::new(root);
    Resources {
        cpu: cpu::read(&host),
        memory: memory::read(&host),
        gpu: gpu::read(&host),
        network: network::read(&host),
        storage: storage::read(&host),
        usb: usb::read(&host),
        pci: pci::read(&host),
        system: system::read(&host),
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
