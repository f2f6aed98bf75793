//! Every fault point of every use case once: first it fails, then it kills the daemon. Afterwards nothing may be left
//! behind and nothing may be stuck. The points count themselves, so a new one is covered by existing.

use std::io::Write;
use std::process::{Command, Stdio};

use lxd_testkit::{Daemon, request, request_raw};
use serde_json::{Value, json};

use crate::archive::Archive;
use crate::world::World;

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
        name: "import",
        before: |_| (),
        request: ("POST", "/1.0/images", "@image@"),
        after: |daemon| {
            for url in daemon.get("/1.0/images?recursion=1").metadata().as_array().into_iter().flatten() {
                if url["aliases"] == json!([]) {
                    let fingerprint = url["fingerprint"].as_str().unwrap_or_default();
                    daemon.call("DELETE", &format!("/1.0/images/{fingerprint}"), &Value::Null);
                }
            }
        },
    },
    Case {
        name: "image delete",
        before: |daemon| {
            let answer = request_raw(&daemon.socket(), "POST", "/1.0/images", &[], &image()).unwrap();
            let operation = answer.json()["operation"].as_str().unwrap_or_default().to_owned();
            daemon.get(&format!("{operation}/wait?timeout=60"));
        },
        request: ("DELETE", "/1.0/images/@fingerprint@", ""),
        after: |daemon| {
            let fingerprint = fingerprint();
            daemon.call("DELETE", &format!("/1.0/images/{fingerprint}"), &Value::Null);
        },
    },
    Case {
        name: "storage pool create",
        before: |_| (),
        request: ("POST", "/1.0/storage-pools", r#"{"name": "f2", "driver": "dir"}"#),
        after: |daemon| {
            daemon.call("DELETE", "/1.0/storage-pools/f2", &Value::Null);
        },
    },
    Case {
        name: "volume create",
        before: |_| (),
        request: ("POST", "/1.0/storage-pools/default/volumes/custom", r#"{"name": "v1"}"#),
        after: remove_volume,
    },
    Case {
        name: "volume delete",
        before: |daemon| {
            daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &json!({"name": "v1"}));
        },
        request: ("DELETE", "/1.0/storage-pools/default/volumes/custom/v1", ""),
        after: remove_volume,
    },
    Case {
        name: "network delete",
        before: |daemon| {
            let config = json!({"ipv4.address": "10.99.1.1/24", "ipv6.address": "none"});
            daemon.ok("POST", "/1.0/networks", &json!({"name": "fbr0", "config": config}));
        },
        request: ("DELETE", "/1.0/networks/fbr0", ""),
        after: |daemon| {
            daemon.call("DELETE", "/1.0/networks/fbr0", &Value::Null);
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
];

fn create(daemon: &Daemon) {
    daemon.create("c1", &json!({}));
}

fn create_and_start(daemon: &Daemon) {
    create(daemon);
    daemon.state("c1", "start", "");
}

fn remove(daemon: &Daemon) {
    daemon.remove("c1");
}

fn remove_volume(daemon: &Daemon) {
    daemon.call("DELETE", "/1.0/storage-pools/default/volumes/custom/v1", &Value::Null);
}

/// An image of its own.
fn image() -> Vec<u8> {
    Archive::new().metadata().dir("rootfs/").file("rootfs/data", &[7; 10_000]).bytes()
}

fn fingerprint() -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("coreutils are there");
    child.stdin.take().unwrap().write_all(&image()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

/// Arms a fault; how many points were passed since the last call.
fn arm(daemon: &Daemon, fault: &str, at: u64) -> u64 {
    let path = format!("/internal/faults?fault={fault}&at={at}");
    let answer = request(&daemon.socket(), "PUT", &path, None);
    answer.metadata().as_u64().unwrap_or_else(|| panic!("{}", answer.json()))
}

fn send(daemon: &Daemon, case: &Case) {
    let (method, path, body) = case.request;
    let body = if body == "@image@" { image() } else { body.as_bytes().to_vec() };
    let path =
        if path.contains('@') { path.replace("@fingerprint@", &fingerprint()) } else { path.to_owned() };
    let Ok(answer) = request_raw(&daemon.socket(), method, &path, &[], &body) else { return };
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
    let mut all = 0;
    for case in CASES {
        let points = count(&daemon, case);
        assert!(points > 1, "{} has {points} fault points", case.name);
        println!("{}: {points} points", case.name);
        all += points;
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
    println!("{all} points in all");
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
