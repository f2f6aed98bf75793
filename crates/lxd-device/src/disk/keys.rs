//! Properties of disks.

use lxd_config::{Key, KeyError, Table, keys};
use lxd_types::{ByteSize, Device, DiskRate, ValueError};

use crate::none::COMMON;
use crate::started::{DiskLimits, Propagation};

/// Rule of projects for what reaches beyond a volume: only "allow" permits it.
pub const RULE: &str = "restricted.devices.disk";

/// All properties of disks.
pub static DISK: Table = Table::new("device: disk", &[COMMON, PROPERTIES]);

keys! {
    /// Properties of disks only.
    PROPERTIES = [
        /// I/O limit in byte/s (various suffixes supported) or in operations per second (with the suffix "iops").
        LIMITS_READ: DiskRate = Key::new("limits.read").safe().live(),
        /// I/O limit in byte/s (various suffixes supported) or in operations per second (with the suffix "iops").
        LIMITS_WRITE: DiskRate = Key::new("limits.write").safe().live(),
        /// Same as setting both limits.read and limits.write.
        LIMITS_MAX: DiskRate = Key::new("limits.max").safe().live(),
        /// Path inside the instance where the disk is mounted (only for containers).
        PATH: String = Key::new("path").safe().check(inside_path),
        /// Path on the host, or the name of a custom volume when pool is set.
        SOURCE: String = Key::new("source").safe(),
        /// Whether to fail if the source does not exist.
        REQUIRED: bool = Key::new("required").safe().default("true"),
        /// Whether to make the mount read-only.
        READONLY: bool = Key::new("readonly").safe().default("false"),
        /// Disk size in bytes (various suffixes supported). Only for the root disk.
        SIZE: ByteSize = Key::new("size").safe().live(),
        /// As size, for the file system volume that keeps the run-time state of virtual machines.
        SIZE_STATE: ByteSize = Key::new("size.state").safe().live().since("migration_stateful"),
        /// Whether mounts below the source come along.
        RECURSIVE: bool = Key::new("recursive").safe().default("false"),
        /// The storage pool of the disk. Only for volumes that the server manages.
        POOL: String = Key::new("pool").safe(),
        /// How mounts that are made later are shared between the instance and the host.
        PROPAGATION: String = Key::new("propagation").restricted_by(RULE).default("private").one_of(Propagation::WORDS),
        /// Shows the source's owners as the instance has them on its own files (only for containers).
        SHIFT: bool = Key::new("shift").safe().default("false").since("container_disk_shift"),
        /// Mount options of the file system.
        RAW_MOUNT_OPTIONS: String = Key::new("raw.mount.options").restricted_by(RULE).since("disk_raw_mount_options"),
        /// Ceph user of a source that is ceph or cephfs.
        CEPH_USER_NAME: String = Key::new("ceph.user_name").restricted_by(RULE).since("container_disk_ceph"),
        /// Ceph cluster of a source that is ceph or cephfs.
        CEPH_CLUSTER_NAME: String = Key::new("ceph.cluster_name").restricted_by(RULE).since("container_disk_ceph"),
        /// Boot priority for virtual machines (higher boots first).
        BOOT_PRIORITY: u32 = Key::new("boot.priority").safe().since("instance_boot_priority"),
    ]
}

fn inside_path(path: &str) -> Result<(), ValueError> {
    match path.split('/').any(|part| part == "..") {
        true => Err(ValueError::new("Path must not contain \"..\"")),
        false => Ok(()),
    }
}

/// The limits that a disk's properties ask for; `limits.max` wins over the others.
///
/// # Errors
/// A malformed value.
pub fn limits(device: &Device) -> Result<DiskLimits, KeyError> {
    let max = LIMITS_MAX.read(device)?;
    let mut limits = DiskLimits::default();
    match max.or(LIMITS_READ.read(device)?) {
        Some(DiskRate::Bytes(bytes)) => limits.read_bytes = Some(bytes),
        Some(DiskRate::Operations(count)) => limits.read_operations = Some(count),
        None => {}
    }
    match max.or(LIMITS_WRITE.read(device)?) {
        Some(DiskRate::Bytes(bytes)) => limits.write_bytes = Some(bytes),
        Some(DiskRate::Operations(count)) => limits.write_operations = Some(count),
        None => {}
    }
    Ok(limits)
}
