//! Processors: sockets, cores, threads, caches.

use std::collections::BTreeMap;
use std::path::Path;

use lxd_api::resources::{
    ResourcesCpu, ResourcesCpuCache, ResourcesCpuCore, ResourcesCpuSocket, ResourcesCpuThread,
};

use super::sysfs::{self, Host};

/// kHz in a MHz.
const KHZ: u64 = 1000;

/// Reads `/sys/devices/system/cpu` and the names in `/proc/cpuinfo`.
pub fn read(host: &Host) -> ResourcesCpu {
    let base = host.sys("devices/system/cpu");
    let isolated = list(&sysfs::text(&base.join("isolated")));
    let names = names(&sysfs::text(&host.path("proc/cpuinfo")));
    let mut sockets: BTreeMap<u64, ResourcesCpuSocket> = BTreeMap::new();
    let mut total = 0;
    for id in ids(&base) {
        let cpu = base.join(format!("cpu{id}"));
        // Without a topology the thread is absent or off: nobody knows its core.
        let Some(core_id) = sysfs::number(&cpu.join("topology/core_id")) else { continue };
        let number: i64 = sysfs::number(&cpu.join("topology/physical_package_id")).unwrap_or(0);
        let number = u64::try_from(number).unwrap_or(0);
        let socket = sockets.entry(number).or_insert_with(|| socket(&cpu, number, names.get(&id)));
        let die =
            sysfs::number(&cpu.join("topology/die_id")).and_then(|die: i64| die.try_into().ok()).unwrap_or(0);
        add_thread(socket, &cpu, id, core_id, die, isolated.contains(&id));
        total += 1;
    }
    let mut sockets: Vec<ResourcesCpuSocket> = sockets.into_values().collect();
    sockets.iter_mut().for_each(average);
    let architecture = rustix::system::uname().machine().to_string_lossy().into_owned();
    ResourcesCpu { architecture, sockets, total }
}

/// The numbers of all processors, in order.
fn ids(base: &Path) -> Vec<u64> {
    let numbers = sysfs::names(base).into_iter().filter_map(|name| name.strip_prefix("cpu")?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

fn socket(cpu: &Path, number: u64, names: Option<&(String, String)>) -> ResourcesCpuSocket {
    let (vendor, name) = names.cloned().unwrap_or_default();
    let mhz = |file: &str| sysfs::number::<u64>(&cpu.join("cpufreq").join(file)).map_or(0, |khz| khz / KHZ);
    ResourcesCpuSocket {
        name,
        vendor,
        socket: number,
        cache: caches(&cpu.join("cache")),
        frequency_minimum: mhz("cpuinfo_min_freq"),
        frequency_turbo: mhz("cpuinfo_max_freq"),
        ..ResourcesCpuSocket::default()
    }
}

fn caches(dir: &Path) -> Vec<ResourcesCpuCache> {
    let indexes = sysfs::names(dir).into_iter().filter(|name| name.starts_with("index"));
    let read = indexes.map(|name| {
        let index = dir.join(name);
        ResourcesCpuCache {
            level: sysfs::number(&index.join("level")).unwrap_or(0),
            kind: sysfs::text(&index.join("type")),
            size: sysfs::size(&sysfs::text(&index.join("size"))),
        }
    });
    read.collect()
}

fn add_thread(socket: &mut ResourcesCpuSocket, cpu: &Path, id: u64, core_id: u64, die: u64, isolated: bool) {
    let at =
        socket.cores.iter().position(|core| core.core == core_id && core.die == die).unwrap_or_else(|| {
            socket.cores.push(ResourcesCpuCore { core: core_id, die, ..ResourcesCpuCore::default() });
            socket.cores.len() - 1
        });
    let core = &mut socket.cores[at];
    let khz: u64 = sysfs::number(&cpu.join("cpufreq/scaling_cur_freq")).unwrap_or(0);
    core.frequency = core.frequency.max(khz / KHZ);
    let node = sysfs::names(cpu).into_iter().find_map(|name| name.strip_prefix("node")?.parse().ok());
    core.threads.push(ResourcesCpuThread {
        id: i64::try_from(id).unwrap_or(0),
        numa_node: node.unwrap_or(0),
        thread: core.threads.len() as u64,
        // The first processor has no such file: it cannot be switched off.
        online: sysfs::number(&cpu.join("online")).unwrap_or(1) == 1,
        isolated,
    });
}

/// The frequency of a socket is the mean of its cores'.
fn average(socket: &mut ResourcesCpuSocket) {
    let sum: u64 = socket.cores.iter().map(|core| core.frequency).sum();
    socket.frequency = sum.checked_div(socket.cores.len() as u64).unwrap_or(0);
}

/// Vendor and name by processor. Other architectures name them otherwise; what is not there stays empty.
fn names(cpuinfo: &str) -> BTreeMap<u64, (String, String)> {
    let mut all: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let mut present = 0;
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key.trim() {
            "processor" => present = value.parse().unwrap_or(0),
            "vendor_id" => all.entry(present).or_default().0 = value.to_owned(),
            "model name" | "cpu" => all.entry(present).or_default().1 = value.to_owned(),
            _ => {}
        }
    }
    all
}

/// A kernel list as numbers: `0-2,7`.
fn list(text: &str) -> Vec<u64> {
    let mut all = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) {
            all.extend(first..=last.min(first.saturating_add(65535)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_kernel_writes_is_read(any: String, near in "([0-9]{1,20}(-[0-9]{1,20})?,){0,3}", info in "((processor|cpu)[ \t]*:[ 0-9a-z]{0,9}\n){0,4}") {
            let _ = (list(&any), list(&near), names(&any), names(&info));
        }
    }
}
