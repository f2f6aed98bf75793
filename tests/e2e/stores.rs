//! Images and backups of the server in custom volumes (`storage.images_volume`, `storage.backups_volume`).

use std::path::PathBuf;

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::world::World;

const VOLUMES: &str = "/1.0/storage-pools/b/volumes/custom";

/// A daemon with an image, an instance with a backup, and the volumes `v1` and `v2` in the btrfs pool `b`.
fn prepared() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    let backup = json!({"name": "b1", "compression_algorithm": "none"});
    daemon.ok("POST", "/1.0/instances/c1/backups", &backup);
    let size = json!({"size": "512MiB"});
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "b", "driver": "btrfs", "config": size}));
    for name in ["v1", "v2"] {
        daemon.ok("POST", VOLUMES, &json!({"name": name}));
    }
    daemon
}

fn place(daemon: &Daemon, volume: &str) -> PathBuf {
    daemon.lxd_dir().join(format!("storage-pools/b/custom/default_{volume}"))
}

fn names(path: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn set(daemon: &Daemon, images: &str, backups: &str) {
    let config = json!({"storage.images_volume": images, "storage.backups_volume": backups});
    daemon.ok("PATCH", "/1.0", &json!({"config": config}));
}

/// The image makes instances and can be exported, backups can be fetched and made.
fn works(daemon: &Daemon) {
    let image = daemon.get("/1.0/images/aliases/busybox").metadata()["target"].as_str().unwrap().to_owned();
    assert!(daemon.get(&format!("/1.0/images/{image}/export")).bytes.len() > 1000);
    daemon.create("c2", &json!({}));
    assert!(daemon.get("/1.0/instances/c1/backups/b1/export").bytes.len() > 1000);
    daemon.ok("POST", "/1.0/instances/c2/backups", &json!({"name": "b2", "compression_algorithm": "none"}));
    assert!(daemon.get("/1.0/instances/c2/backups/b2/export").bytes.len() > 1000);
    daemon.remove("c2");
}

#[test]
fn images_and_backups_move_to_volumes_and_back() {
    let mut daemon = prepared();
    let before = World::of(&daemon);
    let here = [names(daemon.lxd_dir().join("images")), names(daemon.lxd_dir().join("backups"))];
    set(&daemon, "b/v1", "b/v2");
    for (folder, volume, content) in [("images", "v1", &here[0]), ("backups", "v2", &here[1])] {
        assert_eq!(std::fs::read_link(daemon.lxd_dir().join(folder)).unwrap(), place(&daemon, volume));
        assert_eq!(&names(place(&daemon, volume)), content);
        assert!(!daemon.lxd_dir().join(format!("{folder}.new")).exists());
        let used = daemon.get(&format!("{VOLUMES}/{volume}")).metadata()["used_by"].clone();
        assert_eq!(used, json!(["/1.0"]));
    }
    works(&daemon);
    daemon.restart();
    works(&daemon);
    // One key alone, to where another volume is free, and what is stored meanwhile comes along.
    daemon.ok("POST", VOLUMES, &json!({"name": "v3"}));
    set(&daemon, "b/v3", "b/v2");
    assert_eq!((names(place(&daemon, "v3")), names(place(&daemon, "v1"))), (here[0].clone(), vec![]));
    works(&daemon);
    daemon.ok("DELETE", &format!("{VOLUMES}/v1"), &Value::Null);
    set(&daemon, "", "");
    works(&daemon);
    assert!(daemon.lxd_dir().join("images").symlink_metadata().unwrap().is_dir());
    daemon.ok("DELETE", &format!("{VOLUMES}/v3"), &Value::Null);
    daemon.ok("POST", VOLUMES, &json!({"name": "v1"}));
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
    daemon.remove("c1");
}

#[test]
fn volumes_of_the_server_are_refused_and_refuse() {
    let daemon = prepared();
    let kept = World::of(&daemon);
    daemon.ok(
        "POST",
        VOLUMES,
        &json!({"name": "block", "content_type": "block", "config": {"size": "1MiB"}}),
    );
    daemon.ok("POST", VOLUMES, &json!({"name": "snapped"}));
    daemon.ok("POST", &format!("{VOLUMES}/snapped/snapshots"), &json!({"name": "s"}));
    daemon.ok("POST", VOLUMES, &json!({"name": "full"}));
    std::fs::write(place(&daemon, "full").join("file"), "mine").unwrap();
    daemon.ok("POST", VOLUMES, &json!({"name": "taken"}));
    let device = |volume: &str| json!({"devices": {"d": {"type": "disk", "pool": "b", "source": volume, "path": "/mnt"}}});
    daemon.ok("PATCH", "/1.0/instances/c1", &device("taken"));
    for (value, why) in [
        (
            "b/none",
            "Failed loading storage volume \"b/none\" in \"default\" project: Storage volume not found",
        ),
        ("none/v1", "Unable to load storage pool \"none\": Storage pool not found"),
        ("v1", "Invalid syntax for volume, must be <pool>/<volume>"),
        ("b/v1/x", "Invalid syntax for volume, must be <pool>/<volume>"),
        ("b/../v1", "Invalid syntax for volume, must be <pool>/<volume>"),
        ("b/block", "Storage volume \"b/block\" in \"default\" project is not filesystem content type"),
        ("b/snapped", "Storage volumes for use by LXD itself cannot have snapshots"),
        ("b/full", "Storage volume \"b/full\" isn't empty"),
        (
            "b/taken",
            "Storage volume \"b/taken\" is attached (/1.0/instances/c1): LXD shares its volumes with nobody",
        ),
    ] {
        for key in ["storage.images_volume", "storage.backups_volume"] {
            let error = daemon.fails("PATCH", "/1.0", &json!({"config": {key: value}}));
            assert_eq!(error, format!("Failed validation of \"{key}\": {why}"));
        }
    }
    let both = json!({"storage.images_volume": "b/v1", "storage.backups_volume": "b/v1"});
    let error = daemon.fails("PATCH", "/1.0", &json!({"config": both}));
    assert!(error.ends_with("Storage volume \"b/v1\" isn't empty"), "{error}");
    set(&daemon, "b/v1", "b/v2");
    let v1 = format!("{VOLUMES}/v1");
    let copy =
        json!({"name": "v1", "source": {"type": "copy", "name": "full", "pool": "b", "refresh": true}});
    for (method, path, body, why) in [
        ("DELETE", &*v1, Value::Null, "The storage volume is still in use"),
        ("POST", &v1, json!({"name": "v9"}), "Volume is used by LXD itself and cannot be renamed"),
        (
            "POST",
            &v1,
            json!({"name": "v1", "pool": "default"}),
            "Volume is used by LXD itself and cannot be renamed",
        ),
        (
            "POST",
            &format!("{v1}/snapshots"),
            json!({"name": "s"}),
            "Volumes used by LXD itself cannot have snapshots",
        ),
        ("POST", VOLUMES, copy, "Volume \"v1\" is used by LXD itself and cannot be refreshed"),
        (
            "PATCH",
            "/1.0/instances/c1",
            device("v1"),
            "Storage volume is used by LXD itself and cannot be attached",
        ),
        ("DELETE", "/1.0/storage-pools/b", Value::Null, "The storage pool is currently in use"),
    ] {
        let error = daemon.fails(method, path, &body);
        assert!(error.ends_with(why), "{method} {path}: {error}");
    }
    works(&daemon);
    set(&daemon, "", "");
    daemon.remove("c1");
    for name in ["block", "snapped", "full", "taken"] {
        daemon.ok("DELETE", &format!("{VOLUMES}/{name}"), &Value::Null);
    }
    daemon.create("c1", &json!({}));
    daemon.ok("POST", "/1.0/instances/c1/backups", &json!({"name": "b1", "compression_algorithm": "none"}));
    assert_eq!(kept.difference(&World::of(&daemon)), Vec::<String>::new());
    daemon.remove("c1");
}

#[test]
fn the_server_starts_without_the_pool_of_its_images() {
    let mut daemon = prepared();
    set(&daemon, "b/v1", "b/v2");
    daemon.stop();
    let mount = daemon.lxd_dir().join("storage-pools/b");
    rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::NOFOLLOW).unwrap();
    let (disk, away) = (daemon.lxd_dir().join("disks/b.img"), daemon.scratch().join("away"));
    std::fs::rename(&disk, &away).unwrap();
    daemon.launch();
    assert_eq!(daemon.get("/1.0/storage-pools/b").metadata()["status"], "Unavailable");
    let source = json!({"type": "image", "alias": "busybox"});
    let error = daemon.fails("POST", "/1.0/instances", &json!({"name": "c2", "source": source}));
    assert!(error.contains("Failed to open the image store"), "{error}");
    let error = daemon.fails("PATCH", "/1.0", &json!({"config": {"storage.images_volume": ""}}));
    assert!(error.contains("Failed to move the images of this server"), "{error}");
    assert_eq!(names(mount), Vec::<String>::new(), "nothing is written below the missing pool");
    std::fs::rename(&away, &disk).unwrap();
    wait_for("the pool to be there again", 60, || {
        let pool = daemon.get("/1.0/storage-pools/b");
        (pool.metadata()["status"] == "Created").then_some(())
    });
    works(&daemon);
    set(&daemon, "", "");
    daemon.remove("c1");
}
