//! Configuration keys, seen from inside and outside of containers.

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

/// Runs a command in `c1`; whether it succeeded, and what it printed.
fn inside(daemon: &Daemon, command: &str) -> (bool, String) {
    let output = daemon.lxc(&["exec", "c1", "--", "sh", "-c", command]);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn booted(daemon: &Daemon) {
    wait_for("the image's init", 20, || inside(daemon, "test -e /run/booted").0.then_some(()));
}

#[test]
fn a_protected_instance_is_not_deleted() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({"config": {"security.protection.delete": "true"}}));
    assert_eq!(daemon.fails("DELETE", "/1.0/instances/c1", &Value::Null), "Container is protected");
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"security.protection.delete": "false"}}));
    daemon.ok("DELETE", "/1.0/instances/c1", &Value::Null);
}

#[test]
fn kernel_limits_and_lists_of_system_calls_hold_inside() {
    let daemon = Daemon::start().with_pool_and_image();
    let config =
        json!({"limits.kernel.nofile": "4096", "security.syscalls.deny": "mkdir errno 1\nmkdirat errno 1"});
    daemon.create("c1", &json!({"config": config}));
    daemon.state("c1", "start", "");
    booted(&daemon);
    let pid = daemon.get("/1.0/instances/c1/state").metadata()["pid"].as_i64().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().filter(|word| *word == "4096").count(), 2, "{files}");
    assert!(!inside(&daemon, "mkdir /root/x").0);
    assert!(inside(&daemon, "touch /root/y").0);
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"security.syscalls.deny": ""}}));
    daemon.state("c1", "restart", "force");
    booted(&daemon);
    assert!(inside(&daemon, "mkdir /root/x").0);
}

#[test]
fn instances_stop_with_the_host_by_priority() {
    let daemon = Daemon::start().with_pool_and_image();
    for (name, priority) in [("c1", "1"), ("c2", "9"), ("c3", "5")] {
        daemon.create(
            name,
            &json!({"config": {"boot.stop.priority": priority, "boot.host_shutdown_timeout": "10"}}),
        );
        daemon.state(name, "start", "");
    }
    // Told by the daemon's log in the order of their ends.
    daemon.signal(rustix::process::Signal::POWER);
    wait_for("the end of the daemon", 60, || (!daemon.socket().exists()).then_some(()));
    let log = std::fs::read_to_string(daemon.scratch().join("lxd.log")).unwrap();
    let ends: Vec<String> = log
        .lines()
        .filter_map(|line| line.split("Stopped an instance with the host\" instance=default/").nth(1))
        .map(|rest| rest.split_whitespace().next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ends, ["c2", "c3", "c1"], "{}", daemon.log());
}
