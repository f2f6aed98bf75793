//! Instances and volumes that move between projects.

use lxd_testkit::Daemon;
use serde_json::{Value, json};

use crate::world::World;

fn project(daemon: &Daemon, name: &str, config: Value) {
    let mut all = json!({"features.images": "false"});
    for (key, value) in config.as_object().unwrap() {
        all[key] = value.clone();
    }
    daemon.ok("POST", "/1.0/projects", &json!({"name": name, "config": all}));
    if all["features.profiles"] != "false" {
        let root = json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "default"}}});
        daemon.ok("PATCH", &format!("/1.0/profiles/default?project={name}"), &root);
    }
}

fn go(name: &str, project: &str) -> Value {
    json!({"name": name, "migration": true, "project": project})
}

/// What lists and folders say of an instance that has the name `c1` in the project.
fn is_at(daemon: &Daemon, pool: &str, project: &str) {
    let all = daemon.get("/1.0/instances?all-projects=true").metadata();
    let prefix = if project == "default" { String::new() } else { format!("{project}_") };
    let url = if project == "default" { String::new() } else { format!("?project={project}") };
    assert_eq!(all, json!([format!("/1.0/instances/c1{url}")]));
    let root = daemon.lxd_dir();
    let only = |folder: &str| {
        let names = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), [format!("{prefix}c1").as_str()], "{folder}");
    };
    for folder in ["containers", "snapshots", "backups/instances"] {
        only(folder);
    }
    only(&format!("storage-pools/{pool}/containers"));
    only(&format!("storage-pools/{pool}/containers-snapshots"));
    let text = std::fs::read_to_string(root.join("containers").join(format!("{prefix}c1/rootfs/f"))).unwrap();
    assert_eq!(text, "two");
}

fn walk_through_projects(driver: &str) {
    let daemon = Daemon::start().with_pool_and_image();
    let config = if driver == "btrfs" { json!({"size": "512MiB"}) } else { json!({}) };
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "p", "driver": driver, "config": config}));
    project(&daemon, "p1", json!({}));
    project(&daemon, "p2", json!({"features.profiles": "false"}));
    let root = json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "p"}}});
    daemon.ok("PATCH", "/1.0/profiles/default?project=p1", &root);
    // The pool keeps the image from now on.
    daemon.create("c1", &json!({"devices": root["devices"]}));
    daemon.remove("c1");
    let before = World::of(&daemon);
    daemon.create("c1", &json!({"devices": root["devices"], "config": {"user.a": "b"}}));
    let file = daemon.lxd_dir().join("containers/c1/rootfs/f");
    std::fs::write(&file, "one").unwrap();
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s1"}));
    std::fs::write(&file, "two").unwrap();
    daemon.ok("POST", "/1.0/instances/c1/backups", &json!({"name": "b1", "compression_algorithm": "none"}));
    let uuid = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.uuid"].clone();
    let mut at = "default";
    for to in ["p1", "p2", "default", "p1"] {
        daemon.ok("POST", &format!("/1.0/instances/c1?project={at}"), &go("c1", to));
        is_at(&daemon, "p", to);
        at = to;
    }
    let c1 = daemon.get("/1.0/instances/c1?project=p1&recursion=1").metadata();
    assert_eq!((&c1["config"]["volatile.uuid"], &c1["project"]), (&uuid, &json!("p1")));
    assert_eq!((&c1["config"]["user.a"], &c1["snapshots"][0]["name"]), (&json!("b"), &json!("s1")));
    assert!(daemon.get("/1.0/instances/c1/backups/b1/export?project=p1").bytes.len() > 1000);
    let state = |action: &str| json!({"action": action, "force": true});
    daemon.ok("PUT", "/1.0/instances/c1?project=p1", &json!({"restore": "s1"}));
    daemon.ok("PUT", "/1.0/instances/c1/state?project=p1", &state("start"));
    let running = daemon.fails("POST", "/1.0/instances/c1?project=p1", &go("c1", "p2"));
    assert_eq!(running, "Instance must be stopped to move between projects");
    daemon.ok("PUT", "/1.0/instances/c1/state?project=p1", &state("stop"));
    // Project, pool and name at once.
    let all = json!({"name": "c2", "migration": true, "project": "p2", "pool": "default"});
    daemon.ok("POST", "/1.0/instances/c1?project=p1", &all);
    let file = daemon.lxd_dir().join("storage-pools/default/containers/p2_c2/rootfs/f");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "one");
    daemon.ok("DELETE", "/1.0/instances/c2?project=p2", &Value::Null);
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn an_instance_walks_through_projects_with_all_it_has() {
    walk_through_projects("dir");
}

