//! Device nodes of the host in instances: at the start, live, and when they appear and go.

use std::path::Path;
use std::process::Command;

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::world::World;

/// What `ls -ln` inside the instance says of a path: mode, owner, group and numbers; empty when it is not there.
fn node(daemon: &Daemon, instance: &str, path: &str) -> String {
    let pid = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata()["pid"].to_string();
    let enter = ["--target", &pid, "--user", "--mount", "--root", "--"];
    let output =
        Command::new("nsenter").args(enter).args(["/bin/stat", "-c", "%f %u %g %t:%T", path]).output();
    String::from_utf8_lossy(&output.expect("nsenter is there").stdout).trim().to_owned()
}

fn devices(daemon: &Daemon, devices: Value) {
    let mut whole = daemon.get("/1.0/instances/c1").metadata();
    whole["devices"] = devices;
    daemon.ok("PUT", "/1.0/instances/c1", &whole);
}

fn run(daemon: &Daemon, script: &str) -> bool {
    let answer = daemon.get("/1.0/instances/c1/state").metadata()["pid"].to_string();
    // With the groups of the container, so that its rules about devices hold.
    let enter = ["--target", &answer, "--all", "--"];
    Command::new("nsenter").args(enter).args(["/bin/sh", "-c", script]).status().unwrap().success()
}

#[test]
fn nodes_are_given_and_taken() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    daemon.state("c1", "stop", "force");
    let before = World::of(&daemon);
    let zero = json!({"type": "unix-char", "path": "/dev/zero2", "major": "1", "minor": "5", "uid": "5", "mode": "0600"});
    devices(
        &daemon,
        json!({"z": zero, "n": {"type": "unix-char", "source": "/dev/null", "path": "/dev/sub/null2"}}),
    );
    daemon.state("c1", "start", "");
    assert_eq!(node(&daemon, "c1", "/dev/zero2"), "2180 5 0 1:5");
    assert_eq!(node(&daemon, "c1", "/dev/sub/null2"), "21b0 0 0 1:3");
    assert!(run(&daemon, "echo x > /dev/sub/null2"), "the node can be used");

    // Live.
    devices(
        &daemon,
        json!({"n": {"type": "unix-char", "source": "/dev/null", "path": "/dev/hot-1.x", "mode": "0666"}}),
    );
    assert_eq!(node(&daemon, "c1", "/dev/hot-1.x"), "21b6 0 0 1:3");
    assert_eq!(node(&daemon, "c1", "/dev/zero2") + &node(&daemon, "c1", "/dev/sub/null2"), "");

    // What is not there yet appears, and goes again.
    let late = format!("/dev/lxdt-{}", std::process::id());
    let device = json!({"type": "unix-char", "source": late, "path": "/dev/late", "required": "false"});
    devices(&daemon, json!({"l": device}));
    assert_eq!(node(&daemon, "c1", "/dev/late"), "");
    assert!(Command::new("mknod").args([&late, "c", "1", "5"]).status().unwrap().success());
    wait_for("the node inside", 10, || (node(&daemon, "c1", "/dev/late") == "21b0 0 0 1:5").then_some(()));
    std::fs::remove_file(&late).unwrap();
    wait_for("the end of the node inside", 10, || node(&daemon, "c1", "/dev/late").is_empty().then_some(()));
    daemon.state("c1", "stop", "force");
    devices(&daemon, json!({}));
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());

    for (device, text) in [
        (json!({"type": "unix-char"}), "missing the required \"source\" or \"path\" property"),
        (json!({"type": "unix-char", "source": "/etc/passwd"}), "Path needs to be in /dev"),
        (json!({"type": "unix-char", "source": "/dev/../etc"}), "Path needs to be in /dev"),
        (
            json!({"type": "unix-char", "source": "/dev/null", "mode": "9"}),
            "Invalid value for an octal file mode",
        ),
        (
            json!({"type": "unix-block", "source": "/dev/null", "major": "x"}),
            "Invalid value for a UNIX device number",
        ),
        (json!({"type": "unix-hotplug"}), "Unix hotplug devices require a vendorid or a productid"),
        (json!({"type": "usb", "vendorid": "xyz"}), "must be four lower case hex characters"),
    ] {
        let error = daemon.fails("PATCH", "/1.0/instances/c1", &json!({"devices": {"d": device}}));
        assert!(error.contains(text), "{device}: {error}");
    }
    for (device, text) in [
        (json!({"type": "unix-block", "source": "/dev/null"}), "Not a unix block device"),
        (json!({"type": "unix-char", "source": "/dev/lxdt-none"}), "The required device path doesn't exist"),
        (json!({"type": "usb", "vendorid": "ffff", "required": "true"}), "Required USB device not found"),
    ] {
        devices(&daemon, json!({"d": device}));
        let error = daemon.fails("PUT", "/1.0/instances/c1/state", &json!({"action": "start"}));
        assert!(error.starts_with("Failed to start device \"d\"") && error.contains(text), "{error}");
    }
}

#[test]
fn privileged_instances_may_use_what_they_are_given() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({"config": {"security.privileged": "true"}}));
    // Number 1:11 is the kernel's log: not among the standard nodes.
    let log = |path: &str| json!({"type": "unix-char", "source": "/dev/kmsg", "path": path});
    assert!(Path::new("/dev/kmsg").exists());
    devices(&daemon, json!({"k": log("/dev/log1")}));
    daemon.state("c1", "start", "");
    assert!(run(&daemon, "exec 3</dev/log1"), "given at the start");
    devices(&daemon, json!({}));
    devices(&daemon, json!({"k": log("/dev/log2")}));
    assert!(run(&daemon, "exec 3</dev/log2"), "given live");
}
