//! The configuration of projects (manual 3.2.6).

use lxd_types::error::{Classify, Kind};
use lxd_types::{Architecture, ByteSize, Compression, Config, ConfigExt, ValueError};

use crate::key::{Key, KeyError, Reason};
use crate::keys;
use crate::table::Table;
use crate::value::Blob;

/// All keys of a project.
pub static PROJECT: Table =
    Table::new("project", &[BACKUPS, FEATURES, IMAGES, LIMITS, RESTRICTED, RESTRICTED_DEVICES, USER]);

/// Forbids; what every `restricted.*` key is unless its default says otherwise.
pub const BLOCK: &str = "block";
/// Permits.
pub const ALLOW: &str = "allow";
/// Permits what is backed by an object of the server.
pub const MANAGED: &str = "managed";

keys! {
    /// `backups.*`
    BACKUPS = [
        /// Compression algorithm to use for backups in the project (bzip2, gzip, lzma, xz, zstd or none).
        BACKUPS_COMPRESSION_ALGORITHM: Compression =
            Key::new("backups.compression_algorithm").passive().since("projects_compression"),
    ]
}

keys! {
    /// `features.*`
    FEATURES = [
        /// Separate set of images and image aliases for the project.
        FEATURES_IMAGES: bool = Key::new("features.images").default("false").live().since("projects"),
        /// Separate set of networks for the project.
        FEATURES_NETWORKS: bool = Key::new("features.networks").default("false").live().since("projects_networks"),
        /// Separate set of profiles for the project.
        FEATURES_PROFILES: bool = Key::new("features.profiles").default("false").live().since("projects"),
        /// Separate set of storage volumes for the project.
        FEATURES_STORAGE_VOLUMES: bool = Key::new("features.storage.volumes").default("false").live(),
    ]
}

keys! {
    /// `images.*`
    IMAGES = [
        /// Whether to automatically update any image that the server caches.
        IMAGES_AUTO_UPDATE_CACHED: bool =
            Key::new("images.auto_update_cached").passive().since("projects_images_auto_update"),
        /// Interval in hours at which to look for updates of cached images (0 disables it).
        IMAGES_AUTO_UPDATE_INTERVAL: i64 =
            Key::new("images.auto_update_interval").live().since("projects_images_auto_update"),
        /// Compression algorithm to use for new images in the project (bzip2, gzip, lzma, xz, zstd or none).
        IMAGES_COMPRESSION_ALGORITHM: Compression =
            Key::new("images.compression_algorithm").passive().since("projects_compression"),
        /// Architecture which is used where a cluster has several and a request names none.
        IMAGES_DEFAULT_ARCHITECTURE: String = Key::new("images.default_architecture")
            .passive().check(architecture).since("images_default_architecture"),
        /// Number of days after which an unused cached remote image is flushed.
        IMAGES_REMOTE_CACHE_EXPIRY: i64 =
            Key::new("images.remote_cache_expiry").live().since("projects_images_remote_cache_expiry"),
    ]
}

keys! {
    /// `limits.*`
    LIMITS = [
        /// Maximum number of containers in the project.
        LIMITS_CONTAINERS: u32 = Key::new("limits.containers").live().since("projects_limits"),
        /// Maximum of the sum of `limits.cpu` of the instances.
        LIMITS_CPU: u32 = Key::new("limits.cpu").live().since("projects_limits"),
        /// Maximum of the sum of the sizes of instance volumes, custom volumes and images.
        LIMITS_DISK: ByteSize = Key::new("limits.disk").live().since("projects_limits_disk"),
        /// Maximum number of instances in the project.
        LIMITS_INSTANCES: u32 = Key::new("limits.instances").live().since("projects_limits_instances"),
        /// Maximum of the sum of `limits.memory` of the instances.
        LIMITS_MEMORY: ByteSize = Key::new("limits.memory").live().since("projects_limits"),
        /// Maximum number of networks in the project.
        LIMITS_NETWORKS: u32 = Key::new("limits.networks").live().since("projects_networks"),
        /// Maximum of the sum of `limits.processes` of the instances.
        LIMITS_PROCESSES: u32 = Key::new("limits.processes").live().since("projects_limits"),
        /// Maximum number of virtual machines in the project.
        LIMITS_VIRTUAL_MACHINES: u32 = Key::new("limits.virtual-machines").live().since("projects_limits"),
    ]
}

