//! Storage pools and custom volumes, seen from outside.

use lxd_testkit::Daemon;
use serde_json::json;

use crate::world::World;

#[test]
fn pools_and_volumes_live_and_leave_nothing() {
    let mut daemon = Daemon::start();
    let before = World::of(&daemon);
    let source = daemon.scratch().join("source");
    std::fs::create_dir(&source).unwrap();
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "p1", "driver": "dir"}));
    let elsewhere = json!({"name": "p2", "driver": "dir", "config": {"source": source}});
    daemon.ok("POST", "/1.0/storage-pools", &elsewhere);
    let volumes = "/1.0/storage-pools/p2/volumes/custom";
    daemon.ok("POST", volumes, &json!({"name": "v1", "config": {"user.a": "b"}}));
    std::fs::write(source.join("custom/default_v1/file"), "kept").unwrap();
    assert_eq!(daemon.fails("POST", volumes, &json!({"name": "v1"})), "Volume by that name already exists");
    assert_eq!(
        daemon.fails("DELETE", "/1.0/storage-pools/p2", &json!({})),
        "The storage pool is currently in use"
    );

    // A pool that lives elsewhere is there again after a restart of the machine.
    daemon.stop();
    rustix::mount::unmount(daemon.lxd_dir().join("storage-pools/p2"), rustix::mount::UnmountFlags::empty())
        .unwrap();
    daemon.launch();
    let place = daemon.lxd_dir().join("storage-pools/p2/custom/default_v1/file");
    lxd_testkit::wait_for("the pool", 10, || {
        std::fs::read_to_string(&place).ok().filter(|text| text == "kept")
    });

    let copy = json!({"name": "v2", "source": {"type": "copy", "name": "v1", "pool": "p2"}});
    daemon.ok("POST", "/1.0/storage-pools/p1/volumes/custom", &copy);
    let copied = daemon.lxd_dir().join("storage-pools/p1/custom/default_v2/file");
    assert_eq!(std::fs::read_to_string(copied).unwrap(), "kept");
    assert_eq!(
        daemon.get("/1.0/storage-pools/p1/volumes/custom/v2").metadata()["config"],
        json!({"user.a": "b"})
    );
    daemon.ok("POST", "/1.0/storage-pools/p1/volumes/custom/v2", &json!({"name": "v3"}));
    daemon.ok("DELETE", "/1.0/storage-pools/p1/volumes/custom/v3", &json!({}));
    daemon.ok("DELETE", &format!("{volumes}/v1"), &json!({}));
    for pool in ["p1", "p2"] {
        daemon.ok("DELETE", &format!("/1.0/storage-pools/{pool}"), &json!({}));
    }
    assert_eq!(std::fs::read_dir(&source).unwrap().count(), 0);
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn data_without_a_row_is_never_deleted() {
    let daemon = Daemon::start();
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "p1", "driver": "dir"}));
    let orphan = daemon.lxd_dir().join("storage-pools/p1/custom/default_old");
    std::fs::create_dir(&orphan).unwrap();
    std::fs::write(orphan.join("file"), "precious").unwrap();
    let volumes = "/1.0/storage-pools/p1/volumes/custom";
    assert_eq!(daemon.fails("POST", volumes, &json!({"name": "old"})), "Volume by that name already exists");
    assert!(daemon.fails("DELETE", "/1.0/storage-pools/p1", &json!({})).contains("lxd recover"));
    assert_eq!(std::fs::read_to_string(orphan.join("file")).unwrap(), "precious");
    assert_eq!(daemon.get("/1.0/storage-pools/p1").metadata()["status"], "Created");
}

