//! Servers in networks of their own: who reaches whom decides which way an image can go. A token is all that a client needs
//! to find one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lxd_testkit::{Daemon, Netns, binary, busybox_image};
use serde_json::json;

/// A network that leads to all servers: the client is there.
struct Hub {
    netns: Netns,
    dir: tempfile::TempDir,
}

fn sh(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn ip(netns: &str, args: &[&str]) {
    sh(Command::new("ip").args(["-n", netns]).args(args));
}

fn address(number: u8) -> String {
    format!("10.98.0.{number}")
}

impl Hub {
    fn new() -> Self {
        let netns = Netns::new();
        ip(&netns.name, &["link", "add", "hub", "type", "bridge"]);
        ip(&netns.name, &["addr", "add", "10.98.0.254/24", "dev", "hub"]);
        ip(&netns.name, &["link", "set", "hub", "up"]);
        Self { netns, dir: tempfile::tempdir().unwrap() }
    }

    /// Connects a server to the others, and makes it listen.
    fn connect(&self, daemon: &Daemon, number: u8) {
        let port = format!("port{number}");
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &daemon.netns.name];
        ip(&self.netns.name, &[&["link", "add", &port][..], &peer].concat());
        ip(&self.netns.name, &["link", "set", &port, "master", "hub", "up"]);
        ip(&daemon.netns.name, &["addr", "add", &format!("{}/24", address(number)), "dev", "eth0"]);
        ip(&daemon.netns.name, &["link", "set", "eth0", "up"]);
        let config = json!({"core.https_address": format!("{}:8443", address(number))});
        daemon.ok("PATCH", "/1.0", &json!({"config": config}));
    }

    fn lxc(&self, program: &Path, args: &[&str]) -> Output {
        let conf = if program == binary("lxc") { "ours" } else { "original" };
        let mut command = self.netns.command("timeout");
        command.arg("60").arg(program).args(args).env("LXD_DIR", self.dir.path());
        command.env("LXD_CONF", self.dir.path().join(conf)).env("HOME", self.dir.path());
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn ok(&self, program: &Path, args: &[&str]) -> String {
        let output = self.lxc(program, args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program:?} {args:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Servers with these numbers do not get new connections to this one.
fn refuse(daemon: &Daemon, numbers: &[u8]) {
    let nft = |args: &[&str]| drop(sh(daemon.netns.command("nft").args(args)));
    nft(&["add", "table", "ip", "wall"]);
    nft(&["delete", "table", "ip", "wall"]);
    nft(&["add", "table", "ip", "wall"]);
    nft(&["add", "chain", "ip", "wall", "in", "{ type filter hook input priority 0; }"]);
    for number in numbers {
        let rule = ["ip", "saddr", &address(*number), "tcp", "dport", "8443", "ct", "state", "new", "reject"];
        nft(&[&["add", "rule", "ip", "wall", "in"][..], &rule].concat());
    }
}

/// A token for a new client, as the server prints it.
fn token(daemon: &Daemon, program: &Path, name: &str) -> String {
    let output = daemon.client(program, &["config", "trust", "add", "--name", name]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text.lines().last().unwrap().to_owned()
}

/// Our client, and Debian's where it is installed.
fn programs() -> Vec<PathBuf> {
    [binary("lxc"), PathBuf::from("/usr/bin/lxc")].into_iter().filter(|path| path.exists()).collect()
}

/// Three servers of ours and, where it is installed, the original.
fn servers(hub: &Hub) -> Vec<Daemon> {
    let mut all = vec![Daemon::start(), Daemon::start(), Daemon::start()];
    let original = PathBuf::from("/usr/bin/lxd");
    if original.exists() {
        all.push(Daemon::start_program(original, &[]));
    }
    for (server, number) in all.iter().zip(1..) {
        hub.connect(server, number);
    }
    all
}

#[test]
fn tokens_lead_to_servers_and_images_go_where_there_is_a_way() {
    let hub = Hub::new();
    let servers = servers(&hub);
    for program in &programs() {
        for (server, number) in servers.iter().zip(1..) {
            let maker = if number == 4 { program.clone() } else { binary("lxc") };
            let token = token(server, &maker, "client");
            let name = format!("s{number}");
            hub.ok(program, &["remote", "add", &name, &token]);
            assert!(hub.ok(program, &["remote", "list", "--format=csv"]).contains(&address(number)));
            hub.ok(program, &["profile", "list", &format!("{name}:")]);
            let again = hub.lxc(program, &["remote", "add", "again", &token]);
            assert!(again.status.success() || !again.stderr.is_empty());
        }
    }
    let image = busybox_image().display().to_string();
    hub.ok(&binary("lxc"), &["image", "import", &image, "s1:", "--alias", "one"]);
    let fingerprint = servers[0].get("/1.0/images/aliases/one").metadata()["target"].clone();
    let url = format!("/1.0/images/{}", fingerprint.as_str().unwrap());
    // Who refuses the other one, and the modes that have a way then.
    let walls: [(&[u8], bool, &[&str]); 4] = [
        (&[], false, &["pull", "push", "relay"]),
        (&[2, 3, 4], false, &["push", "relay"]),
        (&[], true, &["pull", "relay"]),
        (&[2, 3, 4], true, &["relay"]),
    ];
    for (at_source, at_target, ways) in walls {
        refuse(&servers[0], at_source);
        for (target, number) in servers.iter().zip(1..).skip(1) {
            refuse(target, if at_target { &[1] } else { &[] });
            for program in &programs() {
                for mode in ["pull", "push", "relay"] {
                    let what = format!("{program:?} {mode} to {number}, walls {at_source:?} {at_target}");
                    let to = format!("s{number}:");
                    let done = hub.lxc(program, &["image", "copy", "s1:one", &to, "--mode", mode, "--quiet"]);
                    let error = String::from_utf8_lossy(&done.stderr).into_owned();
                    assert_eq!(done.status.success(), ways.contains(&mode), "{what}: {error}");
                    assert_eq!(target.get(&url).status == 200, ways.contains(&mode), "{what}");
                    if ways.contains(&mode) {
                        target.ok("DELETE", &url, &json!({}));
                    } else {
                        assert!(error.contains("refused") || error.contains("connect"), "{what}: {error}");
                    }
                }
            }
        }
    }
}
