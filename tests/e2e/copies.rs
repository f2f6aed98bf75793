//! Copies and moves of instances.

use std::path::PathBuf;

use lxd_testkit::Daemon;
use serde_json::{Value, json};

use crate::world::World;

fn file(daemon: &Daemon, pool: &str, name: &str) -> PathBuf {
    daemon.lxd_dir().join(format!("storage-pools/{pool}/containers/{name}/rootfs/root/f"))
}

fn write(daemon: &Daemon, text: &str) {
    let path = file(daemon, "default", "c1");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn config(daemon: &Daemon, name: &str, key: &str) -> Value {
    daemon.get(&format!("/1.0/instances/{name}")).metadata()["config"][key].clone()
}

fn snapshots(daemon: &Daemon, name: &str) -> Vec<String> {
    let list = daemon.get(&format!("/1.0/instances/{name}/snapshots?recursion=1")).metadata();
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

/// A daemon with two pools, and an instance with the snapshot `s1` in which the file says `one`; now it says `two`.
fn prepared() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "second", "driver": "dir"}));
    daemon.create("c1", &json!({"config": {"user.a": "1"}}));
    write(&daemon, "one");
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s1"}));
    write(&daemon, "two");
    daemon
}

fn copy(name: &str, source: &Value) -> Value {
    let mut of = json!({"type": "copy", "source": "c1"});
    for (key, value) in source.as_object().into_iter().flatten() {
        of[key] = value.clone();
    }
    json!({"name": name, "source": of})
}

#[test]
fn a_copy_is_another_instance_with_the_same_files() {
    let daemon = prepared();
    daemon.ok("POST", "/1.0/instances", &copy("c2", &json!({})));
    assert_eq!(std::fs::read_to_string(file(&daemon, "default", "c2")).unwrap(), "two");
    assert_eq!(snapshots(&daemon, "c2"), ["s1"]);
    assert_eq!(config(&daemon, "c2", "user.a"), "1");
    for key in ["volatile.uuid", "volatile.cloud-init.instance-id"] {
        assert_ne!(config(&daemon, "c1", key), config(&daemon, "c2", key), "{key}");
    }
    assert_eq!(config(&daemon, "c2", "volatile.apply_template"), "copy");
    daemon.ok("POST", "/1.0/instances", &copy("c3", &json!({"source": "c1/s1"})));
    assert_eq!(std::fs::read_to_string(file(&daemon, "default", "c3")).unwrap(), "one");
    daemon.ok("POST", "/1.0/instances", &copy("c4", &json!({"instance_only": true})));
    assert!(snapshots(&daemon, "c4").is_empty());
    daemon.ok("PUT", "/1.0/instances/c2", &json!({"restore": "s1"}));
    assert_eq!(std::fs::read_to_string(file(&daemon, "default", "c2")).unwrap(), "one");
    assert_eq!(std::fs::read_to_string(file(&daemon, "default", "c1")).unwrap(), "two");
    daemon.state("c3", "start", "");
    assert_eq!(daemon.status("c3"), "Running");

    let again = daemon.fails("POST", "/1.0/instances", &copy("c2", &json!({})));
    assert!(again.contains("already exists"), "{again}");
    let missing = daemon.fails("POST", "/1.0/instances", &copy("c9", &json!({"source": "nosuch"})));
    assert_eq!(missing, "Failed to fetch instance \"nosuch\" in project \"default\": Instance not found");
}

#[test]
fn a_running_instance_is_copied_and_runs_on() {
    let daemon = prepared();
    daemon.state("c1", "start", "");
    let pid = daemon.get("/1.0/instances/c1/state").metadata()["pid"].clone();
    daemon.ok("POST", "/1.0/instances", &copy("c2", &json!({})));
    assert_eq!(daemon.get("/1.0/instances/c1/state").metadata()["pid"], pid);
    assert!(daemon.lxc(&["exec", "c1", "--", "true"]).status.success());
    daemon.state("c2", "start", "");
    assert_eq!(daemon.status("c2"), "Running");
}

