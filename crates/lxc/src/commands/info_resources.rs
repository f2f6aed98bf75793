//! `lxc info --resources`: the hardware of a server as text.

use lxd_api::resources::{
    Resources, ResourcesCpu, ResourcesCpuSocket, ResourcesMemory, ResourcesNetworkCard, ResourcesStorageDisk,
};

use crate::output::units;

/// The whole text.
pub fn describe(resources: &Resources) -> String {
    let mut out = cpus(&resources.cpu);
    out += &memory(&resources.memory);
    out += &cards("NIC", &resources.network.cards, nic);
    out += &cards("Disk", &resources.storage.disks, disk);
    out
}

fn size(bytes: u64) -> String {
    units::bytes(i64::try_from(bytes).unwrap_or(i64::MAX), 2)
}

fn cpus(cpu: &ResourcesCpu) -> String {
    if let [socket] = &cpu.sockets[..] {
        return format!("CPU ({}):\n{}", cpu.architecture, socket_text(socket, "  "));
    }
    let mut out = format!("CPUs ({}):\n", cpu.architecture);
    for socket in &cpu.sockets {
        out += &format!("  Socket {}:\n{}", socket.socket, socket_text(socket, "    "));
    }
    out
}

fn socket_text(socket: &ResourcesCpuSocket, indent: &str) -> String {
    let mut out = String::new();
    let mut line = |text: String| out.push_str(&format!("{indent}{text}\n"));
    if !socket.vendor.is_empty() {
        line(format!("Vendor: {}", socket.vendor));
    }
    if !socket.name.is_empty() {
        line(format!("Name: {}", socket.name));
    }
    if !socket.cache.is_empty() {
        line("Caches:".into());
        for cache in &socket.cache {
            let size = units::bytes(i64::try_from(cache.size).unwrap_or(i64::MAX), 0);
            line(format!("  - Level {} (type: {}): {size}", cache.level, cache.kind));
        }
    }
    line("Cores:".into());
    for core in &socket.cores {
        line(format!("  - Core {}", core.core));
        line(format!("    Frequency: {}Mhz", core.frequency));
        line("    Threads:".into());
        for thread in &core.threads {
            line(format!(
                "      - {} (id: {}, online: {}, NUMA node: {})",
                thread.thread, thread.id, thread.online, thread.numa_node
            ));
        }
    }
    if socket.frequency > 0 {
        let range = if socket.frequency_turbo > 0 && socket.frequency_minimum > 0 {
            format!(" (min: {}Mhz, max: {}Mhz)", socket.frequency_minimum, socket.frequency_turbo)
        } else {
            String::new()
        };
        line(format!("Frequency: {}Mhz{range}", socket.frequency));
    }
    out
}

fn memory(memory: &ResourcesMemory) -> String {
    let mut out = String::from("\nMemory:\n");
    if memory.hugepages_total > 0 {
        out += "  Hugepages:\n";
        out += &format!("    Free: {}\n", size(memory.hugepages_total - memory.hugepages_used));
        out += &format!(
            "    Used: {}\n    Total: {}\n",
            size(memory.hugepages_used),
            size(memory.hugepages_total)
        );
    }
    if memory.nodes.len() > 1 {
        out += "  NUMA nodes:\n";
        for node in &memory.nodes {
            out += &format!("    Node {}:\n      Free: {}\n", node.numa_node, size(node.total - node.used));
            out += &format!("      Used: {}\n      Total: {}\n", size(node.used), size(node.total));
        }
    }
    let free = size(memory.total.saturating_sub(memory.used));
    out + &format!("  Free: {free}\n  Used: {}\n  Total: {}\n", size(memory.used), size(memory.total))
}

/// One card is described below its title, several below numbered ones.
fn cards<T>(title: &str, cards: &[T], text: impl Fn(&T) -> Vec<String>) -> String {
    let block = |card: &T, indent: &str| -> String {
        text(card).iter().map(|line| format!("{indent}{line}\n")).collect()
    };
    match cards {
        [] => String::new(),
        [card] => format!("\n{title}:\n{}", block(card, "  ")),
        many => {
            let parts: String = many
                .iter()
                .enumerate()
                .map(|(index, card)| format!("  {title} {index}:\n{}", block(card, "    ")))
                .collect();
            format!("\n{title}s:\n{parts}")
        }
    }
}

fn nic(card: &ResourcesNetworkCard) -> Vec<String> {
    let mut out = vec![format!("NUMA node: {}", card.numa_node)];
    if !card.vendor.is_empty() {
        out.push(format!("Vendor: {} ({})", card.vendor, card.vendor_id));
    }
    if !card.product.is_empty() {
        out.push(format!("Product: {} ({})", card.product, card.product_id));
    }
    if !card.pci_address.is_empty() {
        out.push(format!("PCI address: {}", card.pci_address));
    }
    if !card.driver.is_empty() {
        out.push(format!("Driver: {} ({})", card.driver, card.driver_version));
    }
    if !card.ports.is_empty() {
        out.push("Ports:".into());
    }
    for port in &card.ports {
        out.push(format!("  - Port {} ({})", port.port, port.protocol));
        out.push(format!("    ID: {}", port.id));
        let mut put = |name: &str, value: String| {
            if !value.is_empty() {
                out.push(format!("    {name}: {value}"));
            }
        };
        put("Address", port.address.clone());
        put("Supported modes", port.supported_modes.join(", "));
        put("Supported ports", port.supported_ports.join(", "));
        put("Port type", port.port_type.clone());
        put("Transceiver type", port.transceiver_type.clone());
        put("Auto negotiation", port.auto_negotiation.to_string());
        put("Link detected", port.link_detected.to_string());
        if port.link_speed > 0 {
            put("Link speed", format!("{}Mbit/s ({} duplex)", port.link_speed, port.link_duplex));
        }
    }
    out
}

fn disk(disk: &ResourcesStorageDisk) -> Vec<String> {
    let mut out = vec![format!("NUMA node: {}", disk.numa_node), format!("ID: {}", disk.id)];
    out.push(format!("Device: {}", disk.device));
    if !disk.model.is_empty() {
        out.push(format!("Model: {}", disk.model));
    }
    if !disk.kind.is_empty() {
        out.push(format!("Type: {}", disk.kind));
    }
    out.push(format!("Size: {}", size(disk.size)));
    if !disk.wwn.is_empty() {
        out.push(format!("WWN: {}", disk.wwn));
    }
    out.push(format!("Read-Only: {}", disk.read_only));
    out.push(format!("Removable: {}", disk.removable));
    if !disk.partitions.is_empty() {
        out.push("Partitions:".into());
        for part in &disk.partitions {
            out.push(format!("  - Partition {}", part.partition));
            out.push(format!("    ID: {}", part.id));
            out.push(format!("    Device: {}", part.device));
            out.push(format!("    Read-Only: {}", part.read_only));
            out.push(format!("    Size: {}", size(part.size)));
        }
    }
    out
}
