//! Which disks of the host hold a path. Only whole disks have limits; a file system of several disks has them on each.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use lxd_types::error::Context as _;
use lxd_types::{Error, Kind, Result};

/// Major and minor number of a disk.
pub type DiskNumber = (u32, u32);

/// The disks that hold the file system of a path, or that are the path itself; none for virtual file systems.
///
/// # Errors
/// The path is not there.
pub async fn disks_of(path: PathBuf) -> Result<BTreeSet<DiskNumber>> {
    match tokio::task::spawn_blocking(move || look(&path)).await {
        Ok(found) => found,
        Err(panic) => Err(Error::with_source(Kind::Internal, "Looking for disks failed", panic)),
    }
}

fn look(path: &Path) -> Result<BTreeSet<DiskNumber>> {
    let found = std::fs::metadata(path).context(format!("Failed to look at {path:?}"))?;
    let sys = Path::new("/sys");
    if found.file_type().is_block_device() {
        return Ok(whole(sys, split(found.rdev())).into_iter().collect());
    }
    let (major, minor) = split(found.dev());
    if major != 0 {
        return Ok(whole(sys, (major, minor)).into_iter().collect());
    }
    // A file system that numbers its parts itself, as btrfs does: the mount says what it is on.
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("Failed to read the mounts")?;
    let real = std::fs::canonicalize(path).context(format!("Failed to look at {path:?}"))?;
    Ok(source_of(&table, &real).map_or_else(BTreeSet::new, |source| members(sys, &source)))
}

/// The kernel's encoding of device numbers.
fn split(number: u64) -> DiskNumber {
    let major = ((number >> 8) & 0xfff) | ((number >> 32) & !0xfff);
    let minor = (number & 0xff) | ((number >> 12) & !0xff);
    (major as u32, minor as u32)
}

/// The device of the mount that a path is on: the last one of the longest mount point.
fn source_of(mountinfo: &str, path: &Path) -> Option<PathBuf> {
    let mut best: Option<(usize, &str)> = None;
    for line in mountinfo.lines() {
        let Some((mount, rest)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(source)) = (mount.split(' ').nth(4), rest.split(' ').nth(1)) else { continue };
        // Points with blanks are written with escapes; they are not ours.
        if path.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), source));
        }
    }
    best.map(|(_, source)| PathBuf::from(source)).filter(|source| source.starts_with("/dev"))
}

/// The disks of the btrfs that one of its devices belongs to.
fn members(sys: &Path, device: &Path) -> BTreeSet<DiskNumber> {
    let Some(name) = device.file_name() else { return BTreeSet::new() };
    let systems = std::fs::read_dir(sys.join("fs/btrfs")).into_iter().flatten().flatten();
    let mut all: Vec<_> = systems.map(|entry| entry.path().join("devices")).collect();
    all.retain(|devices| devices.join(name).exists());
    let names = all.iter().filter_map(|devices| std::fs::read_dir(devices).ok()).flatten().flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
    let number = |name: &std::ffi::OsStr| number(&sys.join("class/block").join(name).join("dev"));
    names.iter().filter_map(|name| whole(sys, number(name)?)).collect()
}

/// The disk that has a partition; a disk itself otherwise.
fn whole(sys: &Path, disk: DiskNumber) -> Option<DiskNumber> {
    let entry = sys.join(format!("dev/block/{}:{}", disk.0, disk.1));
    if !entry.join("partition").exists() {
        return Some(disk);
    }
    number(&std::fs::canonicalize(entry).ok()?.parent()?.join("dev"))
}

fn number(file: &Path) -> Option<DiskNumber> {
    let text = std::fs::read_to_string(file).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_members_are_found_in_a_tree_of_sysfs() {
        let temp = tempfile::tempdir().unwrap();
        let sys = temp.path();
        let file = |path: &str, text: &str| {
            std::fs::create_dir_all(sys.join(path).parent().unwrap()).unwrap();
            std::fs::write(sys.join(path), text).unwrap();
        };
        file("devices/sda/dev", "8:0\n");
        file("devices/sda/sda1/dev", "8:1\n");
        file("devices/sda/sda1/partition", "1\n");
        std::fs::create_dir_all(sys.join("dev/block")).unwrap();
        std::os::unix::fs::symlink(sys.join("devices/sda/sda1"), sys.join("dev/block/8:1")).unwrap();
        assert_eq!(whole(sys, (8, 1)), Some((8, 0)));
        assert_eq!(whole(sys, (253, 7)), Some((253, 7)));
        file("class/block/sda1/dev", "8:1\n");
        file("class/block/sdb/dev", "8:16\n");
        file("fs/btrfs/uuid/devices/sda1", "");
        file("fs/btrfs/uuid/devices/sdb", "");
        assert_eq!(members(sys, Path::new("/dev/sdb")), [(8, 0), (8, 16)].into());
        assert_eq!(members(sys, Path::new("/dev/sdc")), [].into());
    }

    #[test]
    fn the_innermost_mount_counts() {
        let table = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:40 /sub /srv/p rw - btrfs /dev/loop3 rw\n\
                     3 1 0:50 / /srv/p/t rw - tmpfs none rw\n";
        let source = |path: &str| source_of(table, Path::new(path));
        assert_eq!(source("/srv/x"), Some("/dev/sda1".into()));
        assert_eq!(source("/srv/p/custom/v"), Some("/dev/loop3".into()));
        assert_eq!(source("/srv/p/t/x"), None);
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!(split(0xfe00), (254, 0));
        assert_eq!(split((1 << 20) | (8 << 8) | 3), (8, 259));
    }
}
