//! Configuration keys of pools and volumes (manual 3.2.8), and their checks. Pure.

use lxd_config::{AnyKey, Key, Table, keys};
use lxd_types::words::parse_bool;
use lxd_types::{ByteSize, Config, ConfigExt, Error, Expiry, Result, Schedule, ValueError};

use crate::driver::PoolDriver;
use crate::volume::{VolumeKind, VolumeRef};

keys! {
    /// `rsync.*`: transfers of volumes.
    RSYNC = [
        /// Specifies the upper limit to be placed on the socket I/O whenever rsync has to be used to transfer
        /// storage entities.
        RSYNC_BWLIMIT: ByteSize = Key::new("rsync.bwlimit").default("0").passive().since("storage_rsync_bwlimit"),
        /// Whether to use compression while migrating storage pools.
        RSYNC_COMPRESSION: bool =
            Key::new("rsync.compression").default("true").passive().since("storage_rsync_compression"),
    ]
}

keys! {
    /// Keys of pools of the driver `dir`.
    DIR = [
        /// Path to block device or loop file or filesystem entry.
        SOURCE: String = Key::new("source").local(),
        /// Records the actual source passed during creating (e.g. /dev/sdb).
        VOLATILE_INITIAL_SOURCE: String =
            Key::new("volatile.initial_source").local().since("storage_volatile_initial_source"),
    ]
}

keys! {
    /// Keys of pools of the driver `btrfs`.
    BTRFS = [
        /// Mount options for block devices.
        BTRFS_MOUNT_OPTIONS: String = Key::new("btrfs.mount_options")
            .default("user_subvol_rm_allowed")
            .since("storage_btrfs_mount_options"),
        /// Size of the storage pool in bytes (suffixes supported). Only of pools in a loop file.
        POOL_SIZE: ByteSize = Key::new("size").local(),
    ]
}

keys! {
    /// Keys that every pool takes.
    POOL_ANY = [
        /// Default for the volume key of the same name without the prefix, for volumes created in the pool.
        POOL_VOLUME: String = Key::new("volume.*").passive(),
        /// Free form user key/value storage.
        POOL_USER: String = Key::new("user.*").passive().safe(),
    ]
}

keys! {
    /// Keys of custom volumes.
    CUSTOM = [
        /// Enable id shifting overlay (allows attach by multiple isolated instances).
        SECURITY_SHIFTED: bool = Key::new("security.shifted").default("false").safe().since("storage_shifted"),
        /// Disable id mapping for the volume.
        SECURITY_UNMAPPED: bool = Key::new("security.unmapped").default("false").safe().since("storage_unmapped"),
        /// Size of the storage volume.
        SIZE: ByteSize = Key::new("size").live().safe(),
        /// Controls when snapshots are to be deleted (expects expression like 1M 2H 3d 4w 5m 6y).
        SNAPSHOTS_EXPIRY: Expiry =
            Key::new("snapshots.expiry").passive().safe().since("custom_volume_snapshot_expiry"),
        /// Pongo2 template string which represents the snapshot name (used for scheduled snapshots and unnamed
        /// snapshots).
        SNAPSHOTS_PATTERN: String =
            Key::new("snapshots.pattern").default("snap%d").passive().safe().since("volume_snapshot_scheduling"),
        /// Cron expression (minute hour day-of-month month day-of-week), or a comma separated list of schedule
        /// aliases.
        SNAPSHOTS_SCHEDULE: Schedule =
            Key::new("snapshots.schedule").passive().safe().since("volume_snapshot_scheduling"),
    ]
}

keys! {
    /// Keys of volumes of every type.
    VOLUME_ANY = [
        /// Last id map of the volume.
        VOLATILE_IDMAP_LAST: String = Key::new("volatile.idmap.last"),
        /// Next id map of the volume.
        VOLATILE_IDMAP_NEXT: String = Key::new("volatile.idmap.next"),
        /// Free form user key/value storage.
        VOLUME_USER: String = Key::new("user.*").passive().safe(),
    ]
}