keys! {
    /// `restricted` and `restricted.*`
    RESTRICTED = [
        /// Blocks security-sensitive features; without it the `restricted.*` keys mean nothing.
        RESTRICTED_ON: bool = Key::new("restricted").default("false").live().since("projects_restrictions"),
        /// Prevents backups of instances and volumes.
        RESTRICTED_BACKUPS: String = Key::new("restricted.backups").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restricted_backups_and_snapshots"),
        /// Prevents naming the cluster member on which an instance is made or to which it is moved.
        RESTRICTED_CLUSTER_TARGET: String = Key::new("restricted.cluster.target").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restricted_cluster_target"),
        /// Prevents interception of system calls; "allow" permits what is safe (mounting file systems is not), "full"
        /// everything. (From later releases.)
        RESTRICTED_CONTAINERS_INTERCEPTION: String = Key::new("restricted.containers.interception")
            .default(BLOCK).live().one_of(&[ALLOW, BLOCK, "full"]),
        /// Prevents low-level options of containers such as `raw.lxc`, `raw.idmap` and `volatile.*`.
        RESTRICTED_CONTAINERS_LOWLEVEL: String = Key::new("restricted.containers.lowlevel").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
        /// Prevents `security.nesting`.
        RESTRICTED_CONTAINERS_NESTING: String = Key::new("restricted.containers.nesting").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
        /// "unprivileged" prevents `security.privileged`; "isolated" also demands `security.idmap.isolated`; "allow"
        /// prevents nothing.
        RESTRICTED_CONTAINERS_PRIVILEGE: String = Key::new("restricted.containers.privilege")
            .default("unprivileged").live().one_of(&[ALLOW, "unprivileged", "isolated"]).since("projects_restrictions"),
        /// Subnets of uplink networks that the project may use (UPLINK:SUBNET, separated by commas).
        RESTRICTED_NETWORKS_SUBNETS: String = Key::new("restricted.networks.subnets").default(BLOCK).live()
            .check(subnets).since("network_ovn_external_subnets"),
        /// Networks that the project may use as uplinks, separated by commas.
        RESTRICTED_NETWORKS_UPLINKS: String = Key::new("restricted.networks.uplinks").default(BLOCK).live()
            .since("projects_networks_restricted_uplinks"),
        /// Prevents snapshots of instances and volumes.
        RESTRICTED_SNAPSHOTS: String = Key::new("restricted.snapshots").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restricted_backups_and_snapshots"),
        /// Prevents low-level options of virtual machines such as `raw.qemu` and `volatile.*`.
        RESTRICTED_VIRTUAL_MACHINES_LOWLEVEL: String = Key::new("restricted.virtual-machines.lowlevel")
            .default(BLOCK).live().one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
    ]
}

keys! {
    /// `restricted.devices.*`
    RESTRICTED_DEVICES = [
        /// "block" prevents all disks but the root disk, "managed" those without `pool`, "allow" none.
        RESTRICTED_DEVICES_DISK: String = Key::new("restricted.devices.disk").default(MANAGED).live()
            .one_of(&[BLOCK, ALLOW, MANAGED]).since("projects_restrictions"),
        /// With `restricted.devices.disk=allow`: the only directories of the host that disks may show, separated by
        /// commas. Without it disks may show all of the host. (From later releases.)
        RESTRICTED_DEVICES_DISK_PATHS: String = Key::new("restricted.devices.disk.paths").live().check(paths),
        /// Prevents devices of type gpu.
        RESTRICTED_DEVICES_GPU: String = Key::new("restricted.devices.gpu").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
        /// Prevents devices of type infiniband.
        RESTRICTED_DEVICES_INFINIBAND: String = Key::new("restricted.devices.infiniband").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
        /// "block" prevents all network devices, "managed" those without `network`, "allow" none.
        RESTRICTED_DEVICES_NIC: String = Key::new("restricted.devices.nic").default(MANAGED).live()
            .one_of(&[BLOCK, ALLOW, MANAGED]).since("projects_restrictions"),
        /// Prevents devices of type pci.
        RESTRICTED_DEVICES_PCI: String = Key::new("restricted.devices.pci").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]),
        /// Prevents devices of type proxy.
        RESTRICTED_DEVICES_PROXY: String = Key::new("restricted.devices.proxy").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]),
        /// Prevents devices of type unix-block.
        RESTRICTED_DEVICES_UNIX_BLOCK: String = Key::new("restricted.devices.unix-block").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
        /// Prevents devices of type unix-char.
        RESTRICTED_DEVICES_UNIX_CHAR: String = Key::new("restricted.devices.unix-char").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
        /// Prevents devices of type unix-hotplug.
        RESTRICTED_DEVICES_UNIX_HOTPLUG: String = Key::new("restricted.devices.unix-hotplug").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
        /// Prevents devices of type usb.
        RESTRICTED_DEVICES_USB: String = Key::new("restricted.devices.usb").default(BLOCK).live()
            .one_of(&[BLOCK, ALLOW]).since("projects_restrictions"),
    ]
}