#[test]
fn an_instance_on_btrfs_walks_through_projects() {
    walk_through_projects("btrfs");
}

#[test]
fn a_move_that_the_other_project_refuses_changes_nothing() {
    let daemon = Daemon::start().with_pool_and_image();
    project(&daemon, "p1", json!({}));
    project(&daemon, "bare", json!({"features.profiles": "false"}));
    project(&daemon, "locked", json!({"restricted": "true"}));
    project(&daemon, "small", json!({"limits.instances": "0"}));
    project(&daemon, "tight", json!({"limits.memory": "10MiB"}));
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &json!({"name": "v1"}));
    daemon.ok("POST", "/1.0/profiles", &json!({"name": "extra"}));
    let disk = json!({"devices": {"d": {"type": "disk", "pool": "default", "source": "v1", "path": "/d"}}});
    daemon.create("plain", &json!({"config": {"limits.memory": "20MiB"}}));
    daemon.create("privileged", &json!({"config": {"security.privileged": "true"}}));
    daemon.create("volume", &disk);
    daemon.create("extra", &json!({"profiles": ["default", "extra"]}));
    let same = json!({"name": "plain", "source": {"type": "image", "alias": "busybox"}});
    daemon.ok("POST", "/1.0/instances?project=p1", &same);
    let before = World::of(&daemon);
    let state = daemon.get("/1.0/instances?recursion=2&all-projects=true").metadata();
    for (name, to, text) in [
        ("plain", "nosuch", "Failed creating instance record: Project not found"),
        ("plain", "a/b", "Project not found"),
        (
            "plain",
            "p1",
            "Failed creating instance record: Add instance info to the database: This \"instances\" entry already \
             exists",
        ),
        (
            "plain",
            "default",
            "Failed creating instance record: Add instance info to the database: This \"instances\" entry already \
             exists",
        ),
        ("extra", "p1", "Failed creating instance record: Requested profile \"extra\" doesn't exist"),
        ("volume", "bare", "Failed loading custom volume: Storage volume not found"),
        ("privileged", "locked", "Privileged containers are forbidden"),
        ("plain", "small", "Reached maximum number of instances in project \"small\""),
        (
            "plain",
            "tight",
            "Reached maximum aggregate value \"10MiB\" for \"limits.memory\" in project \"tight\"",
        ),
    ] {
        let refused = daemon.fails("POST", &format!("/1.0/instances/{name}"), &go(name, to));
        assert!(refused.ends_with(text), "{name} to {to}: {refused}");
    }
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
    assert_eq!(daemon.get("/1.0/instances?recursion=2&all-projects=true").metadata(), state);
    daemon.ok("DELETE", "/1.0/instances/plain?project=p1", &Value::Null);
}