/// Keys of `dir` pools.
pub static DIR_POOL: Table = Table::new("storage-pool (dir)", &[DIR, RSYNC, POOL_ANY]);

/// Keys of `btrfs` pools.
pub static BTRFS_POOL: Table = Table::new("storage-pool (btrfs)", &[DIR, BTRFS, RSYNC, POOL_ANY]);

/// The keys of pools of a driver.
fn pool_table(driver: PoolDriver) -> &'static Table {
    match driver {
        PoolDriver::Dir => &DIR_POOL,
        PoolDriver::Btrfs => &BTRFS_POOL,
    }
}

/// Keys of custom volumes.
pub static CUSTOM_VOLUME: Table = Table::new("storage-volume (custom)", &[CUSTOM, VOLUME_ANY]);

/// Keys of other volumes.
pub static OTHER_VOLUME: Table = Table::new("storage-volume", &[VOLUME_ANY]);

/// Checks the configuration of a pool.
///
/// # Errors
/// Names the first unknown key or wrong value, in the reference's words.
pub fn check_pool(driver: PoolDriver, config: &Config) -> Result<()> {
    for (key, value) in config {
        let (table, name) = match key.strip_prefix("volume.") {
            // Values of new volumes: what they would refuse is refused here.
            Some(rest) if !rest.starts_with("volatile.") => (&CUSTOM_VOLUME, rest),
            _ => (pool_table(driver), key.as_str()),
        };
        let known = table.find(name).ok_or_else(|| Error::bad_request(format!("Invalid option {key:?}")))?;
        check_value(known, value)
            .map_err(|why| Error::bad_request(format!("Invalid value for option {key:?}: {why}")))?;
    }
    Ok(())
}

/// Checks the configuration of a volume.
///
/// # Errors
/// As [`check_pool`].
pub fn check_volume(_driver: PoolDriver, volume: &VolumeRef, config: &Config) -> Result<()> {
    let table = if volume.kind == VolumeKind::Custom { &CUSTOM_VOLUME } else { &OTHER_VOLUME };
    let name = volume.storage_name();
    for (key, value) in config {
        if key == "size" && volume.kind != VolumeKind::Custom {
            return Err(Error::bad_request("Volume \"size\" property is not valid for volume type"));
        }
        let known = table.find(key).ok_or_else(|| {
            Error::bad_request(format!("Invalid option for volume {name:?} option {key:?}"))
        })?;
        check_value(known, value).map_err(|why| {
            Error::bad_request(format!("Invalid value for volume {name:?} option {key:?}: {why}"))
        })?;
    }
    Ok(())
}

fn check_value(key: &dyn AnyKey, value: &str) -> std::result::Result<(), ValueError> {
    if value.contains(['\0', '\n', '\r']) {
        return Err(ValueError::new("Line ends are not allowed"));
    }
    key.check(value)
}

