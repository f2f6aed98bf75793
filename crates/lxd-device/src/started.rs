//! What a device answers with: data that the driver of the instance turns into mounts, interfaces and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lxd_types::{Cidr, Mac};

/// Changes of the device's volatile keys, without the beginning `volatile.<device>.`; an empty value removes the key.
pub type Volatile = BTreeMap<String, String>;

/// What came of starting a device, or of changing it while it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Started {
    /// To be mounted in the instance, in this order.
    pub mounts: Vec<MountEntry>,
    /// Interfaces for the instance.
    pub nics: Vec<NicEntry>,
    /// Rules for the instance's control group.
    pub cgroup: Vec<CgroupRule>,
    /// To be remembered. Also what a failed start needs for its clean-up stands here.
    pub volatile: Volatile,
}

/// Something to be mounted in the instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MountEntry {
    /// The prepared mount on the host, below the instance's devices directory: attributes such as read-only and the
    /// id map are on it already.
    pub source: PathBuf,
    /// Where it shall be inside, relative to the instance's root, without `.` and `..` in it.
    pub target: PathBuf,
    /// Directory or file: what has to be there to mount on.
    pub kind: MountKind,
    /// Whether it must not be written to.
    pub readonly: bool,
    /// Whether mounts below the source come along.
    pub recursive: bool,
    /// Who sees mounts that are made below later.
    pub propagation: Propagation,
}

/// What a mount shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MountKind {
    /// A directory.
    Directory,
    /// A file, socket or device node.
    File,
}

/// The propagation of a mount, as mount(8) calls it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Propagation {
    /// Mounts stay where they are made.
    #[default]
    Private,
    /// Mounts appear on both sides.
    Shared,
    /// Mounts of the host appear inside.
    Slave,
    /// As private, and it cannot be bind-mounted.
    Unbindable,
    /// As private, all mounts below included.
    RecursivePrivate,
    /// As shared, all mounts below included.
    RecursiveShared,
    /// As slave, all mounts below included.
    RecursiveSlave,
    /// As unbindable, all mounts below included.
    RecursiveUnbindable,
}

/// An interface that waits on the host to be moved into the instance, or a pair that its driver is to make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NicEntry {
    /// The name of the device.
    pub device: String,
    /// The interface on the host that is to be moved; that of which a pair's end on the host becomes a port.
    pub link: String,
    /// The name of the end on the host of a pair that is to be made.
    pub pair: Option<String>,
    /// Its name inside; the kernel chooses when missing.
    pub name: Option<String>,
    /// Its hardware address; unchanged when missing.
    pub hwaddr: Option<Mac>,
    /// Its MTU; unchanged when missing.
    pub mtu: Option<u32>,
    /// Addresses to be set before the instance's init runs.
    pub addresses: Vec<Cidr>,
    /// Gateways to be set before the instance's init runs.
    pub gateways: Vec<std::net::IpAddr>,
}

/// A rule for the control group; the driver knows the layout of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CgroupRule {
    /// The instance may use this device node.
    AllowDevice(DeviceNode),
}

/// A device node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeviceNode {
    /// Whether it is a block device.
    pub block: bool,
    /// Its major number; all when missing.
    pub major: Option<u32>,
    /// Its minor number; all when missing.
    pub minor: Option<u32>,
}

/// Limits of a disk; what is missing is unlimited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DiskLimits {
    /// Bytes read per second.
    pub read_bytes: Option<u64>,
    /// Bytes written per second.
    pub write_bytes: Option<u64>,
    /// Reads per second.
    pub read_operations: Option<u64>,
    /// Writes per second.
    pub write_operations: Option<u64>,
}

impl Propagation {
    /// The word of mount(8) and of the property `propagation`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Slave => "slave",
            Self::Unbindable => "unbindable",
            Self::RecursivePrivate => "rprivate",
            Self::RecursiveShared => "rshared",
            Self::RecursiveSlave => "rslave",
            Self::RecursiveUnbindable => "runbindable",
        }
    }

    /// All words.
    pub const WORDS: &[&str] =
        &["private", "shared", "slave", "unbindable", "rshared", "rslave", "runbindable", "rprivate"];

    /// The propagation of this word; private when it is empty.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "" | "private" => Self::Private,
            "shared" => Self::Shared,
            "slave" => Self::Slave,
            "unbindable" => Self::Unbindable,
            "rprivate" => Self::RecursivePrivate,
            "rshared" => Self::RecursiveShared,
            "rslave" => Self::RecursiveSlave,
            "runbindable" => Self::RecursiveUnbindable,
            _ => return None,
        })
    }
}