#[test]
fn volume_snapshots_live_and_leave_nothing() {
    let mut daemon = Daemon::start();
    let before = World::of(&daemon);
    for pool in ["p1", "p2"] {
        daemon.ok("POST", "/1.0/storage-pools", &json!({"name": pool, "driver": "dir"}));
    }
    let volumes = "/1.0/storage-pools/p1/volumes/custom";
    daemon.ok("POST", volumes, &json!({"name": "v1", "config": {"snapshots.expiry": "1d"}}));
    let file = daemon.lxd_dir().join("storage-pools/p1/custom/default_v1/file");
    std::fs::write(&file, "one").unwrap();
    let snapshots = format!("{volumes}/v1/snapshots");
    daemon.ok("POST", &snapshots, &json!({}));
    daemon.ok("POST", &snapshots, &json!({"name": "named", "expires_at": "0001-01-01T00:00:00Z"}));
    assert_eq!(
        daemon.fails("POST", &snapshots, &json!({"name": "named"})),
        "Snapshot \"named\" already in use"
    );
    assert!(daemon.fails("POST", &snapshots, &json!({"name": ".."})).contains("Invalid snapshot name"));
    let expires = |name: &str| daemon.get(&format!("{snapshots}/{name}")).metadata()["expires_at"].clone();
    assert_ne!(expires("snap0"), json!("0001-01-01T00:00:00Z"));
    assert_eq!(expires("named"), json!("0001-01-01T00:00:00Z"));

    std::fs::write(&file, "two").unwrap();
    daemon.ok("PUT", &format!("{volumes}/v1"), &json!({"restore": "named"}));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
    assert_eq!(
        daemon.get(&format!("{volumes}/v1")).metadata()["config"],
        json!({"snapshots.expiry": "1d"}),
        "a restore leaves the keys"
    );
    daemon.ok("POST", &format!("{snapshots}/snap0"), &json!({"name": "first"}));
    assert_eq!(
        daemon.get(&snapshots).metadata(),
        json!([format!("{snapshots}/first"), format!("{snapshots}/named")])
    );

    // To another pool, with the snapshots, and once more after both have changed.
    let copy = json!({"name": "v2", "source": {"type": "copy", "name": "v1", "pool": "p1"}});
    let copies = "/1.0/storage-pools/p2/volumes/custom";
    daemon.ok("POST", copies, &copy);
    daemon.ok("DELETE", &format!("{snapshots}/first"), &json!({}));
    std::fs::write(&file, "three").unwrap();
    daemon.ok("POST", &snapshots, &json!({"name": "later"}));
    let mut again = copy;
    again["source"]["refresh"] = json!(true);
    daemon.ok("POST", copies, &again);
    let there = format!("{copies}/v2/snapshots");
    assert_eq!(daemon.get(&there).metadata(), json!([format!("{there}/named"), format!("{there}/later")]));
    let place = daemon.lxd_dir().join("storage-pools/p2");
    assert_eq!(std::fs::read_to_string(place.join("custom/default_v2/file")).unwrap(), "three");
    let old = place.join("custom-snapshots/default_v2/named/file");
    assert_eq!(std::fs::read_to_string(old).unwrap(), "one");

    // What is over goes by itself.
    daemon.ok("PUT", &format!("{there}/named"), &json!({"expires_at": "2001-01-01T00:00:00Z"}));
    daemon.stop();
    daemon.launch();
    lxd_testkit::wait_for("the expired snapshot to go", 90, || {
        (daemon.get(&there).metadata() == json!([format!("{there}/later")])).then_some(())
    });
    daemon.ok("DELETE", &format!("{copies}/v2"), &json!({}));
    daemon.ok("DELETE", &format!("{volumes}/v1"), &json!({}));
    for pool in ["p1", "p2"] {
        daemon.ok("DELETE", &format!("/1.0/storage-pools/{pool}"), &json!({}));
    }
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn instances_and_volumes_on_btrfs() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let before = World::of(&daemon);
    let pool = json!({"name": "b", "driver": "btrfs", "config": {"size": "512MiB"}});
    daemon.ok("POST", "/1.0/storage-pools", &pool);
    let root =
        |size: &str| json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "b", "size": size}}});
    daemon.create("c1", &root("40MiB"));
    daemon.create("c2", &root(""));
    let images = daemon.get("/1.0/storage-pools/b/volumes/image").metadata();
    assert_eq!(images.as_array().map(Vec::len), Some(1), "the image is unpacked once: {images}");
    daemon.state("c1", "start", "");
    let fill = ["exec", "c1", "--", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=80"];
    let full = daemon.lxc(&fill);
    let said = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(!full.status.success() && said.contains("quota"), "the size holds: {said}");
    daemon.lxc_ok(&["exec", "c1", "--", "rm", "/big"]);
    daemon.ok("PATCH", "/1.0/instances/c1", &root("200MiB"));
    daemon.lxc_ok(&fill);

    // As after a restart of the machine.
    daemon.remove("c1");
    daemon.stop();
    let place = daemon.lxd_dir().join("storage-pools/b");
    rustix::mount::unmount(&place, rustix::mount::UnmountFlags::empty()).unwrap();
    daemon.launch();
    lxd_testkit::wait_for("the pool", 20, || place.join("containers/c2/rootfs").is_dir().then_some(()));
    daemon.ok("POST", "/1.0/instances/c2/snapshots", &json!({"name": "s1"}));
    std::fs::write(place.join("containers/c2/rootfs/new"), "").unwrap();
    daemon.ok("PUT", "/1.0/instances/c2", &json!({"restore": "s1"}));
    assert!(!place.join("containers/c2/rootfs/new").exists());
    let copy = json!({"name": "c3", "source": {"type": "copy", "source": "c2"}});
    daemon.ok("POST", "/1.0/instances", &copy);
    assert!(place.join("containers-snapshots/c3/s1/rootfs").is_dir());
    for name in ["c2", "c3"] {
        daemon.state(name, "start", "");
        daemon.remove(name);
    }

    let volumes = "/1.0/storage-pools/b/volumes/custom";
    daemon.ok("POST", volumes, &json!({"name": "v1", "config": {"size": "20MiB"}}));
    std::fs::write(place.join("custom/default_v1/file"), vec![1; 1 << 20]).unwrap();
    daemon.ok("POST", &format!("{volumes}/v1/snapshots"), &json!({"name": "s1"}));
    let used = daemon.get(&format!("{volumes}/v1/state")).metadata()["usage"]["used"].as_u64();
    assert!(used.is_some_and(|used| used < 20 << 20), "{used:?}");
    let copy = json!({"name": "v2", "source": {"type": "copy", "name": "v1", "pool": "b"}});
    daemon.ok("POST", volumes, &copy);
    // To a pool of another driver and back.
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &copy);
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom/v2", &json!({"name": "v3", "pool": "b"}));
    let kept = place.join("custom-snapshots/default_v3/s1/file");
    assert_eq!(std::fs::metadata(kept).unwrap().len(), 1 << 20);
    for name in ["v1", "v2", "v3"] {
        daemon.ok("DELETE", &format!("{volumes}/{name}"), &json!({}));
    }

    daemon.ok("PATCH", "/1.0/storage-pools/b", &json!({"config": {"size": "600MiB"}}));
    let total = daemon.get("/1.0/storage-pools/b/resources").metadata()["space"]["total"].clone();
    assert_eq!(total, json!(600 << 20));
    let shrunk = daemon.fails("PATCH", "/1.0/storage-pools/b", &json!({"config": {"size": "300MiB"}}));
    assert!(shrunk.contains("smaller"), "{shrunk}");
    assert_eq!(daemon.get("/1.0/storage-pools/b").metadata()["config"]["size"], json!("600MiB"));
    daemon.ok("DELETE", "/1.0/storage-pools/b", &json!({}));
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn mount_options_of_btrfs_change_live() {
    let daemon = Daemon::start();
    let config = json!({"size": "256MiB", "btrfs.mount_options": "noatime"});
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "b", "driver": "btrfs", "config": config}));
    let place = daemon.lxd_dir().join("storage-pools/b");
    let options = || {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let line = mounts.lines().find(|line| line.contains(place.to_str().unwrap())).unwrap();
        line.split(' ').nth(3).unwrap().to_owned()
    };
    assert!(options().contains("noatime"));
    let set = |value: &str| json!({"config": {"btrfs.mount_options": value}});
    daemon.ok("PATCH", "/1.0/storage-pools/b", &set("relatime,compress=zstd"));
    assert!(options().contains("relatime") && options().contains("compress=zstd"), "{}", options());
    let refused = daemon.fails("PATCH", "/1.0/storage-pools/b", &set("no_such_option"));
    assert!(refused.contains("no_such_option"), "{refused}");
    let kept = daemon.get("/1.0/storage-pools/b").metadata()["config"]["btrfs.mount_options"].clone();
    assert_eq!(kept, "relatime,compress=zstd");
    daemon.ok("DELETE", "/1.0/storage-pools/b", &json!({}));
}