#[test]
fn a_volume_moves_between_projects() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "second", "driver": "dir"}));
    project(&daemon, "p1", json!({}));
    project(&daemon, "shared", json!({"features.storage.volumes": "false"}));
    project(&daemon, "tight", json!({"limits.disk": "10MiB"}));
    let volumes = "/1.0/storage-pools/default/volumes/custom";
    daemon.ok("POST", volumes, &json!({"name": "v1", "config": {"user.a": "b", "size": "20MiB"}}));
    let at = |project: &str, name: &str| {
        daemon.lxd_dir().join(format!("storage-pools/default/custom/{project}_{name}/f"))
    };
    std::fs::write(at("default", "v1"), "kept").unwrap();
    daemon.ok("POST", &format!("{volumes}/v1/snapshots"), &json!({"name": "s1"}));
    daemon.ok("POST", &format!("{volumes}/v1"), &json!({"name": "v1", "project": "p1"}));
    assert_eq!(std::fs::read_to_string(at("p1", "v1")).unwrap(), "kept");
    let listed = daemon.get(&format!("{volumes}?project=p1")).metadata();
    let url = |name: &str| format!("{volumes}/{name}?project=p1");
    assert_eq!(listed, json!([url("v1"), url("v1/snapshots/s1")]));
    assert_eq!(daemon.get(volumes).metadata(), json!([]));
    let shown = daemon.get(&url("v1")).metadata();
    assert_eq!((&shown["config"]["user.a"], &shown["project"]), (&json!("b"), &json!("p1")));

    for (body, text) in [
        (json!({"name": "v1", "project": "nosuch"}), "Project not found"),
        (json!({"name": "v1", "project": "p1"}), "Volume by that name already exists"),
        (
            json!({"name": "v1", "project": "tight"}),
            "Reached maximum aggregate value \"10MiB\" for \"limits.disk\" in project \"tight\"",
        ),
        (json!({"name": "v1", "project": "shared", "pool": "nosuch"}), "Storage pool not found"),
    ] {
        let refused = daemon.fails("POST", &url("v1"), &body);
        assert!(refused.ends_with(text), "{body}: {refused}");
        assert_eq!(daemon.get(&format!("{volumes}?project=p1")).metadata(), listed);
    }
    // What a project has from `default` is there; then it is used, and stays.
    daemon.ok("POST", &url("v1"), &json!({"name": "v2", "project": "shared"}));
    assert_eq!(std::fs::read_to_string(at("default", "v2")).unwrap(), "kept");
    let disk = json!({"devices": {"d": {"type": "disk", "pool": "default", "source": "v2", "path": "/d"}}});
    daemon.create("c1", &disk);
    let used = daemon.fails("POST", &format!("{volumes}/v2"), &json!({"name": "v2", "project": "p1"}));
    assert_eq!(used, "The storage volume is still in use");
    daemon.remove("c1");
    daemon.lxc_ok(&["storage", "volume", "move", "default/v2", "second/v3", "--target-project", "p1"]);
    let moved = daemon.lxd_dir().join("storage-pools/second/custom/p1_v3/f");
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "kept");
    let kept = daemon.lxd_dir().join("storage-pools/second/custom-snapshots/p1_v3/s1/f");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");
    assert!(!at("default", "v2").exists());
    daemon.ok("DELETE", "/1.0/storage-pools/second/volumes/custom/v3?project=p1", &Value::Null);
}

#[test]
fn the_client_moves_between_projects() {
    let daemon = Daemon::start().with_pool_and_image();
    project(&daemon, "p1", json!({}));
    daemon.create("c1", &json!({}));
    daemon.lxc_ok(&["move", "c1", "--target-project", "p1"]);
    daemon.lxc_ok(&["move", "c1", "c2", "--project", "p1", "--target-project", "default"]);
    daemon.lxc_ok(&["move", "c2", "c3", "--target-project", "p1", "-c", "user.a=b", "-p", "default"]);
    assert_eq!(daemon.lxc_ok(&["list", "--all-projects", "-f", "csv", "-c", "en"]).trim(), "p1,c3");
    assert_eq!(daemon.lxc_ok(&["config", "get", "c3", "user.a", "--project", "p1"]).trim(), "b");
    daemon.lxc_ok(&["delete", "c3", "--project", "p1"]);
}
