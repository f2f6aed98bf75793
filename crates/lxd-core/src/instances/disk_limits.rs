//! `limits.read`, `limits.write` and `limits.max` of disks: what the control group of a running instance is told about the
//! disks of the host that hold them (manual 3.2.8, I/O limits).

use std::collections::BTreeMap;

use lxd_container::Running;
use lxd_device::DiskLimits;
use lxd_device::disk::{self, DiskNumber, DiskSource};
use lxd_types::error::Context;
use lxd_types::{Device, DeviceExt, Error, Kind, Result};

use super::Model;
use crate::SharedCore;

/// The limits by disk.
type Limits = BTreeMap<DiskNumber, DiskLimits>;

/// Writes the limits of a new state; `old` is what was written before.
///
/// # Errors
/// This host cannot limit disks, or the kernel refuses a value.
pub(super) async fn apply(
    core: &SharedCore,
    running: &Running,
    old: Option<&Model>,
    new: &Model,
) -> Result<()> {
    let after = of(core, new).await?;
    let before = match old {
        Some(old) => of(core, old).await?,
        None => Limits::new(),
    };
    if before == after {
        return Ok(());
    }
    let containers = core.containers()?;
    let is_v1 = containers.hierarchy("blkio").is_some();
    if !is_v1 && !containers.has_controller("io") {
        return Err(Error::bad_request(
            "Limits of disks need the cgroup controller \"io\" (\"blkio\"), which this host does not have",
        ));
    }
    let cgroups = containers.cgroups(running);
    let none = DiskLimits::default();
    let gone = before.keys().filter(|number| !after.contains_key(number)).map(|number| (number, &none));
    let lines = |(number, limits): (&DiskNumber, &DiskLimits)| match is_v1 {
        true => lines_v1(*number, limits),
        false => line_v2(*number, limits),
    };
    let lines: Vec<_> = gone.chain(&after).flat_map(lines).collect();
    let write = move || {
        lines.iter().try_for_each(|(file, value)| {
            let written = cgroups.write("blkio", file, file, value);
            written.context(format!("Failed to write {value:?} into {file}"))
        })
    };
    tokio::task::spawn_blocking(write).await.map_err(|panic| Error::internal(panic.to_string()))?
}

/// What the disks of an instance ask for. Two on the same disk of the host get the average, as the manual says.
async fn of(core: &SharedCore, model: &Model) -> Result<Limits> {
    let mut wishes: BTreeMap<DiskNumber, Vec<DiskLimits>> = BTreeMap::new();
    for device in model.devices.values().filter(|device| device.kind() == "disk") {
        let limits = disk::limits(device)?;
        if limits == DiskLimits::default() {
            continue;
        }
        for number in place(core, device).await? {
            wishes.entry(number).or_default().push(limits);
        }
    }
    Ok(wishes.into_iter().map(|(number, wishes)| (number, average(&wishes))).collect())
}

/// The disks of the host that hold a disk.
async fn place(core: &SharedCore, device: &Device) -> Result<Vec<DiskNumber>> {
    let path = match DiskSource::of(device)? {
        DiskSource::Root => pool_path(core, disk::root_pool(device)?.as_str()).await?,
        DiskSource::Volume { pool, .. } => pool_path(core, pool.as_str()).await?,
        DiskSource::Host(path) => path,
        DiskSource::Later(_) => return Ok(Vec::new()),
    };
    match disk::disks_of(path).await {
        // It is not required, and not there.
        Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
        other => Ok(other?.into_iter().collect()),
    }
}

async fn pool_path(core: &SharedCore, pool: &str) -> Result<std::path::PathBuf> {
    Ok(crate::storage_pools::open(core, pool).await?.spec().mount_path())
}

fn average(wishes: &[DiskLimits]) -> DiskLimits {
    let of = |part: fn(&DiskLimits) -> Option<u64>| {
        let given: Vec<u64> = wishes.iter().filter_map(part).collect();
        let count = u64::try_from(given.len()).unwrap_or(u64::MAX);
        given.iter().sum::<u64>().checked_div(count)
    };
    DiskLimits {
        read_bytes: of(|limits| limits.read_bytes),
        write_bytes: of(|limits| limits.write_bytes),
        read_operations: of(|limits| limits.read_operations),
        write_operations: of(|limits| limits.write_operations),
    }
}

/// Version 1 has a file per limit; zero takes it away.
fn lines_v1((major, minor): DiskNumber, limits: &DiskLimits) -> Vec<(&'static str, String)> {
    let line = |file, limit: Option<u64>| (file, format!("{major}:{minor} {}", limit.unwrap_or(0)));
    vec![
        line("blkio.throttle.read_bps_device", limits.read_bytes),
        line("blkio.throttle.write_bps_device", limits.write_bytes),
        line("blkio.throttle.read_iops_device", limits.read_operations),
        line("blkio.throttle.write_iops_device", limits.write_operations),
    ]
}

/// Version 2 has one file.
fn line_v2((major, minor): DiskNumber, limits: &DiskLimits) -> Vec<(&'static str, String)> {
    let word = |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |limit| limit.to_string());
    let value = format!(
        "{major}:{minor} rbps={} wbps={} riops={} wiops={}",
        word(limits.read_bytes),
        word(limits.write_bytes),
        word(limits.read_operations),
        word(limits.write_operations)
    );
    vec![("io.max", value)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_in_both_layouts() {
        let limits =
            DiskLimits { read_bytes: Some(1000), write_operations: Some(20), ..DiskLimits::default() };
        assert_eq!(
            line_v2((8, 0), &limits),
            [("io.max", "8:0 rbps=1000 wbps=max riops=max wiops=20".to_owned())]
        );
        let v1 = lines_v1((8, 0), &limits);
        assert!(v1.contains(&("blkio.throttle.read_bps_device", "8:0 1000".to_owned())));
        assert!(v1.contains(&("blkio.throttle.write_bps_device", "8:0 0".to_owned())));
        assert!(v1.contains(&("blkio.throttle.write_iops_device", "8:0 20".to_owned())));
    }

    #[test]
    fn disks_on_one_disk_share_the_average() {
        let one = DiskLimits { read_bytes: Some(1000), ..DiskLimits::default() };
        let two = DiskLimits { read_bytes: Some(3000), write_bytes: Some(7), ..DiskLimits::default() };
        let both = average(&[one, two]);
        assert_eq!((both.read_bytes, both.write_bytes, both.read_operations), (Some(2000), Some(7), None));
    }
}