/// A new custom volume's configuration: its own keys, then the pool's `volume.*` defaults.
pub fn with_pool_defaults(pool: &Config, own: &Config) -> Config {
    let mut config: Config = own.iter().filter(|(_, value)| !value.is_empty()).map(pair).collect();
    for (key, value) in pool {
        if let Some(key) = key.strip_prefix("volume.").filter(|_| !value.is_empty()) {
            config.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
    }
    config
}

fn pair((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

/// The size in bytes that a configuration asks for.
///
/// # Errors
/// A malformed size.
pub fn size(config: &Config) -> Result<Option<u64>> {
    Ok(SIZE.read(config)?.map(ByteSize::bytes).filter(|size| *size > 0))
}

/// The size that a pool gets by a change; none when it stays.
///
/// # Errors
/// A malformed size.
pub fn new_pool_size(old: &Config, new: &Config) -> Result<Option<u64>> {
    if old.value("size") == new.value("size") {
        return Ok(None);
    }
    size(new)
}

/// Refuses changes of a pool that cannot be made once it exists.
///
/// # Errors
/// The reference's words.
pub fn check_pool_change(old: &Config, new: &Config) -> Result<()> {
    if old.value("source") != new.value("source") {
        return Err(Error::internal("Pool source cannot be changed when not in pending state"));
    }
    Ok(())
}

/// Refuses changes of a volume in use that would need its files to be changed.
///
/// # Errors
/// `security.unmapped` or `security.shifted` changed while instances use the volume.
pub fn check_volume_change(old: &Config, new: &Config, running_users: bool) -> Result<()> {
    let on = |config: &Config, key: &str| parse_bool(config.value(key)).unwrap_or(false);
    for key in ["security.shifted", "security.unmapped"] {
        if running_users && on(old, key) != on(new, key) {
            return Err(Error::bad_request("Cannot modify shifting with running instances using the volume"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn custom(name: &str) -> VolumeRef {
        VolumeRef::custom(&lxd_types::names::ProjectName::default_project(), &name.parse().unwrap())
    }

    #[test]
    fn pool_keys_answer_as_the_reference() {
        let check = |key, value| check_pool(PoolDriver::Dir, &config(&[(key, value)]));
        for (key, value) in [
            ("volume.size", "1GiB"),
            ("rsync.bwlimit", "1MB"),
            ("user.x", "anything"),
            ("source", "/x"),
            ("volume.snapshots.expiry", "1d"),
        ] {
            assert!(check(key, value).is_ok(), "{key}");
        }
        for (key, value, text) in [
            ("size", "10GiB", "Invalid option \"size\""),
            ("no.such", "1", "Invalid option \"no.such\""),
            ("volume.foo", "1", "Invalid option \"volume.foo\""),
            ("rsync.bwlimit", "x", "Invalid value for option \"rsync.bwlimit\": Invalid value: x"),
            (
                "rsync.compression",
                "maybe",
                "Invalid value for option \"rsync.compression\": Invalid value for a boolean \"maybe\"",
            ),
            ("volume.size", "x", "Invalid value for option \"volume.size\": Invalid value: x"),
            (
                "volume.snapshots.expiry",
                "zz",
                "Invalid value for option \"volume.snapshots.expiry\": Invalid expiry expression",
            ),
        ] {
            assert_eq!(check(key, value).unwrap_err().chain(), text);
        }
    }

    #[test]
    fn volume_keys_answer_as_the_reference() {
        let check = |key, value| check_volume(PoolDriver::Dir, &custom("v1"), &config(&[(key, value)]));
        assert!(check("snapshots.pattern", "x").is_ok() && check("size", "").is_ok());
        for (key, value, text) in [
            ("no.such", "1", "Invalid option for volume \"default_v1\" option \"no.such\""),
            (
                "block.filesystem",
                "ext4",
                "Invalid option for volume \"default_v1\" option \"block.filesystem\"",
            ),
            (
                "security.shifted",
                "x",
                "Invalid value for volume \"default_v1\" option \"security.shifted\": \
                 Invalid value for a boolean \"x\"",
            ),
            ("size", "abc", "Invalid value for volume \"default_v1\" option \"size\": Invalid value: abc"),
            (
                "snapshots.expiry",
                "never",
                "Invalid value for volume \"default_v1\" option \"snapshots.expiry\": Invalid expiry expression",
            ),
        ] {
            assert_eq!(check(key, value).unwrap_err().chain(), text);
        }
        let c1 = VolumeRef::container(&custom("x").project, &"c1".parse().unwrap());
        let refused =
            check_volume(PoolDriver::Dir, &c1, &config(&[("security.shifted", "true")])).unwrap_err();
        assert_eq!(refused.chain(), "Invalid option for volume \"c1\" option \"security.shifted\"");
    }

    #[test]
    fn pool_defaults_fill_gaps_only() {
        let pool = config(&[("volume.size", "1GiB"), ("volume.security.shifted", "true"), ("source", "/x")]);
        let own = config(&[("size", "2GiB"), ("user.a", "")]);
        assert_eq!(
            with_pool_defaults(&pool, &own),
            config(&[("security.shifted", "true"), ("size", "2GiB")])
        );
        assert_eq!(size(&own).unwrap(), Some(2 << 30));
    }
}
