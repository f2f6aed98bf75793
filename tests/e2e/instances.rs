//! Instances: their life from creation to deletion, seen from outside.

use lxd_testkit::{Daemon, wait_for};
use serde_json::json;

use crate::world::World;

#[test]
fn an_unprivileged_container_lives_and_leaves_nothing() {
    let daemon = Daemon::start().with_pool_and_image();
    let before = World::of(&daemon);
    daemon.create("c1", &json!({"config": {"limits.memory": "64MiB", "limits.processes": "50"}}));
    assert_eq!(daemon.status("c1"), "Stopped");
    daemon.state("c1", "start", "");
    assert_eq!(daemon.status("c1"), "Running");

    let state = daemon.get("/1.0/instances/c1/state").metadata();
    let pid = state["pid"].as_i64().unwrap();
    let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    let outside: u64 = map.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(outside >= 65_536, "root inside must not be a user of the host: {map}");
    assert!(state["memory"]["usage"].as_i64().unwrap() > 0);
    wait_for("the image's init", 20, || {
        std::path::Path::new(&format!("/proc/{pid}/root/run/booted")).exists().then_some(())
    });
    let limit = std::fs::read_to_string(memory_limit_file(pid)).unwrap();
    assert_eq!(limit.trim(), (64 << 20).to_string());
    // The kernel refuses a limit below what is used: nothing has changed then.
    let tiny = json!({"config": {"limits.memory": "4KiB"}, "description": "not kept"});
    if std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        let refused = daemon.fails("PATCH", "/1.0/instances/c1", &tiny);
        assert!(refused.contains("Failed to apply limits.memory"), "{refused}");
        let kept = daemon.get("/1.0/instances/c1").metadata();
        assert_eq!((&kept["config"]["limits.memory"], &kept["description"]), (&json!("64MiB"), &json!("")));
        let limit = std::fs::read_to_string(memory_limit_file(pid)).unwrap();
        assert_eq!(limit.trim(), (64 << 20).to_string());
    }

    assert!(daemon.fails("DELETE", "/1.0/instances/c1", &json!({})).contains("running"));
    daemon.state("c1", "freeze", "");
    assert_eq!(daemon.status("c1"), "Frozen");
    daemon.state("c1", "unfreeze", "");
    daemon.state("c1", "restart", "");
    assert_ne!(daemon.get("/1.0/instances/c1/state").metadata()["pid"], pid);
    daemon.state("c1", "stop", "");
    assert_eq!(daemon.status("c1"), "Stopped");
    daemon.ok("DELETE", "/1.0/instances/c1", &json!({}));
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

fn memory_limit_file(pid: i64) -> String {
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next(), fields.next().unwrap(), fields.next().unwrap());
        if controllers.split(',').any(|name| name == "memory") {
            return format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes");
        }
    }
    let unified = cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    format!("/sys/fs/cgroup{unified}/memory.max")
}

#[test]
fn a_taken_name_harms_nobody() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    let uuid = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.uuid"].clone();
    let again = json!({"name": "c1", "source": {"type": "image", "alias": "busybox"}, "config": {"volatile.uuid": uuid}});
    assert!(daemon.fails("POST", "/1.0/instances", &again).contains("already exists"));
    assert_eq!(daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.uuid"], uuid);
    daemon.state("c1", "start", "");
    assert_eq!(daemon.status("c1"), "Running");
}

#[test]
fn running_containers_survive_the_daemon() {
    let mut daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.create("c2", &json!({"ephemeral": true}));
    daemon.state("c1", "start", "");
    daemon.state("c2", "start", "");
    let pid = daemon.get("/1.0/instances/c1/state").metadata()["pid"].clone();
    daemon.restart();
    assert_eq!(daemon.get("/1.0/instances/c1/state").metadata()["pid"], pid);
    daemon.kill();
    daemon.launch();
    assert_eq!(daemon.get("/1.0/instances/c1/state").metadata()["pid"], pid);
    daemon.state("c2", "stop", "force");
    assert_eq!(daemon.status("c2"), "", "an ephemeral instance is gone when it stops");
    daemon.state("c1", "stop", "");
}

#[test]
fn changes_of_different_keys_at_once_are_all_kept() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || {
                for n in 0..25 {
                    let config = json!({"config": {format!("user.k{client}"): n.to_string()}});
                    daemon.ok("PATCH", "/1.0/instances/c1", &config);
                }
            });
        }
    });
    let config = daemon.get("/1.0/instances/c1").metadata()["config"].clone();
    for client in 0..4 {
        assert_eq!(config[format!("user.k{client}")], "24");
    }
}

#[test]
fn backup_yaml_follows_the_database() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    let file = daemon.lxd_dir().join("storage-pools/default/containers/c1/backup.yaml");
    wait_for("backup.yaml", 15, || file.exists().then_some(()));
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"user.note": "changed"}}));
    wait_for("the change in backup.yaml", 15, || {
        std::fs::read_to_string(&file).unwrap().contains("user.note: changed").then_some(())
    });
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o400);
}
