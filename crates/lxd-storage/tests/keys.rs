//! Every key of pools and volumes that the drivers have (`config-keys.tsv`), with a value that is taken and one that is refused.

use lxd_storage::config::{check_pool, check_volume, with_pool_defaults};
use lxd_storage::{PoolDriver, VolumeRef};
use lxd_types::Config;
use lxd_types::names::ProjectName;

fn one(key: &str, value: &str) -> Config {
    [(key.to_owned(), value.to_owned())].into()
}

#[test]
fn keys_of_pools() {
    const BOTH: &[PoolDriver] = &[PoolDriver::Dir, PoolDriver::Btrfs];
    const BTRFS: &[PoolDriver] = &[PoolDriver::Btrfs];
    let table: &[(&[PoolDriver], &str, &str, Option<&str>)] = &[
        (BOTH, "source", "/srv/x", Some("/a\nb")),
        (BOTH, "volatile.initial_source", "/dev/sdb", Some("/a\nb")),
        (BOTH, "rsync.bwlimit", "10MB", Some("fast")),
        (BOTH, "rsync.compression", "false", Some("maybe")),
        (BOTH, "volume.size", "10GiB", Some("-1")),
        (BOTH, "volume.security.shifted", "true", Some("2")),
        (BOTH, "volume.security.unmapped", "true", Some("2")),
        (BOTH, "volume.snapshots.expiry", "1d", Some("soon")),
        (BOTH, "volume.snapshots.pattern", "s%d", None),
        (BOTH, "volume.snapshots.schedule", "@daily", Some("sometimes")),
        (BOTH, "user.any", "thing", None),
        (BTRFS, "btrfs.mount_options", "noatime", Some("a\nb")),
        (BTRFS, "size", "10GiB", Some("much")),
    ];
    for (drivers, key, good, bad) in table {
        for driver in BOTH {
            let knows = drivers.contains(driver);
            assert_eq!(check_pool(*driver, &one(key, good)).is_ok(), knows, "{driver:?} {key}={good}");
            if let Some(bad) = bad {
                let refused = check_pool(*driver, &one(key, bad)).unwrap_err().chain();
                assert!(refused.contains(key), "{driver:?} {key}={bad}: {refused}");
            }
        }
    }
    for unknown in
        ["lvm.vg_name", "zfs.pool_name", "ceph.user.name", "volume.block.filesystem", "volume.nosuch"]
    {
        for driver in BOTH {
            assert!(check_pool(*driver, &one(unknown, "x")).is_err(), "{driver:?} {unknown}");
        }
    }
}

#[test]
fn keys_of_volumes() {
    let volume = VolumeRef::custom(&ProjectName::default_project(), &"v1".parse().unwrap());
    let table: &[(&str, &str, Option<&str>)] = &[
        ("size", "10GiB", Some("-1")),
        ("security.shifted", "true", Some("2")),
        ("security.unmapped", "true", Some("2")),
        ("snapshots.expiry", "1d", Some("soon")),
        ("snapshots.pattern", "s%d", Some("a\nb")),
        ("snapshots.schedule", "@daily", Some("sometimes")),
        ("volatile.idmap.last", "[]", None),
        ("volatile.idmap.next", "[]", None),
        ("user.any", "thing", None),
    ];
    for driver in [PoolDriver::Dir, PoolDriver::Btrfs] {
        for (key, good, bad) in table {
            assert!(check_volume(driver, &volume, &one(key, good)).is_ok(), "{key}={good}");
            if let Some(bad) = bad {
                assert!(check_volume(driver, &volume, &one(key, bad)).is_err(), "{key}={bad}");
            }
        }
        for unknown in ["block.filesystem", "block.mount_options", "lvm.stripes", "zfs.use_refquota"] {
            assert!(check_volume(driver, &volume, &one(unknown, "x")).is_err(), "{unknown}");
        }
    }
}

#[test]
fn what_a_pool_says_of_volumes_holds_for_new_ones() {
    let pool: Config = [("volume.size", "1GiB"), ("volume.snapshots.expiry", "1d"), ("rsync.bwlimit", "1MB")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let config = with_pool_defaults(&pool, &one("size", "2GiB"));
    assert_eq!(config.len(), 2);
    assert_eq!((config["size"].as_str(), config["snapshots.expiry"].as_str()), ("2GiB", "1d"));
}
