//! Snapshots of instances.

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::world::World;

fn write(daemon: &Daemon, text: &str) {
    let root = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs/root");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("f"), text).unwrap();
}

fn read(daemon: &Daemon) -> String {
    let file = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs/root/f");
    std::fs::read_to_string(file).unwrap()
}

fn names(daemon: &Daemon) -> Vec<String> {
    let list = daemon.get("/1.0/instances/c1/snapshots").metadata();
    let urls = list.as_array().unwrap().iter();
    urls.map(|url| url.as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn an_instance_goes_back_to_a_snapshot() {
    let daemon = Daemon::start().with_pool_and_image();
    let before = World::of(&daemon);
    daemon.create("c1", &json!({"config": {"user.v": "1"}}));
    write(&daemon, "one");
    daemon.state("c1", "start", "");
    let uuid = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.uuid"].clone();
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s1"}));
    assert_eq!(daemon.status("c1"), "Running");
    let taken = daemon.fails("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s1"}));
    assert_eq!(
        taken,
        "Failed creating instance snapshot record \"s1\": Add snapshot info to the database: \
         This \"instances_snapshots\" entry already exists"
    );
    assert_eq!(names(&daemon), ["s1"]);

    write(&daemon, "two");
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"user.v": "2"}}));
    daemon.ok("PUT", "/1.0/instances/c1", &json!({"restore": "s1"}));
    assert_eq!((read(&daemon).as_str(), daemon.status("c1").as_str()), ("one", "Running"));
    let config = daemon.get("/1.0/instances/c1").metadata()["config"].clone();
    assert_eq!((&config["user.v"], &config["volatile.uuid"]), (&json!("1"), &uuid));
    let missing = daemon.fails("PUT", "/1.0/instances/c1", &json!({"restore": "nosuch"}));
    assert_eq!(missing, "Snapshot c1/nosuch does not exist");

    daemon.ok("POST", "/1.0/instances/c1/snapshots/s1", &json!({"name": "s2"}));
    let folder = daemon.lxd_dir().join("storage-pools/default/containers-snapshots/c1");
    assert!(folder.join("s2/rootfs").is_dir() && !folder.join("s1").exists());
    assert!(daemon.lxd_dir().join("snapshots/c1/s2/rootfs").is_dir());
    let list = daemon.get("/1.0/instances?recursion=2").metadata();
    assert_eq!(list[0]["snapshots"][0]["name"], "s2");
    daemon.ok("DELETE", "/1.0/instances/c1/snapshots/s2", &Value::Null);
    assert!(names(&daemon).is_empty());
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "last"}));
    daemon.state("c1", "stop", "force");
    daemon.ok("DELETE", "/1.0/instances/c1", &Value::Null);
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn names_come_from_the_pattern_and_expired_ones_go() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({"config": {"snapshots.pattern": "auto-%d", "snapshots.expiry": "1d"}}));
    for _ in 0..2 {
        daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({}));
    }
    assert_eq!(names(&daemon), ["auto-0", "auto-1"]);
    let expires = |name: &str| {
        let one = daemon.get(&format!("/1.0/instances/c1/snapshots/{name}")).metadata();
        one["expires_at"].as_str().unwrap().to_owned()
    };
    assert!(!expires("auto-0").starts_with("0001"));
    let never = json!({"name": "keep", "expires_at": "0001-01-01T00:00:00Z"});
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &never);
    assert!(expires("keep").starts_with("0001"));
    let past = json!({"expires_at": "2020-01-01T00:00:00Z"});
    daemon.ok("PUT", "/1.0/instances/c1/snapshots/auto-0", &past);
    let mut daemon = daemon;
    // The task runs at each start, too.
    daemon.restart();
    wait_for("the removal of the expired snapshot", 20, || {
        (!names(&daemon).contains(&"auto-0".to_owned())).then_some(())
    });
    assert_eq!(names(&daemon), ["auto-1", "keep"]);
}

#[test]
fn a_start_of_the_server_takes_snapshots() {
    let mut daemon = Daemon::start().with_pool_and_image();
    daemon.create(
        "c1",
        &json!({"config": {"snapshots.schedule": "@startup", "snapshots.schedule.stopped": "true"}}),
    );
    daemon.restart();
    wait_for("the snapshot of the start", 20, || (names(&daemon) == ["snap0"]).then_some(()));
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"snapshots.schedule": "@never"}}));
}

#[test]
fn our_client_takes_and_restores_snapshots() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    write(&daemon, "one");
    daemon.lxc_ok(&["snapshot", "c1"]);
    daemon.lxc_ok(&["snapshot", "c1", "s1"]);
    daemon.lxc_ok(&["snapshot", "c1", "s1", "--reuse"]);
    assert_eq!(daemon.lxc_ok(&["list", "-f", "csv", "-c", "nS"]).trim(), "c1,2");
    write(&daemon, "two");
    daemon.lxc_ok(&["restore", "c1", "s1"]);
    assert_eq!(read(&daemon), "one");
    assert!(daemon.lxc_ok(&["info", "c1"]).contains("| snap0 "));
    daemon.lxc_ok(&["rename", "c1/s1", "c1/s2"]);
    daemon.lxc_ok(&["delete", "c1/s2"]);
    assert_eq!(names(&daemon), ["snap0"]);
}
