//! Network ACLs: rules hold for real packets, change under running instances, and stay what they were when a change fails.

use std::process::{Child, Command, Stdio};

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

/// A program in the daemon's network namespace, or in that of an instance.
fn command(daemon: &Daemon, instance: Option<&str>, program: &str) -> Command {
    let Some(instance) = instance else { return daemon.netns.command(program) };
    let state = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata();
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", state["pid"])).arg("--").arg(program);
    command
}

fn text(mut command: Command) -> String {
    String::from_utf8_lossy(&command.output().expect("the program is there").stdout).into_owned()
}

/// Echoes what it is sent by TCP on these ports, until it is dropped.
struct Server(Child);

impl Server {
    fn start(daemon: &Daemon, instance: Option<&str>, ports: &[u16]) -> Self {
        let program = "import socket, sys, select\n\
            s = [socket.create_server(('', int(p))) for p in sys.argv[1:]]\n\
            print('up', flush=True)\n\
            while True:\n\
            \x20   for one in select.select(s, [], [])[0]: one.accept()[0].close()\n";
        let mut command = command(daemon, instance, "python3");
        command.args(["-c", program]).args(ports.iter().map(u16::to_string)).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is there");
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "up\n");
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a connection meets.
#[derive(Debug, Eq, PartialEq)]
enum Met {
    Answer,
    Refusal,
    Silence,
}

fn connect(daemon: &Daemon, from: Option<&str>, address: &str, port: u16) -> Met {
    let program = "import socket, sys\n\
        try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.7); print('answer')\n\
        except TimeoutError: print('silence')\n\
        except OSError: print('refusal')\n";
    let mut command = command(daemon, from, "python3");
    command.args(["-c", program, address, &port.to_string()]);
    match text(command).trim() {
        "answer" => Met::Answer,
        "silence" => Met::Silence,
        _ => Met::Refusal,
    }
}

/// Whether an echo comes back.
fn pings(daemon: &Daemon, from: Option<&str>, address: &str) -> bool {
    let mut command = command(daemon, from, "busybox");
    command.args(["ping", "-c", "1", "-W", "1", address]).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn chains(daemon: &Daemon) -> String {
    let mut command = command(daemon, None, "nft");
    command.args(["list", "ruleset"]);
    text(command)
}

fn set(daemon: &Daemon, keys: Value) {
    daemon.ok("PATCH", "/1.0/networks/abr0", &json!({"config": keys}));
}

fn rules(daemon: &Daemon, acl: &str, ingress: Value, egress: Value) {
    daemon.ok("PUT", &format!("/1.0/network-acls/{acl}"), &json!({"ingress": ingress, "egress": egress}));
}

/// An instance with an address on a bridge.
fn instance(daemon: &Daemon) -> String {
    let nic =
        json!({"eth0": {"type": "nic", "network": "abr0", "name": "eth0", "ipv4.address": "10.77.9.50"}});
    daemon.create("c1", &json!({"devices": nic}));
    daemon.state("c1", "start", "");
    let has = |daemon: &Daemon, family: &str, start: &str| {
        let mut command = command(daemon, Some("c1"), "ip");
        command.args([family, "-o", "addr", "show", "eth0", "scope", "global"]);
        let shown = text(command);
        shown.split_whitespace().find(|word| word.starts_with(start)).map(str::to_owned)
    };
    wait_for("an address by DHCP", 30, || has(daemon, "-4", "10.77.9.50"));
    let six = wait_for("an address by advertisement", 30, || {
        let mut command = command(daemon, Some("c1"), "ip");
        command.args(["-6", "-o", "addr", "show", "eth0", "scope", "global"]);
        if text(command).contains("tentative") { None } else { has(daemon, "-6", "fd77:9") }
    });
    six.split('/').next().unwrap_or_default().to_owned()
}

#[test]
fn rules_hold_for_real_packets_and_change_live() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let allow = |more: Value| {
        let mut rule = json!({"action": "allow", "state": "enabled"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    daemon.ok("POST", "/1.0/network-acls", &json!({"name": "web"}));
    daemon.ok("POST", "/1.0/network-acls", &json!({"name": "more"}));
    rules(
        &daemon,
        "web",
        json!([allow(json!({"protocol": "tcp", "destination_port": "8080,8090-8091"}))]),
        json!([]),
    );
    let config =
        json!({"ipv4.address": "10.77.9.1/24", "ipv6.address": "fd77:9::1/64", "security.acls": "web"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "abr0", "config": config}));
    assert_eq!(daemon.get("/1.0/network-acls/web").metadata()["used_by"], json!(["/1.0/networks/abr0"]));
    assert_eq!(
        daemon.fails("DELETE", "/1.0/network-acls/web", &json!({})),
        "Cannot delete an ACL that is in use"
    );

    // Addresses by DHCP and advertisement come through whatever the rules say.
    let six = instance(&daemon);
    let _inner = Server::start(&daemon, Some("c1"), &[8080, 8081, 8091]);
    let _outer = Server::start(&daemon, None, &[9090, 9091]);
    let (c1, host) = (Some("c1"), None);
    for port in [8080, 8091] {
        assert_eq!(connect(&daemon, host, "10.77.9.50", port), Met::Answer, "{port}");
    }
    assert_eq!(connect(&daemon, host, "10.77.9.50", 8081), Met::Refusal);
    assert!(!pings(&daemon, host, "10.77.9.50") && !pings(&daemon, c1, "10.77.9.1"));
    assert!(!pings(&daemon, c1, "fd77:9::1"));
    assert_eq!(connect(&daemon, c1, "10.77.9.1", 9090), Met::Refusal);

    // Both families, ranges, ICMP by type; what forbids counts before what allows, whichever ACL it is of.
    let egress = json!([
        allow(json!({"protocol": "tcp", "destination": "10.77.9.1-10.77.9.9,fd77:9::/64"})),
        allow(json!({"protocol": "icmp4", "icmp_type": "8"})),
        allow(json!({"protocol": "icmp6", "source": six})),
    ]);
    rules(&daemon, "web", json!([]), egress.clone());
    assert_eq!(connect(&daemon, host, "10.77.9.50", 8080), Met::Refusal);
    assert!(pings(&daemon, c1, "10.77.9.1") && pings(&daemon, c1, "fd77:9::1"));
    assert!(!pings(&daemon, host, "10.77.9.50"));
    assert_eq!(connect(&daemon, c1, "10.77.9.1", 9090), Met::Answer);
    let drop = json!([{"action": "drop", "state": "logged", "protocol": "tcp", "destination_port": "9090"},
        {"action": "reject", "state": "disabled"}]);
    rules(&daemon, "more", json!([]), drop);
    set(&daemon, json!({"security.acls": "web, more"}));
    assert_eq!(connect(&daemon, c1, "10.77.9.1", 9090), Met::Silence);
    assert_eq!(connect(&daemon, c1, "10.77.9.1", 9091), Met::Answer);
    assert!(chains(&daemon).contains("log prefix \"abr0-egress-0 \" drop"));

    // What a bridge cannot have changes nothing, on no bridge.
    let (before, row) = (chains(&daemon), daemon.get("/1.0/network-acls/web").metadata());
    let named = json!({"egress": [allow(json!({"destination": "@external"}))]});
    let error = daemon.fails("PUT", "/1.0/network-acls/web", &named);
    assert_eq!(error, "Unsupported nftables subject \"@external\"");
    assert_eq!(daemon.get("/1.0/network-acls/web").metadata(), row);
    assert_eq!(chains(&daemon), before);
    let error = daemon.fails("PATCH", "/1.0/networks/abr0", &json!({"config": {"security.acls": "web,web"}}));
    assert_eq!(error, "Network ACL \"web\" specified multiple times");

    // The same under a new daemon, also when the rules are gone.
    daemon.kill();
    daemon.launch();
    assert_eq!(chains(&daemon), before);

    // What no rule is about.
    let words = |ingress: &str, egress: &str| json!({"security.acls.default.ingress.action": ingress, "security.acls.default.egress.action": egress});
    rules(&daemon, "web", json!([]), json!([]));
    set(&daemon, words("allow", "drop"));
    assert_eq!(connect(&daemon, host, "10.77.9.50", 8081), Met::Answer);
    assert_eq!(connect(&daemon, c1, "10.77.9.1", 9091), Met::Silence);
    set(&daemon, words("drop", "allow"));
    assert_eq!(connect(&daemon, host, "10.77.9.50", 8081), Met::Silence);
    assert_eq!(connect(&daemon, c1, "10.77.9.1", 9091), Met::Answer);

    set(&daemon, json!({"security.acls": ""}));
    assert!(!chains(&daemon).contains("acl"), "{}", chains(&daemon));
    assert_eq!(connect(&daemon, host, "10.77.9.50", 8081), Met::Answer);
    daemon.remove("c1");
    daemon.ok("DELETE", "/1.0/networks/abr0", &json!({}));
    daemon.ok("DELETE", "/1.0/network-acls/web", &json!({}));
}

#[test]
fn the_client_shows_and_changes_rules() {
    let daemon = Daemon::start();
    let acl = |args: &[&str]| daemon.lxc_ok(&[&["network", "acl"], args].concat());
    assert_eq!(acl(&["create", "web", "user.a=1"]), "Network ACL web created\n");
    acl(&["rule", "add", "web", "ingress", "action=allow", "source=1.1.1.1, 1.1.1.2"]);
    acl(&["rule", "add", "web", "ingress", "action=allow", "state=logged", "protocol=tcp"]);
    acl(&["rule", "add", "web", "egress", "action=drop", "description=no way"]);
    acl(&["set", "web", "user.b=2"]);
    acl(&["unset", "web", "user.a"]);
    assert_eq!(acl(&["get", "web", "user.b"]), "2\n");
    assert_eq!(
        acl(&["show", "web"]),
        "name: web\ndescription: \"\"\negress:\n- action: drop\n  description: no way\n  state: enabled\n\
         ingress:\n- action: allow\n  source: 1.1.1.1,1.1.1.2\n  state: enabled\n\
         - action: allow\n  protocol: tcp\n  state: logged\nconfig:\n  user.b: \"2\"\nused_by: []\n"
    );
    let fails = |args: &[&str]| {
        let output = daemon.lxc(&[&["network", "acl"], args].concat());
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).trim().to_owned()
    };
    assert_eq!(
        fails(&["rule", "remove", "web", "ingress", "action=allow"]),
        "Error: Multiple rules match. Use --force to remove them all"
    );
    assert_eq!(
        fails(&["rule", "add", "web", "ingress", "action=allow", "source=1.1.1.1,1.1.1.2"]),
        "Error: Duplicate of ingress rule 0"
    );
    assert_eq!(fails(&["show-log", "web"]), "Error: Only OVN log entries may be retrieved at this time");
    acl(&["rule", "remove", "web", "ingress", "--force"]);
    assert_eq!(acl(&["rename", "web", "www"]), "Network ACL web renamed to www\n");
    assert_eq!(acl(&["list", "--format", "csv"]), "www,,0\n");

    // A project without networks of its own uses those of the project `default`, and their ACLs.
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1", "config": {"features.networks": "true"}}));
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p2"}));
    assert_eq!(daemon.get("/1.0/network-acls?project=p1").metadata(), json!([]));
    assert_eq!(daemon.get("/1.0/network-acls?project=p2").metadata(), json!(["/1.0/network-acls/www"]));
    assert_eq!(acl(&["delete", "www"]), "Network ACL www deleted\n");
}
