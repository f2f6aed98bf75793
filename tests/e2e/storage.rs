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
