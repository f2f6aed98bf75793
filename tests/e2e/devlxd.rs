//! `/dev/lxd/sock`, asked by processes of the container.

use std::process::{Command, Stdio};

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

/// curl as a process of the container's pid and user namespaces, over the container's socket.
fn guest(daemon: &Daemon, name: &str) -> Command {
    let pid = daemon.get(&format!("/1.0/instances/{name}/state")).metadata()["pid"].as_i64().unwrap();
    let mut command = Command::new("nsenter");
    command
        .args(["-t", &pid.to_string(), "-U", "-p", "-S", "0", "-G", "0", "curl", "-s", "--max-time", "20"])
        .args(["-w", "\n%{http_code}", "--unix-socket", &format!("/proc/{pid}/root/dev/lxd/sock")]);
    command
}

/// Body and status of a request from inside.
fn ask(daemon: &Daemon, name: &str, path: &str) -> (String, u16) {
    let output = guest(daemon, name).arg(format!("http://lxd{path}")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (body.to_owned(), status.parse().unwrap())
}

#[test]
fn a_guest_reads_what_is_its_own() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let config = json!({"config": {"user.a": "1", "user.meta-data": "more: 1", "limits.memory": "64MiB"}});
    daemon.create("c1", &config);
    daemon.create("c2", &json!({"config": {"user.a": "other"}}));
    daemon.state("c1", "start", "");
    daemon.state("c2", "start", "");
    assert_eq!(ask(&daemon, "c1", "/"), ("[\"/1.0\"]\n".to_owned(), 200));
    assert_eq!(ask(&daemon, "c1", "/1.0/config/user.a"), ("1".to_owned(), 200));
    assert_eq!(ask(&daemon, "c2", "/1.0/config/user.a"), ("other".to_owned(), 200));
    assert_eq!(ask(&daemon, "c1", "/1.0/config/user.none"), ("not found\n".to_owned(), 404));
    assert_eq!(ask(&daemon, "c1", "/1.0/config/limits.memory"), ("not authorized\n".to_owned(), 403));
    let id = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.cloud-init.instance-id"].clone();
    let expected =
        format!("#cloud-config\ninstance-id: {}\nlocal-hostname: c1\nmore: 1", id.as_str().unwrap());
    assert_eq!(ask(&daemon, "c1", "/1.0/meta-data"), (expected, 200));
    let devices: Value = serde_json::from_str(&ask(&daemon, "c1", "/1.0/devices").0).unwrap();
    assert_eq!(devices["root"]["pool"], "default");

    // A process of the host is nobody's.
    let socket = daemon.lxd_dir().join("devlxd/sock");
    let output =
        Command::new("curl").args(["-s", "--unix-socket"]).arg(socket).arg("http://lxd/1.0").output();
    assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), "pid not in container?\n");

    // The next daemon serves containers of this one.
    daemon.restart();
    assert_eq!(ask(&daemon, "c1", "/1.0/config/user.a"), ("1".to_owned(), 200));
}

#[test]
fn a_guest_hears_of_changes_and_loses_the_interface_by_its_key() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    let file = daemon.scratch().join("events");
    let out = std::fs::File::create(&file).unwrap();
    let mut reader =
        guest(&daemon, "c1").args(["-N", "http://lxd/1.0/events"]).stdout(Stdio::from(out)).spawn().unwrap();
    let mut round = 0;
    wait_for("an event", 20, || {
        round += 1;
        daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"user.round": round.to_string()}}));
        std::fs::read_to_string(&file).unwrap().contains("user.round").then_some(())
    });
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"devices": {"d": {"type": "none"}}}));
    wait_for("the device's event", 20, || {
        std::fs::read_to_string(&file).unwrap().contains("\"device\"").then_some(())
    });
    let text = std::fs::read_to_string(&file).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["metadata"], json!({"action": "added", "config": {"type": "none"}, "name": "d"}));
    reader.kill().unwrap();
    reader.wait().unwrap();

    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"security.devlxd": "false"}}));
    let inside = |args: &[&str]| {
        let mut all = vec!["exec", "c1", "--"];
        all.extend(args);
        daemon.lxc(&all).status.success()
    };
    assert!(!inside(&["test", "-e", "/dev/lxd/sock"]));
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"security.devlxd": "true"}}));
    assert!(inside(&["test", "-S", "/dev/lxd/sock"]));
    assert!(!inside(&["touch", "/dev/lxd/x"]), "a guest must not write into the directory of all guests");
    assert_eq!(ask(&daemon, "c1", "/1.0").1, 200);
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"security.devlxd": "false"}}));
    daemon.state("c1", "restart", "force");
    assert!(!inside(&["test", "-e", "/dev/lxd"]));
}

#[test]
fn a_guest_gets_public_images_when_it_may() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    let url = daemon.get("/1.0/images").metadata()[0].as_str().unwrap().to_owned();
    let export = format!("{url}/export");
    assert_eq!(ask(&daemon, "c1", &export).1, 403);
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"security.devlxd.images": "true"}}));
    assert_eq!(ask(&daemon, "c1", &export).1, 404, "private images are not for guests");
    daemon.ok("PATCH", &url, &json!({"public": true}));
    let output = guest(&daemon, "c1").arg(format!("http://lxd{export}")).output().unwrap();
    let bytes = output.stdout.strip_suffix(b"\n200").expect("it is allowed now");
    assert!(bytes == std::fs::read(lxd_testkit::busybox_image()).unwrap());
}
