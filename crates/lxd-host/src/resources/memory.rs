//! Memory: total, used, huge pages; altogether and by NUMA node.

use std::path::Path;

use lxd_api::resources::{ResourcesMemory, ResourcesMemoryNode};

use super::sysfs::{self, Host};

/// Reads `/proc/meminfo` and `/sys/devices/system/{memory,node}`. The total is what is plugged in, where the kernel
/// tells it: what it keeps for itself counts as used.
pub fn read(host: &Host) -> ResourcesMemory {
    let info = sysfs::text(&host.path("proc/meminfo"));
    let block = u64::from_str_radix(&sysfs::text(&host.sys("devices/system/memory/block_size_bytes")), 16)
        .unwrap_or(0);
    let plugged = block * blocks(&host.sys("devices/system/memory"));
    let total = if plugged == 0 { field(&info, "MemTotal") } else { plugged };
    let free = field(&info, "MemFree") + field(&info, "Cached") + field(&info, "Buffers");
    let huge = field(&info, "Hugepagesize");
    let nodes = sysfs::names(&host.sys("devices/system/node")).into_iter().filter_map(|name| {
        let number = name.strip_prefix("node")?.parse().ok()?;
        Some(node(&host.sys("devices/system/node").join(&name), number, block, huge))
    });
    let mut nodes: Vec<ResourcesMemoryNode> = nodes.collect();
    nodes.sort_by_key(|node| node.numa_node);
    ResourcesMemory {
        nodes,
        hugepages_total: field(&info, "HugePages_Total") * huge,
        hugepages_used: field(&info, "HugePages_Total").saturating_sub(field(&info, "HugePages_Free")) * huge,
        hugepages_size: huge,
        used: total.saturating_sub(free),
        total,
    }
}

fn node(dir: &Path, number: u64, block: u64, huge: u64) -> ResourcesMemoryNode {
    let info = sysfs::text(&dir.join("meminfo"));
    let plugged = block * blocks(dir);
    let pages = field(&info, "HugePages_Total");
    ResourcesMemoryNode {
        numa_node: number,
        hugepages_used: pages.saturating_sub(field(&info, "HugePages_Free")) * huge,
        hugepages_total: pages * huge,
        used: field(&info, "MemUsed"),
        total: if plugged == 0 { field(&info, "MemTotal") } else { plugged },
    }
}

/// How many blocks of memory are plugged in and in use.
fn blocks(dir: &Path) -> u64 {
    let blocks = sysfs::names(dir).into_iter().filter(|name| {
        name.strip_prefix("memory")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    });
    blocks.filter(|name| sysfs::text(&dir.join(name).join("online")) != "0").count() as u64
}

/// A line such as `MemFree: 12 kB` or `Node 0 MemFree: 12 kB`, in bytes (a count stays a count).
fn field(info: &str, name: &str) -> u64 {
    let found = info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.split_whitespace().last() == Some(name)).then(|| value.trim())
    });
    let Some(value) = found else { return 0 };
    match value.strip_suffix(" kB") {
        Some(kilobytes) => kilobytes.trim().parse::<u64>().unwrap_or(0).saturating_mul(1024),
        None => value.parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_kernel_writes_is_read(any: String, near in "(Node 0 )?Mem: *[0-9]{1,20} kB", kilobytes in 0u64..1 << 40) {
            let _ = (field(&any, "Mem"), field(&near, "Mem"));
            prop_assert_eq!(field(&format!("Node 0 Mem: {kilobytes} kB\n"), "Mem"), kilobytes << 10);
        }
    }
}