keys! {
    /// `user.*`
    USER = [
        /// Free-form keys and values.
        USER_ANY: Blob = Key::new("user.*").passive(),
    ]
}

/// What a new project has unless the request says otherwise.
pub const NEW: [&str; 3] = ["features.images", "features.profiles", "features.storage.volumes"];

/// A key of a project or its value is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct ProjectKeyError(String);

impl Classify for ProjectKeyError {
    fn kind(&self) -> Kind {
        Kind::BadRequest
    }
}

/// Checks every key and value, and what holds between them.
///
/// # Errors
/// The first refusal.
pub fn check(config: &Config) -> Result<(), ProjectKeyError> {
    for (key, value) in config {
        PROJECT.check_one(key, value).map_err(|error| text(&error))?;
    }
    PROJECT.check_works(config).map_err(|error| text(&error))?;
    if RESTRICTED_ON.is_on(config) && !FEATURES_PROFILES.is_on(config) {
        return Err(ProjectKeyError("Projects without their own profiles cannot be restricted".to_owned()));
    }
    Ok(())
}

fn text(error: &KeyError) -> ProjectKeyError {
    let key = &error.key;
    ProjectKeyError(match &error.reason {
        Reason::Unknown => format!("Invalid project configuration key {key:?}"),
        Reason::NotYet => format!("Invalid project configuration key {key:?}: not supported yet"),
        Reason::Invalid(why) => format!("Invalid project configuration key {key:?} value: {why}"),
    })
}

/// What a restricting key says: its value, or its default.
pub fn rule<'a>(config: &'a Config, key: &str) -> &'a str {
    let default = PROJECT.find(key).and_then(|known| known.meta().default).unwrap_or(BLOCK);
    config.set(key).unwrap_or(default)
}

fn architecture(text: &str) -> Result<(), ValueError> {
    if text.parse::<Architecture>().is_ok() {
        return Ok(());
    }
    let names: Vec<&str> = Architecture::ALL.iter().map(|architecture| architecture.name()).collect();
    Err(ValueError(format!("Invalid value {text:?} (not one of [{}])", names.join(" "))))
}

fn paths(text: &str) -> Result<(), ValueError> {
    match text.split(',').map(str::trim).find(|path| !path.starts_with('/')) {
        Some(path) => Err(ValueError(format!("Item {path:?}: Must be absolute file path"))),
        None => Ok(()),
    }
}

fn subnets(text: &str) -> Result<(), ValueError> {
    if text == BLOCK {
        return Ok(());
    }
    for subnet in text.split(',').map(str::trim) {
        let parts = subnet.split_once(':').filter(|(uplink, _)| !uplink.is_empty());
        let Some((_, address)) = parts else {
            let form = "must be in the format of \"<uplink network>:<subnet>\"";
            return Err(ValueError(format!("Subnet {subnet:?} invalid, {form}")));
        };
        address.parse::<lxd_types::Cidr>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn refusals_are_those_of_servers() {
        let invalid =
            |key: &str, reason: &str| format!("Invalid project configuration key \"{key}\" value: {reason}");
        for (key, value, expected) in [
            ("no.such", "1", "Invalid project configuration key \"no.such\"".to_owned()),
            ("features.images", "maybe", invalid("features.images", "Invalid value for a boolean \"maybe\"")),
            ("limits.memory", "10%", invalid("limits.memory", "Invalid value: 10%")),
            (
                "restricted.devices.nic",
                "x",
                invalid("restricted.devices.nic", "Invalid value \"x\" (not one of [block allow managed])"),
            ),
            (
                "restricted.devices.disk.paths",
                "rel",
                invalid("restricted.devices.disk.paths", "Item \"rel\": Must be absolute file path"),
            ),
            (
                "restricted.networks.subnets",
                "x",
                invalid(
                    "restricted.networks.subnets",
                    "Subnet \"x\" invalid, must be in the format of \"<uplink network>:<subnet>\"",
                ),
            ),
        ] {
            assert_eq!(check(&config(&[(key, value)])).unwrap_err().to_string(), expected);
        }
        let alone = check(&config(&[("restricted", "true")])).unwrap_err();
        assert_eq!(alone.to_string(), "Projects without their own profiles cannot be restricted");
        assert!(check(&config(&[("restricted", "true"), ("features.profiles", "true")])).is_ok());
    }

    #[test]
    fn rules_have_defaults() {
        assert_eq!(rule(&Config::new(), "restricted.devices.disk"), MANAGED);
        assert_eq!(rule(&Config::new(), "restricted.devices.pci"), BLOCK);
        assert_eq!(rule(&config(&[("restricted.devices.pci", ALLOW)]), "restricted.devices.pci"), ALLOW);
        assert_eq!(rule(&Config::new(), "no.such"), BLOCK);
    }
}
