//! Interfaces of instances beyond the plain port of a bridge: kinds, filters, limits, and that they come back.

use std::process::Command;

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::world::World;

/// A command in the daemon's network namespace; its standard output.
fn host(daemon: &Daemon, program: &str, args: &[&str]) -> String {
    let output = daemon.netns.command(program).args(args).output().expect("the program is there");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A setting of the kernel in the daemon's network namespace.
fn setting(daemon: &Daemon, key: &str) {
    host(daemon, "sh", &["-c", &format!("echo 1 > /proc/sys/net/{key}")]);
}

/// A program of the host in the network namespace of an instance; whether it succeeded, and its standard output.
fn inside(daemon: &Daemon, instance: &str, args: &[&str]) -> (bool, String) {
    let state = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata();
    let namespace = format!("--net=/proc/{}/ns/net", state["pid"]);
    let output = Command::new("nsenter").arg(namespace).arg("--").args(args).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether an instance gets an answer from an address. The program is the instance's own.
fn reaches(daemon: &Daemon, instance: &str, address: &str) -> bool {
    let pid = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata()["pid"].to_string();
    let enter = ["--target", &pid, "--net", "--mount", "--root", "--"];
    let ping = ["/bin/ping", "-c", "1", "-W", "1", address];
    let output = Command::new("nsenter").args(enter).args(ping).output().expect("nsenter is there");
    output.status.success()
}

fn devices(daemon: &Daemon, instance: &str, devices: Value) {
    let mut whole = daemon.get(&format!("/1.0/instances/{instance}")).metadata();
    whole["devices"] = devices;
    daemon.ok("PUT", &format!("/1.0/instances/{instance}"), &whole);
}

fn volatile(daemon: &Daemon, instance: &str, key: &str) -> Value {
    daemon.get(&format!("/1.0/instances/{instance}")).metadata()["config"][format!("volatile.{key}")].clone()
}

/// A pair of interfaces of the host, both up.
fn pair(daemon: &Daemon, one: &str, other: &str) {
    host(daemon, "ip", &["link", "add", one, "type", "veth", "peer", "name", other]);
    host(daemon, "ip", &["link", "set", one, "up"]);
    host(daemon, "ip", &["link", "set", other, "up"]);
}

/// What a routed interface with the parent `up0` needs.
fn allow_routing(daemon: &Daemon) {
    for key in ["ipv4/conf/up0/forwarding", "ipv6/conf/all/forwarding", "ipv6/conf/up0/forwarding"] {
        setting(daemon, key);
    }
    for key in ["ipv6/conf/all/proxy_ndp", "ipv6/conf/up0/proxy_ndp"] {
        setting(daemon, key);
    }
}

/// The interface `lan0` of `c1` reaches the host from its own address 192.0.2.50 and from no other.
fn assert_routed(daemon: &Daemon) {
    assert!(reaches(daemon, "c1", "192.0.2.1"), "the host is reached from a routed address");
    inside(daemon, "c1", &["ip", "addr", "add", "192.0.2.60/32", "dev", "lan0"]);
    inside(daemon, "c1", &["ip", "addr", "del", "192.0.2.50/32", "dev", "lan0"]);
    assert!(!reaches(daemon, "c1", "192.0.2.1"), "another address is not routed");
}

/// A routed interface whose only matter is the firewall's rule against other addresses.
pub fn routed_is_filtered(daemon: &Daemon) {
    pair(daemon, "up0", "up1");
    host(daemon, "ip", &["addr", "add", "192.0.2.1/24", "dev", "up0"]);
    allow_routing(daemon);
    let lan = json!({"type": "nic", "nictype": "routed", "parent": "up0", "name": "lan0", "ipv4.address": "192.0.2.50"});
    daemon.create("c1", &json!({"devices": {"lan": lan}}));
    daemon.state("c1", "start", "");
    assert_routed(daemon);
    daemon.remove("c1");
}

#[test]
fn interfaces_of_each_kind_work_and_leave_nothing() {
    let mut daemon = Daemon::start().with_pool_and_image();
    pair(&daemon, "up0", "up1");
    host(&daemon, "ip", &["addr", "add", "192.0.2.1/24", "dev", "up0"]);
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    daemon.state("c1", "stop", "force");
    let before = World::of(&daemon);
    let routes = host(&daemon, "ip", &["route"]);

    // Routed: refused with the setting's name until the administrator made it.
    let routed = json!({"lan": {
        "type": "nic", "nictype": "routed", "parent": "up0", "name": "lan0", "host_name": "nrhost0",
        "ipv4.address": "192.0.2.50", "ipv6.address": "fd33::50", "ipv4.host_table": "100", "limits.egress": "8Mbit"
    }});
    devices(&daemon, "c1", routed.clone());
    let error = daemon.fails("PUT", "/1.0/instances/c1/state", &json!({"action": "start"}));
    assert!(error.contains("Routed mode requires sysctl net."), "{error}");
    allow_routing(&daemon);
    daemon.state("c1", "start", "");
    let route = "192.0.2.50 dev nrhost0 scope link";
    assert!(host(&daemon, "ip", &["route"]).contains(route));
    assert!(host(&daemon, "ip", &["route", "show", "table", "100"]).contains(route));
    assert!(host(&daemon, "ip", &["-6", "route"]).contains("fd33::50 dev nrhost0"));
    let answered = host(&daemon, "ip", &["neigh", "show", "proxy"]);
    assert!(answered.contains("192.0.2.50 dev up0") && answered.contains("fd33::50 dev up0"), "{answered}");
    assert!(inside(&daemon, "c1", &["ip", "route"]).1.contains("default via 169.254.0.1 dev lan0"));
    assert_routed(&daemon);
    assert_limited(&daemon, "nrhost0");
    daemon.state("c1", "stop", "force");
    assert_eq!(host(&daemon, "ip", &["route"]), routes);
    assert_eq!(host(&daemon, "ip", &["neigh", "show", "proxy"]), "");

    // A pair whose end on the host the administrator routes; plugged and changed live.
    devices(&daemon, "c1", json!({}));
    daemon.state("c1", "start", "");
    let p2p = |routes: &str| json!({"p": {"type": "nic", "nictype": "p2p", "host_name": "nphost0", "ipv4.routes": routes, "name": "pp0"}});
    devices(&daemon, "c1", p2p("198.51.100.0/24"));
    assert!(inside(&daemon, "c1", &["ip", "link", "show", "pp0"]).0);
    assert!(host(&daemon, "ip", &["route"]).contains("198.51.100.0/24 dev nphost0"));
    devices(&daemon, "c1", p2p("198.51.101.0/24"));
    let now = host(&daemon, "ip", &["route"]);
    assert!(now.contains("198.51.101.0/24 dev nphost0") && !now.contains("198.51.100.0"), "{now}");
    // The same routed interface, plugged in live, is complete.
    devices(&daemon, "c1", routed);
    assert!(!inside(&daemon, "c1", &["ip", "link", "show", "pp0"]).0);
    assert!(reaches(&daemon, "c1", "192.0.2.1"));

    // On top of an interface of the host, live.
    devices(
        &daemon,
        "c1",
        json!({"m": {"type": "nic", "nictype": "macvlan", "parent": "up0", "name": "mv0", "mtu": "1400"}}),
    );
    assert!(inside(&daemon, "c1", &["ip", "-d", "link", "show", "mv0"]).1.contains("macvlan mode bridge"));
    devices(&daemon, "c1", json!({}));
    assert!(!inside(&daemon, "c1", &["ip", "link", "show", "mv0"]).0);
    daemon.state("c1", "stop", "force");
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
    assert_eq!(host(&daemon, "ip", &["route"]), routes);

    let missing = json!({"m": {"type": "nic", "nictype": "macvlan", "parent": "nosuch"}});
    devices(&daemon, "c1", missing);
    let error = daemon.fails("PUT", "/1.0/instances/c1/state", &json!({"action": "start"}));
    assert!(error.contains("Failed to start device \"m\": Parent device 'nosuch' doesn't exist"), "{error}");
    devices(&daemon, "c1", json!({}));
    daemon.restart();
}

/// Traffic in both directions is held back at an interface: by the kernel's policing, or by an interface of ours.
fn assert_limited(daemon: &Daemon, interface: &str) {
    let filters = host(daemon, "tc", &["filter", "show", "dev", interface, "parent", "ffff:"]);
    assert!(filters.contains("police") || filters.contains("Egress Redirect"), "{filters}");
    if let Some(helper) = filters.split("to device ").nth(1) {
        let helper = helper.split(')').next().unwrap_or_default();
        assert!(host(daemon, "tc", &["class", "show", "dev", helper]).contains("rate 8Mbit"));
    }
}

#[test]
fn an_interface_of_the_host_comes_back() {
    let mut daemon = Daemon::start().with_pool_and_image();
    pair(&daemon, "ph0", "ph1");
    let link = || host(&daemon, "ip", &["-o", "link", "show", "ph0"]);
    let address = |text: &str| text.split("link/ether ").nth(1).unwrap_or_default()[..17].to_owned();
    let mac = address(&link());
    let device = json!({
        "type": "nic", "nictype": "physical", "parent": "ph0", "name": "lan0", "mtu": "1300",
        "hwaddr": "00:16:3e:11:22:33"
    });
    daemon.create("c1", &json!({"config": {"boot.autostart": "false"}, "devices": {"lan": device}}));
    daemon.state("c1", "start", "");
    let within = inside(&daemon, "c1", &["ip", "link", "show", "lan0"]).1;
    assert!(within.contains("mtu 1300") && within.contains("00:16:3e:11:22:33"), "{within}");
    assert_eq!(volatile(&daemon, "c1", "lan.last_state.hwaddr"), json!(mac));
    assert_eq!(volatile(&daemon, "c1", "lan.last_state.mtu"), json!("1500"));
    let is_back = |daemon: &Daemon| {
        let text = host(daemon, "ip", &["-o", "link", "show", "ph0"]);
        assert!(text.contains("mtu 1500") && address(&text) == mac, "{text}");
        assert!(volatile(daemon, "c1", "lan.host_name").is_null());
    };
    daemon.state("c1", "stop", "force");
    is_back(&daemon);
    // Taken out of a running instance.
    daemon.state("c1", "start", "");
    devices(&daemon, "c1", json!({}));
    is_back(&daemon);
    // Put in again, and the instance ends while no daemon runs.
    devices(&daemon, "c1", json!({"lan": device}));
    assert!(inside(&daemon, "c1", &["ip", "link", "show", "lan0"]).0);
    let init = daemon.get("/1.0/instances/c1/state").metadata()["pid"].to_string();
    daemon.kill();
    Command::new("kill").args(["-9", &init]).status().unwrap();
    wait_for("the end of the container", 20, || {
        (!std::path::Path::new(&format!("/proc/{init}")).exists()).then_some(())
    });
    daemon.launch();
    wait_for("the interface as it was", 20, || {
        volatile(&daemon, "c1", "lan.host_name").is_null().then_some(())
    });
    is_back(&daemon);
}

#[test]
fn filters_hold_back_what_is_forged() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let config = json!({"ipv4.address": "10.77.2.1/24", "ipv6.address": "fd77:2::1/64"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "nfbr0", "config": config}));
    let nic = |more: Value| {
        let mut nic = json!({"type": "nic", "network": "nfbr0", "name": "lan0"});
        nic.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"lan": nic})
    };
    let filters = json!({"security.ipv4_filtering": "true", "security.ipv6_filtering": "true"});
    daemon.create("c1", &json!({"devices": nic(filters.clone())}));
    daemon.create("c2", &json!({"devices": nic(json!({}))}));
    daemon.state("c1", "start", "");
    daemon.state("c2", "start", "");
    // Otherwise the kernel takes the allowed address by itself whenever the router speaks.
    inside(&daemon, "c1", &["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/lan0/accept_ra"]);
    let file = daemon.lxd_dir().join("networks/nfbr0/dnsmasq.hosts/c1.lan");
    let entry = std::fs::read_to_string(&file).unwrap();
    let own = entry.split(',').nth(1).unwrap().to_owned();
    let own6 = entry.split(['[', ']']).nth(1).unwrap().to_owned();
    assert!(own.starts_with("10.77.2.") && own6.starts_with("fd77:2::216:3eff:"), "{entry}");

    let ip = |instance: &str, args: &[&str]| {
        let (done, text) = inside(&daemon, instance, &[&["ip"], args].concat());
        assert!(done, "{args:?}: {text}");
    };
    ip("c2", &["addr", "add", "10.77.2.250/24", "dev", "lan0"]);
    ip("c2", &["-6", "addr", "add", "fd77:2::250/64", "dev", "lan0", "nodad"]);
    ip("c2", &["link", "set", "lan0", "up"]);
    ip("c1", &["link", "set", "lan0", "up"]);
    ip("c1", &["addr", "add", &format!("{own}/24"), "dev", "lan0"]);
    ip("c1", &["-6", "addr", "add", &format!("{own6}/64"), "dev", "lan0", "nodad"]);
    // To the host and to another port, both families.
    for target in ["10.77.2.1", "10.77.2.250", "fd77:2::1", "fd77:2::250"] {
        assert!(reaches(&daemon, "c1", target), "{target} is reached with the own address");
    }
    // Forged addresses do not pass, towards the host and towards another port.
    ip("c1", &["addr", "del", &format!("{own}/24"), "dev", "lan0"]);
    ip("c1", &["-6", "addr", "del", &format!("{own6}/64"), "dev", "lan0"]);
    ip("c1", &["addr", "add", "10.77.2.66/24", "dev", "lan0"]);
    ip("c1", &["-6", "addr", "add", "fd77:2::66/64", "dev", "lan0", "nodad"]);
    for target in ["10.77.2.1", "10.77.2.250", "fd77:2::1", "fd77:2::250"] {
        assert!(!reaches(&daemon, "c1", target), "{target} is not reached with a forged address");
    }
    // The address is the same under a new daemon, and its rules are still there.
    let rules = host(&daemon, "nft", &["list", "table", "bridge", "lxd"]);
    assert!(rules.contains(&format!("arp saddr ip {own} accept")), "{rules}");
    daemon.restart();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), entry);
    assert_eq!(host(&daemon, "nft", &["list", "table", "bridge", "lxd"]), rules);

    // Switched off and on live.
    let mac = json!({"security.mac_filtering": "true"});
    devices(&daemon, "c1", nic(mac));
    assert!(reaches(&daemon, "c1", "10.77.2.250"), "without the filter the address is free");
    inside(&daemon, "c1", &["ip", "link", "set", "lan0", "address", "00:16:3e:66:66:66"]);
    assert!(!reaches(&daemon, "c1", "10.77.2.250"), "a forged hardware address does not pass");
    devices(&daemon, "c1", nic(json!({})));
    // The neighbour still has the former hardware address for a while.
    wait_for("an answer to the new address", 20, || reaches(&daemon, "c1", "10.77.2.250").then_some(()));
    devices(&daemon, "c1", nic(filters));
    assert!(!reaches(&daemon, "c1", "10.77.2.250"));

    for instance in ["c1", "c2"] {
        daemon.state(instance, "stop", "force");
        daemon.ok("DELETE", &format!("/1.0/instances/{instance}"), &json!({}));
    }
    let left = host(&daemon, "nft", &["list", "ruleset"]);
    assert!(!left.contains("c1.lan"), "{left}");
    daemon.ok("DELETE", "/1.0/networks/nfbr0", &json!({}));
}