#[test]
fn copies_at_once_all_succeed() {
    let daemon = prepared();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || daemon.ok("POST", "/1.0/instances", &copy(&format!("x{n}"), &json!({}))));
        }
    });
    for n in 0..4 {
        assert_eq!(std::fs::read_to_string(file(&daemon, "default", &format!("x{n}"))).unwrap(), "two");
    }
}

#[test]
fn a_refreshed_copy_follows_the_origin() {
    let daemon = prepared();
    daemon.ok("POST", "/1.0/instances", &copy("c2", &json!({})));
    daemon.ok("POST", "/1.0/instances/c2/snapshots", &json!({"name": "extra"}));
    write(&daemon, "three");
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s2"}));
    write(&daemon, "four");
    daemon.ok("POST", "/1.0/instances", &copy("c2", &json!({"refresh": true})));
    assert_eq!(snapshots(&daemon, "c2"), ["s1", "s2"]);
    assert_eq!(std::fs::read_to_string(file(&daemon, "default", "c2")).unwrap(), "four");
    let kept = daemon.lxd_dir().join("storage-pools/default/containers-snapshots/c2/s2/rootfs/root/f");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "three");
}

#[test]
fn an_instance_moves_to_another_pool_and_back() {
    let daemon = prepared();
    daemon.ok("DELETE", "/1.0/instances/c1/snapshots/s1", &Value::Null);
    let before = World::of(&daemon);
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s1"}));
    let uuid = config(&daemon, "c1", "volatile.uuid");
    daemon.ok("POST", "/1.0/instances/c1", &json!({"name": "c1", "migration": true, "pool": "second"}));
    assert_eq!(std::fs::read_to_string(file(&daemon, "second", "c1")).unwrap(), "two");
    assert!(!file(&daemon, "default", "c1").exists());
    assert_eq!(snapshots(&daemon, "c1"), ["s1"]);
    assert_eq!(config(&daemon, "c1", "volatile.uuid"), uuid);
    daemon.state("c1", "start", "");
    let running = json!({"name": "c1", "migration": true, "pool": "default"});
    assert!(daemon.fails("POST", "/1.0/instances/c1", &running).contains("stopped"));
    daemon.state("c1", "stop", "force");
    daemon.ok("POST", "/1.0/instances/c1", &json!({"name": "d1", "migration": true, "pool": "default"}));
    assert_eq!(std::fs::read_to_string(file(&daemon, "default", "d1")).unwrap(), "two");
    daemon.ok("POST", "/1.0/instances/d1", &json!({"name": "c1"}));
    daemon.ok("DELETE", "/1.0/instances/c1/snapshots/s1", &Value::Null);
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
    let missing = json!({"name": "c1", "migration": true, "pool": "nosuch"});
    assert!(daemon.fails("POST", "/1.0/instances/c1", &missing).contains("Storage pool not found"));
}

#[test]
fn our_client_copies_and_moves() {
    let daemon = prepared();
    daemon.lxc_ok(&["copy", "c1", "c2", "-c", "user.a=2", "-s", "second"]);
    assert_eq!(config(&daemon, "c2", "user.a"), "2");
    assert!(file(&daemon, "second", "c2").exists());
    daemon.lxc_ok(&["copy", "c1/s1", "c3"]);
    assert_eq!(std::fs::read_to_string(file(&daemon, "default", "c3")).unwrap(), "one");
    daemon.lxc_ok(&["move", "c3", "d3"]);
    daemon.lxc_ok(&["move", "d3", "-s", "second"]);
    assert!(file(&daemon, "second", "d3").exists());
    daemon.lxc_ok(&["copy", "c1", "d4", "--instance-only"]);
    daemon.lxc_ok(&["copy", "c1", "d4", "--refresh"]);
    assert_eq!(snapshots(&daemon, "d4"), ["s1"]);
    daemon.lxc_ok(&["move", "c1/s1", "c1/t1"]);
    assert_eq!(snapshots(&daemon, "c1"), ["t1"]);
}
