//! Every fault point of every use case once: first it fails, then it kills the daemon. Afterwards nothing may be left
//! behind and nothing may be stuck. The points count themselves, so a new one is covered by existing.

use lxd_testkit::{Daemon, request, request_raw};
use serde_json::{Value, json};

use crate::world::World;

const SNAPSHOTS: &str = "/1.0/instances/c1/snapshots";

const VOLUME: &str = "/1.0/storage-pools/default/volumes/custom/v1";

/// A use case: how to bring about its start, the request, and how to undo its success.
struct Case {
    name: &'static str,
    before: fn(&Daemon),
    request: (&'static str, &'static str, &'static str),
    after: fn(&Daemon),
}

const CASES: &[Case] = &[
    Case {
        name: "create",
        before: |_| (),
        request: (
            "POST",
            "/1.0/instances",
            r#"{"name": "c1", "source": {"type": "image", "alias": "busybox"}}"#,
        ),
        after: remove,
    },
    Case {
        name: "start",
        before: create,
        request: ("PUT", "/1.0/instances/c1/state", r#"{"action": "start"}"#),
        after: remove,
    },
    Case {
        name: "stop",
        before: create_and_start,
        request: ("PUT", "/1.0/instances/c1/state", r#"{"action": "stop", "force": true}"#),
        after: remove,
    },
    Case {
        name: "rename",
        before: create,
        request: ("POST", "/1.0/instances/c1", r#"{"name": "c9"}"#),
        after: |daemon| {
            daemon.remove("c9");
            daemon.remove("c1");
        },
    },
    Case { name: "delete", before: create, request: ("DELETE", "/1.0/instances/c1", ""), after: remove },
    Case {
        name: "snapshot",
        before: create,
        request: ("POST", SNAPSHOTS, r#"{"name": "s1"}"#),
        after: remove,
    },
    Case {
        name: "snapshot of a running instance",
        before: create_and_start,
        request: ("POST", SNAPSHOTS, r#"{"name": "s1"}"#),
        after: goes_on,
    },
    Case {
        name: "snapshot rename",
        before: create_and_snapshot,
        request: ("POST", "/1.0/instances/c1/snapshots/s1", r#"{"name": "s2"}"#),
        after: remove,
    },
    Case {
        name: "snapshot delete",
        before: create_and_snapshot,
        request: ("DELETE", "/1.0/instances/c1/snapshots/s1", ""),
        after: remove,
    },
    Case {
        name: "restore",
        before: create_and_snapshot,
        request: ("PUT", "/1.0/instances/c1", r#"{"restore": "s1"}"#),
        after: |daemon| {
            old_or_new(daemon);
            remove(daemon);
        },
    },
    Case {
        name: "copy",
        before: create_and_snapshot,
        request: ("POST", "/1.0/instances", r#"{"name": "c9", "source": {"type": "copy", "source": "c1"}}"#),
        after: |daemon| {
            daemon.remove("c9");
            remove(daemon);
        },
    },
    Case {
        name: "copy of a running instance",
        before: create_and_start,
        request: ("POST", "/1.0/instances", r#"{"name": "c9", "source": {"type": "copy", "source": "c1"}}"#),
        after: |daemon| {
            daemon.remove("c9");
            goes_on(daemon);
        },
    },
    Case {
        name: "move to another pool",
        before: |daemon| {
            daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "second", "driver": "dir"}));
            create_and_snapshot(daemon);
        },
        request: ("POST", "/1.0/instances/c1", r#"{"name": "c1", "migration": true, "pool": "second"}"#),
        after: |daemon| {
            daemon.ok("PUT", "/1.0/instances/c1", &json!({"restore": "s1"}));
            remove(daemon);
            daemon.ok("DELETE", "/1.0/storage-pools/second", &Value::Null);
        },
    },
    Case {
        name: "move to another project",
        before: |daemon| {
            project(daemon);
            create_and_snapshot(daemon);
            daemon.ok(
                "POST",
                "/1.0/instances/c1/backups",
                &json!({"name": "b1", "compression_algorithm": "none"}),
            );
        },
        request: ("POST", "/1.0/instances/c1", r#"{"name": "c1", "migration": true, "project": "other"}"#),
        after: remove_with_project,
    },
    Case {
        name: "move to another project and pool",
        before: |daemon| {
            project(daemon);
            daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "second", "driver": "dir"}));
            create_and_snapshot(daemon);
        },
        request: (
            "POST",
            "/1.0/instances/c1",
            r#"{"name": "c2", "migration": true, "project": "other", "pool": "second"}"#,
        ),
        after: |daemon| {
            remove_with_project(daemon);
            daemon.ok("DELETE", "/1.0/storage-pools/second", &Value::Null);
        },
    },
    Case {
        name: "volume rename",
        before: volume,
        request: ("POST", VOLUME, r#"{"name": "v2"}"#),
        after: remove_volume,
    },
    Case {
        name: "volume to another project",
        before: volume,
        request: ("POST", VOLUME, r#"{"name": "v2", "project": "other"}"#),
        after: remove_volume,
    },
    Case {
        name: "volume to another project and pool",
        before: |daemon| {
            daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "second", "driver": "dir"}));
            volume(daemon);
        },
        request: ("POST", VOLUME, r#"{"name": "v1", "project": "other", "pool": "second"}"#),
        after: |daemon| {
            remove_volume(daemon);
            daemon.ok("DELETE", "/1.0/storage-pools/second", &Value::Null);
        },
    },
    Case {
        name: "images and backups into volumes",
        before: stores,
        request: (
            "PATCH",
            "/1.0",
            r#"{"config": {"storage.images_volume": "default/v1", "storage.backups_volume": "default/v2"}}"#,
        ),
        after: stores_home,
    },
    Case {
        name: "images and backups out of a volume and into another",
        before: |daemon| {
            stores(daemon);
            let config =
                json!({"storage.images_volume": "default/v1", "storage.backups_volume": "default/v2"});
            daemon.ok("PATCH", "/1.0", &json!({"config": config}));
        },
        request: (
            "PATCH",
            "/1.0",
            r#"{"config": {"storage.images_volume": "", "storage.backups_volume": "default/v3"}}"#,
        ),
        after: stores_home,
    },
    Case {
        name: "volume backup",
        before: volume,
        request: ("POST", "/1.0/storage-pools/default/volumes/custom/v1/backups", r#"{"name": "b2"}"#),
        after: remove_volume,
    },
    Case {
        name: "backup of a running instance",
        before: create_and_start,
        request: ("POST", "/1.0/instances/c1/backups", r#"{"name": "b1", "compression_algorithm": "none"}"#),
        after: goes_on,
    },
    Case {
        name: "publish",
        before: create,
        request: ("POST", "/1.0/images", r#"{"source": {"type": "instance", "name": "c1"}}"#),
        after: |daemon| {
            for image in daemon.get("/1.0/images?recursion=1").metadata().as_array().unwrap() {
                if image["aliases"] == json!([]) {
                    let url = format!("/1.0/images/{}", image["fingerprint"].as_str().unwrap());
                    daemon.ok("DELETE", &url, &Value::Null);
                }
            }
            remove(daemon);
        },
    },
    Case {
        name: "network create",
        before: |_| (),
        request: (
            "POST",
            "/1.0/networks",
            r#"{"name": "fbr0", "config": {"ipv4.address": "10.99.1.1/24", "ipv6.address": "none"}}"#,
        ),
        after: |daemon| {
            daemon.call("DELETE", "/1.0/networks/fbr0", &Value::Null);
        },
    },
    Case {
        name: "network update",
        before: |daemon| {
            let pair = ["link", "add", "fext0", "type", "veth", "peer", "name", "fext1"];
            let _ = daemon.netns.command("ip").args(pair).status();
            let config = json!({"ipv4.address": "10.99.3.1/24", "ipv6.address": "none", "bridge.external_interfaces": "fext0"});
            daemon.ok("POST", "/1.0/networks", &json!({"name": "fbr1", "config": config}));
        },
        request: (
            "PUT",
            "/1.0/networks/fbr1",
            r#"{"config": {"ipv4.address": "10.99.4.1/24", "ipv6.address": "none"}}"#,
        ),
        after: |daemon| {
            daemon.ok("DELETE", "/1.0/networks/fbr1", &Value::Null);
        },
    },
    Case {
        name: "physical network create",
        before: |daemon| {
            let pair = ["link", "add", "fup0", "type", "veth", "peer", "name", "fup1"];
            let _ = daemon.netns.command("ip").args(pair).status();
        },
        request: (
            "POST",
            "/1.0/networks",
            r#"{"name": "fphy0", "type": "physical", "config": {"parent": "fup0"}}"#,
        ),
        after: |daemon| {
            daemon.call("DELETE", "/1.0/networks/fphy0", &Value::Null);
        },
    },
    Case {
        name: "network forward create",
        before: |daemon| {
            let config = json!({"ipv4.address": "10.99.2.1/24", "ipv6.address": "none"});
            daemon.ok("POST", "/1.0/networks", &json!({"name": "ffw0", "config": config}));
        },
        request: (
            "POST",
            "/1.0/networks/ffw0/forwards",
            r#"{"listen_address": "192.0.2.1", "config": {"target_address": "10.99.2.5"}}"#,
        ),
        after: |daemon| {
            daemon.ok("DELETE", "/1.0/networks/ffw0", &Value::Null);
        },
    },
];

fn create(daemon: &Daemon) {
    daemon.create("c1", &json!({}));
}

fn create_and_start(daemon: &Daemon) {
    create(daemon);
    daemon.state("c1", "start", "");
}

/// In the snapshot key and file say "one", afterwards "two".
fn create_and_snapshot(daemon: &Daemon) {
    daemon.create("c1", &json!({"config": {"user.v": "one"}}));
    let file = daemon.lxd_dir().join("containers/c1/rootfs/v");
    std::fs::write(&file, "one").unwrap();
    daemon.ok("POST", SNAPSHOTS, &json!({"name": "s1"}));
    std::fs::write(&file, "two").unwrap();
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"user.v": "two"}}));
}

/// A project with volumes of its own; its instances use the profiles of `default`.
fn project(daemon: &Daemon) {
    let config = json!({"features.profiles": "false", "features.images": "false"});
    daemon.ok("POST", "/1.0/projects", &json!({"name": "other", "config": config}));
}

/// The instance is in one of both projects with all it had, and can be used there.
fn remove_with_project(daemon: &Daemon) {
    let found = daemon.get("/1.0/instances?all-projects=true&recursion=2").metadata();
    let one = &found.as_array().unwrap()[0];
    assert_eq!(one["snapshots"][0]["name"], "s1", "{found}");
    let (name, project) = (one["name"].as_str().unwrap(), one["project"].as_str().unwrap());
    let at = |rest: &str| format!("/1.0/instances/{name}{rest}?project={project}");
    for backup in one["backups"].as_array().into_iter().flatten() {
        let path = at(&format!("/backups/{}/export", backup["name"].as_str().unwrap()));
        assert!(daemon.get(&path).bytes.len() > 1000);
    }
    daemon.ok("PUT", &at(""), &json!({"restore": "s1"}));
    daemon.ok("PUT", &at("/state"), &json!({"action": "start"}));
    daemon.ok("PUT", &at("/state"), &json!({"action": "stop", "force": true}));
    daemon.ok("DELETE", &at(""), &Value::Null);
    daemon.ok("DELETE", "/1.0/projects/other", &Value::Null);
}

fn volume(daemon: &Daemon) {
    project(daemon);
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &json!({"name": "v1"}));
    std::fs::write(daemon.lxd_dir().join("storage-pools/default/custom/default_v1/f"), "kept").unwrap();
    daemon.ok("POST", &format!("{VOLUME}/snapshots"), &json!({"name": "s1"}));
    daemon.ok("POST", &format!("{VOLUME}/backups"), &json!({"name": "b1"}));
}

/// The volume is at one place with its content and its snapshot, and can be restored there.
fn remove_volume(daemon: &Daemon) {
    let mut found = Vec::new();
    for pool in daemon.get("/1.0/storage-pools?recursion=1").metadata().as_array().unwrap() {
        for project in ["default", "other"] {
            let pool = pool["name"].as_str().unwrap();
            let list = format!("/1.0/storage-pools/{pool}/volumes/custom?recursion=1&project={project}");
            for volume in daemon.get(&list).metadata().as_array().unwrap() {
                let name = volume["name"].as_str().unwrap();
                if !name.contains('/') {
                    found.push((pool.to_owned(), project, name.to_owned()));
                }
            }
        }
    }
    let [(pool, project, name)] = &found[..] else { panic!("{found:?}") };
    let url = format!("/1.0/storage-pools/{pool}/volumes/custom/{name}?project={project}");
    let file = daemon.lxd_dir().join(format!("storage-pools/{pool}/custom/{project}_{name}/f"));
    let backup =
        format!("/1.0/storage-pools/{pool}/volumes/custom/{name}/backups/b1/export?project={project}");
    assert!(daemon.get(&backup).bytes.len() > 100);
    std::fs::remove_file(&file).unwrap();
    daemon.ok("PUT", &url, &json!({"restore": "s1"}));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    daemon.ok("DELETE", &url, &Value::Null);
    daemon.ok("DELETE", "/1.0/projects/other", &Value::Null);
}

/// Key and file agree.
fn old_or_new(daemon: &Daemon) {
    let file = std::fs::read_to_string(daemon.lxd_dir().join("containers/c1/rootfs/v")).unwrap();
    assert_eq!(daemon.get("/1.0/instances/c1").metadata()["config"]["user.v"], file);
}

/// What was stopped for a moment runs again.
fn goes_on(daemon: &Daemon) {
    assert_eq!(daemon.status("c1"), "Running");
    assert!(daemon.lxc(&["exec", "c1", "--", "true"]).status.success());
    remove(daemon);
}

fn remove(daemon: &Daemon) {
    daemon.remove("c1");
}

/// Volumes for what the server keeps, and a backup.
fn stores(daemon: &Daemon) {
    create(daemon);
    daemon.ok("POST", "/1.0/instances/c1/backups", &json!({"name": "b1", "compression_algorithm": "none"}));
    for name in ["v1", "v2", "v3"] {
        daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &json!({"name": name}));
    }
}

/// Images and backups are whole wherever they are, and go back to where they come from.
fn stores_home(daemon: &Daemon) {
    for pass in ["after the fault", "at home"] {
        let image =
            daemon.get("/1.0/images/aliases/busybox").metadata()["target"].as_str().unwrap().to_owned();
        for path in [format!("/1.0/images/{image}/export"), "/1.0/instances/c1/backups/b1/export".to_owned()]
        {
            assert!(daemon.get(&path).bytes.len() > 1000, "{path} {pass}");
        }
        let home = json!({"storage.images_volume": "", "storage.backups_volume": ""});
        daemon.ok("PATCH", "/1.0", &json!({"config": home}));
    }
    let root = daemon.lxd_dir();
    for name in ["v1", "v2", "v3"] {
        let place = root.join(format!("storage-pools/default/custom/default_{name}"));
        assert_eq!(std::fs::read_dir(place).unwrap().count(), 0, "{name} is empty");
        daemon.ok("DELETE", &format!("/1.0/storage-pools/default/volumes/custom/{name}"), &Value::Null);
    }
    for folder in ["images.new", "backups.new"] {
        assert!(root.join(folder).symlink_metadata().is_err(), "{folder} is gone");
    }
    remove(daemon);
}

/// Arms a fault; how many points were passed since the last call.
fn arm(daemon: &Daemon, fault: &str, at: u64) -> u64 {
    let path = format!("/internal/faults?fault={fault}&at={at}");
    let answer = request(&daemon.socket(), "PUT", &path, None);
    answer.metadata().as_u64().unwrap_or_else(|| panic!("{}", answer.json()))
}

fn send(daemon: &Daemon, case: &Case) {
    let (method, path, body) = case.request;
    let Ok(answer) = request_raw(&daemon.socket(), method, path, &[], body.as_bytes()) else { return };
    let operation = answer.json()["operation"].as_str().unwrap_or_default().to_owned();
    if !operation.is_empty() {
        let _ = request_raw(&daemon.socket(), "GET", &format!("{operation}/wait?timeout=60"), &[], b"");
    }
}

/// Runs a case once without a fault and answers how many points it has.
fn count(daemon: &Daemon, case: &Case) -> u64 {
    (case.before)(daemon);
    arm(daemon, "none", 0);
    send(daemon, case);
    let points = arm(daemon, "none", 0);
    (case.after)(daemon);
    points
}

fn tests_daemon() -> Daemon {
    Daemon::start_with(&[("LXD_TEST_FAULTS", "1")]).with_pool_and_image()
}

#[test]
fn a_failure_at_any_point_leaves_nothing_behind() {
    let daemon = tests_daemon();
    for case in CASES {
        let points = count(&daemon, case);
        assert!(points > 0, "{} has no fault points", case.name);
        println!("{}: {points} points", case.name);
        let clean = World::of(&daemon);
        for at in 1..=points {
            (case.before)(&daemon);
            arm(&daemon, "fail", at);
            send(&daemon, case);
            arm(&daemon, "none", 0);
            (case.after)(&daemon);
            let left = clean.difference(&World::of(&daemon));
            assert!(left.is_empty(), "{} failed at point {at} of {points}: {left:#?}", case.name);
        }
    }
}

#[test]
fn a_kill_at_any_point_leaves_nothing_behind() {
    let mut daemon = tests_daemon();
    for case in CASES {
        let points = count(&daemon, case);
        let clean = World::of(&daemon);
        for at in 1..=points {
            (case.before)(&daemon);
            arm(&daemon, "kill", at);
            send(&daemon, case);
            daemon.kill();
            daemon.launch();
            (case.after)(&daemon);
            let left = clean.difference(&World::of(&daemon));
            assert!(left.is_empty(), "{} killed at point {at} of {points}: {left:#?}", case.name);
        }
    }
}
