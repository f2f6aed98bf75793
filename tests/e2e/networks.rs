//! Managed bridges and the interfaces of instances on them: leases, names, firewall rules, restarts.

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

/// A command of the host in the network namespace of an instance; its standard output.
fn inside(daemon: &Daemon, instance: &str, program: &str, args: &[&str]) -> String {
    let state = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata();
    let namespace = format!("--net=/proc/{}/ns/net", state["pid"]);
    let output = Command::new("nsenter").arg(namespace).arg("--").arg(program).args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The IPv4 address of an instance's `eth0`, once it has one.
fn address(daemon: &Daemon, instance: &str) -> String {
    wait_for("an address by DHCP", 30, || {
        let text = inside(daemon, instance, "ip", &["-4", "-o", "addr", "show", "eth0"]);
        let cidr = text.split_whitespace().nth(3)?.to_owned();
        cidr.split('/').next().map(str::to_owned)
    })
}

fn service(daemon: &Daemon, network: &str) -> Option<i64> {
    let file = daemon.lxd_dir().join("networks").join(network).join("dnsmasq.pid");
    let record: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    let pid = record["pid"].as_i64()?;
    std::path::Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

fn make_bridge(daemon: &Daemon) {
    let config = json!({
        "ipv4.address": "10.77.1.1/24", "ipv4.nat": "true", "ipv6.address": "fd77:1::1/64", "ipv6.nat": "true"
    });
    daemon.ok("POST", "/1.0/networks", &json!({"name": "ntbr0", "config": config}));
    let nic = json!({"devices": {"eth0": {"type": "nic", "network": "ntbr0", "name": "eth0"}}});
    daemon.ok("PATCH", "/1.0/profiles/default", &nic);
}

#[test]
fn instances_get_addresses_and_names_and_keep_them() {
    let mut daemon = Daemon::start().with_pool_and_image();
    host(&daemon, "nft", &["add table inet other; add chain inet other mine; add rule inet other mine drop"]);
    let others = host(&daemon, "nft", &["list", "table", "inet", "other"]);
    let before = World::of(&daemon);
    make_bridge(&daemon);
    let rules = host(&daemon, "nft", &["list", "chain", "inet", "lxd", "pstrt.ntbr0"]);
    assert!(rules.contains("ip saddr 10.77.1.0/24 ip daddr != 10.77.1.0/24 masquerade"), "{rules}");

    daemon.create("c1", &json!({}));
    let fixed =
        json!({"eth0": {"type": "nic", "network": "ntbr0", "name": "eth0", "ipv4.address": "10.77.1.77"}});
    daemon.create("c2", &json!({"devices": fixed}));
    daemon.state("c1", "start", "");
    daemon.state("c2", "start", "");
    let first = address(&daemon, "c1");
    assert!(first.starts_with("10.77.1."), "{first}");
    assert_eq!(address(&daemon, "c2"), "10.77.1.77");

    let config = daemon.get("/1.0/instances/c1").metadata()["config"].clone();
    let mac = config["volatile.eth0.hwaddr"].as_str().unwrap().to_owned();
    assert!(mac.starts_with("00:16:3e:"), "{mac}");
    let veth = config["volatile.eth0.host_name"].as_str().unwrap();
    assert!(host(&daemon, "ip", &["link", "show", "dev", veth]).contains("master ntbr0"));
    assert!(inside(&daemon, "c1", "ip", &["link", "show", "eth0"]).contains(&mac));
    let eth0 = daemon.get("/1.0/instances/c1/state").metadata()["network"]["eth0"].clone();
    assert_eq!(
        (&eth0["hwaddr"], &eth0["host_name"], &eth0["state"]),
        (&json!(mac), &json!(veth), &json!("up"))
    );
    assert!(eth0["addresses"].as_array().unwrap().iter().any(|a| a["address"] == json!(first)), "{eth0}");
    assert!(eth0["counters"]["bytes_received"].as_i64().unwrap() > 0, "{eth0}");
    let leases = daemon.get("/1.0/networks/ntbr0/leases").metadata();
    let lease = |kind: &str, name: &str, address: &str| {
        let all = leases.as_array().unwrap();
        all.iter().any(|l| l["type"] == kind && l["hostname"] == name && l["address"] == address)
    };
    assert!(lease("gateway", "ntbr0.gw", "10.77.1.1") && lease("static", "c2", "10.77.1.77"), "{leases}");
    assert!(lease("dynamic", "c1", &first), "{leases}");
    assert_eq!(resolve(&daemon, "c1", "c2.lxd"), "10.77.1.77");
    let used = daemon.get("/1.0/networks/ntbr0").metadata()["used_by"].clone();
    assert_eq!(used, json!(["/1.0/profiles/default", "/1.0/instances/c1", "/1.0/instances/c2"]));
    assert_eq!(daemon.fails("DELETE", "/1.0/networks/ntbr0", &json!({})), "The network is currently in use");

    // The service goes on under a new daemon, after a clean end and after a kill.
    let pid = service(&daemon, "ntbr0").expect("dnsmasq runs");
    daemon.restart();
    assert_eq!(service(&daemon, "ntbr0"), Some(pid));
    daemon.kill();
    daemon.launch();
    assert_eq!(service(&daemon, "ntbr0"), Some(pid));
    assert_eq!(resolve(&daemon, "c1", "c2.lxd"), "10.77.1.77");

    // Another configuration does not cut instances off.
    daemon.ok(
        "PATCH",
        "/1.0/networks/ntbr0",
        &json!({"config": {"dns.domain": "example", "ipv6.nat": "false"}}),
    );
    assert_eq!(resolve(&daemon, "c1", "c2.example"), "10.77.1.77");
    assert!(!host(&daemon, "nft", &["list", "ruleset"]).contains("ip6 saddr"));

    // As after a reboot: the bridge and its rules are gone.
    daemon.state("c1", "stop", "force");
    daemon.state("c2", "stop", "force");
    daemon.kill();
    Command::new("kill").args(["-9", &pid_text(&daemon)]).status().unwrap();
    host(&daemon, "ip", &["link", "delete", "ntbr0"]);
    host(&daemon, "nft", &["delete", "table", "inet", "lxd"]);
    daemon.launch();
    assert_eq!(daemon.get("/1.0/networks/ntbr0").metadata()["status"], "Created");
    daemon.state("c1", "start", "");
    assert_eq!(address(&daemon, "c1"), first, "the lease is remembered");
    assert!(host(&daemon, "nft", &["list", "ruleset"]).contains("10.77.1.0/24"));

    daemon.state("c1", "stop", "force");
    for instance in ["c1", "c2"] {
        daemon.ok("DELETE", &format!("/1.0/instances/{instance}"), &json!({}));
    }
    daemon.ok("PUT", "/1.0/profiles/default", &daemon_profile());
    daemon.ok("DELETE", "/1.0/networks/ntbr0", &json!({}));
    assert_eq!(host(&daemon, "nft", &["list", "table", "inet", "other"]), others);
    assert!(!host(&daemon, "nft", &["list", "ruleset"]).contains("ntbr0"));
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

fn daemon_profile() -> Value {
    json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "default"}}})
}

fn pid_text(daemon: &Daemon) -> String {
    service(daemon, "ntbr0").expect("dnsmasq runs").to_string()
}

/// Asks the bridge's DNS service with the instance's own program.
fn resolve(daemon: &Daemon, instance: &str, name: &str) -> String {
    let pid = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata()["pid"].to_string();
    let output = Command::new("nsenter")
        .args(["--target", &pid, "--net", "--mount", "--root", "--", "/bin/nslookup", name, "10.77.1.1"])
        .output()
        .expect("nsenter is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers = text.lines().skip_while(|line| !line.starts_with("Name:"));
    let address = answers.filter_map(|line| line.strip_prefix("Address")?.split_once(": ")).next();
    address.map_or(text.clone(), |(_, address)| address.trim().to_owned())
}

#[test]
fn an_unmanaged_bridge_serves_as_parent() {
    let daemon = Daemon::start().with_pool_and_image();
    host(&daemon, "ip", &["link", "add", "own0", "type", "bridge"]);
    host(&daemon, "ip", &["link", "set", "own0", "up"]);
    let network = daemon.get("/1.0/networks/own0").metadata();
    assert_eq!((&network["managed"], &network["type"]), (&json!(false), &json!("bridge")));
    let nic = json!({
        "type": "nic", "nictype": "bridged", "parent": "own0", "name": "lan0", "host_name": "nthost0",
        "hwaddr": "00:16:3e:12:34:56", "mtu": "1400", "limits.ingress": "10Mbit", "security.port_isolation": "true"
    });
    daemon.create("c1", &json!({"devices": {"lan": nic}}));
    daemon.state("c1", "start", "");
    let link = inside(&daemon, "c1", "ip", &["link", "show", "lan0"]);
    assert!(link.contains("00:16:3e:12:34:56") && link.contains("mtu 1400"), "{link}");
    assert!(host(&daemon, "ip", &["link", "show", "nthost0"]).contains("master own0"));
    assert!(host(&daemon, "tc", &["class", "show", "dev", "nthost0"]).contains("rate 10Mbit"));
    assert!(host(&daemon, "bridge", &["-d", "link", "show", "dev", "nthost0"]).contains("isolated on"));
    assert_eq!(daemon.get("/1.0/networks/own0").metadata()["used_by"], json!(["/1.0/instances/c1"]));
    daemon.state("c1", "stop", "force");
    let links = host(&daemon, "ip", &["-o", "link"]);
    assert!(!links.contains("nthost0") && !links.contains("veth"), "{links}");
    let missing = json!({"devices": {"lan": {"type": "nic", "nictype": "bridged", "parent": "nosuch"}}});
    daemon.ok("PATCH", "/1.0/instances/c1", &missing);
    let error = daemon.fails("PUT", "/1.0/instances/c1/state", &json!({"action": "start"}));
    assert!(error.contains("nosuch"), "{error}");
    assert_eq!(daemon.status("c1"), "Stopped");
}

#[test]
fn networks_know_instances_that_do_not_run() {
    let daemon = Daemon::start().with_pool_and_image();
    make_bridge(&daemon);
    daemon.create("c1", &json!({}));
    let hosts = daemon.lxd_dir().join("networks/ntbr0/dnsmasq.hosts");
    let entry = |name: &str| std::fs::read_to_string(hosts.join(name)).unwrap_or_default();
    assert!(entry("c1.eth0").ends_with(",c1\n"), "the network knows a new instance");
    let fixed = |address: &str| json!({"type": "nic", "network": "ntbr0", "ipv4.address": address});
    let patch = |name: &str, devices: Value| {
        daemon.call("PATCH", &format!("/1.0/instances/{name}"), &json!({"devices": devices}))
    };
    assert_eq!(patch("c1", json!({"eth0": fixed("10.77.1.88")})).status, 200);
    assert!(entry("c1.eth0").contains(",10.77.1.88,c1"));
    daemon.create("c2", &json!({}));
    for (devices, text) in [
        (json!({"eth0": fixed("10.77.1.88")}), "IP address \"10.77.1.88\" already defined on another NIC"),
        (json!({"eth1": fixed("10.77.1.89")}), "Instance DNS name \"c2\" already used on network"),
    ] {
        let answer = patch("c2", devices);
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 409, "{error}");
        assert!(
            error.starts_with("Failed ")
                && error.contains(" validation for device ")
                && error.ends_with(text),
            "{error}"
        );
    }
    assert_eq!(patch("c1", json!({"eth0": {"type": "none"}})).status, 200);
    assert_eq!(entry("c1.eth0"), "");
    daemon.ok("DELETE", "/1.0/instances/c2", &json!({}));
    assert_eq!(std::fs::read_dir(&hosts).unwrap().count(), 0);
}

#[test]
fn interfaces_come_and_go_while_an_instance_runs() {
    let daemon = Daemon::start().with_pool_and_image();
    make_bridge(&daemon);
    host(&daemon, "ip", &["link", "add", "own0", "type", "bridge"]);
    host(&daemon, "ip", &["link", "set", "own0", "up"]);
    daemon.create("c1", &json!({}));
    let hosts = daemon.lxd_dir().join("networks/ntbr0/dnsmasq.hosts/c1.eth0");
    assert!(hosts.exists(), "the network knows a new instance");
    daemon.state("c1", "start", "");
    address(&daemon, "c1");
    let change = |devices: Value| daemon.ok("PATCH", "/1.0/instances/c1", &json!({"devices": devices}));
    change(
        json!({"lan": {"type": "nic", "nictype": "bridged", "parent": "own0", "hwaddr": "00:16:3e:aa:bb:cc"}}),
    );
    let link = inside(&daemon, "c1", "ip", &["link", "show", "eth1"]);
    assert!(link.contains("00:16:3e:aa:bb:cc"), "{link}");
    let veth = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.lan.host_name"].clone();
    change(json!({"lan": {
        "type": "nic", "nictype": "bridged", "parent": "own0", "hwaddr": "00:16:3e:aa:bb:cc", "limits.ingress": "5Mbit"
    }}));
    assert!(host(&daemon, "tc", &["class", "show", "dev", veth.as_str().unwrap()]).contains("rate 5Mbit"));
    change(
        json!({"eth0": {"type": "nic", "network": "ntbr0", "name": "eth0", "ipv4.address": "10.77.1.88"}}),
    );
    assert!(std::fs::read_to_string(&hosts).unwrap().contains(",10.77.1.88,c1"));
    assert!(
        inside(&daemon, "c1", "ip", &["link"]).contains("eth0"),
        "a fixed address is told, nothing is cut off"
    );
    let put = |devices: Value| {
        let mut instance = daemon.get("/1.0/instances/c1").metadata();
        instance["devices"] = devices;
        daemon.ok("PUT", "/1.0/instances/c1", &instance);
    };
    put(json!({}));
    let links = inside(&daemon, "c1", "ip", &["-o", "link"]);
    assert!(!links.contains("eth1") && links.contains("eth0"), "{links}");
    assert!(daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.lan.host_name"].is_null());
    put(json!({"eth0": {"type": "none"}}));
    assert!(!inside(&daemon, "c1", "ip", &["-o", "link"]).contains("eth0"));
    assert!(!hosts.exists());
}

#[test]
fn wrong_requests_are_refused_and_leave_nothing() {
    let daemon = Daemon::start();
    make_bridge(&daemon);
    let before = World::of(&daemon);
    let none = json!({"ipv4.address": "none", "ipv6.address": "none"});
    let config = |key: &str, value: &str| {
        let mut config = none.clone();
        config[key] = json!(value);
        json!({"name": "ntbr1", "config": config})
    };
    let cases: &[(Value, u16, &str)] = &[
        (json!({}), 400, "No name provided"),
        (
            json!({"name": "toolongnameforbridge"}),
            400,
            "Network interface is too long (maximum 15 characters)",
        ),
        (json!({"name": "bad name"}), 400, "Network interface contains invalid characters"),
        (json!({"name": "a\nb"}), 400, "Network interface contains invalid characters"),
        (json!({"name": "a/b"}), 400, "Network interface contains invalid characters"),
        (json!({"name": "all"}), 400, "reserved"),
        (json!({"name": "ntbr0"}), 400, "The network already exists"),
        (json!({"name": "lo", "config": none}), 500, "Network interface \"lo\" already exists"),
        (json!({"name": "ntbr1", "type": "nosuch"}), 400, "Unknown driver"),
        (json!({"name": "ntbr1", "type": "ovn"}), 400, "not supported yet: networks of type ovn"),
        (config("no.such", "1"), 400, "Invalid option for network \"ntbr1\" option \"no.such\""),
        (config("ipv4.nat", "maybe"), 400, "Invalid value for a boolean \"maybe\""),
        (config("dns.domain", "a\nb"), 400, "dns.domain"),
        (config("dns.domain", "a/b"), 400, "Invalid domain name"),
        (config("dns.search", "a,b\u{0}"), 400, "dns.search"),
        (config("ipv4.dhcp.expiry", "1h\ndhcp-script=/bin/sh"), 400, "ipv4.dhcp.expiry"),
        (config("ipv4.dhcp.ranges", "1.2.3.4"), 400, "IP range must contain start and end IP addresses"),
        (config("bridge.hwaddr", "01:00:00:00:00:00"), 400, "MAC address of a group"),
        (config("bridge.external_interfaces", "../x"), 400, "invalid characters"),
        (config("volatile.bridge.hwaddr", "00:16:3e:00:00:01"), 400, "Invalid option"),
        (config("tunnel.a.protocol", "gri"), 400, "(not one of [gre vxlan])"),
        (config("bridge.mode", "fan"), 400, "IPv4 configuration may not be set when in 'fan' mode"),
        (
            json!({"name": "ntbr1", "config": {"bridge.mode": "fan"}}),
            400,
            "not supported yet: bridge.mode=fan",
        ),
    ];
    for (body, status, text) in cases {
        let answer = daemon.call("POST", "/1.0/networks", body);
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, *status, "{body}: {error}");
        assert!(error.contains(text), "{body}: {error}");
    }
    let refused = [
        ("PUT", "/1.0/networks/nosuch", json!({}), "Failed loading network: Network not found"),
        ("DELETE", "/1.0/networks/lo", json!({}), "Failed loading network: Network not found"),
        ("POST", "/1.0/networks/ntbr0", json!({"name": "ntbr2"}), "Network is currently in use"),
        ("PATCH", "/1.0/networks/ntbr0", json!({"config": {"ipv4.address": "x"}}), "invalid CIDR address: x"),
        (
            "PATCH",
            "/1.0/networks/ntbr0",
            json!({"config": {"raw.dnsmasq": "garbage"}}),
            "bad option at line 1",
        ),
    ];
    for (method, path, body, text) in refused {
        let error = daemon.fails(method, path, &body);
        assert!(error.contains(text), "{method} {path} {body}: {error}");
    }
    assert!(daemon.get("/1.0/networks/ntbr0").metadata()["config"]["raw.dnsmasq"].is_null());
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
    assert!(service(&daemon, "ntbr0").is_some(), "the service serves again after a refused change");
}

#[test]
fn a_taken_name_is_a_warning_not_a_failed_start() {
    let mut daemon = Daemon::start();
    make_bridge(&daemon);
    daemon.kill();
    Command::new("kill").args(["-9", &pid_text(&daemon)]).status().unwrap();
    host(&daemon, "ip", &["link", "delete", "ntbr0"]);
    host(&daemon, "ip", &["link", "add", "ntbr0", "type", "veth", "peer", "name", "ntpeer"]);
    daemon.launch();
    assert_eq!(daemon.get("/1.0/networks/ntbr0").metadata()["status"], "Unavailable");
    let warnings = daemon.get("/1.0/warnings?recursion=1").metadata();
    let raised = warnings.as_array().unwrap().iter().any(|w| {
        w["type"] == "Network unavailable" && w["last_message"].as_str().unwrap_or_default().contains("ntbr0")
    });
    assert!(raised, "{warnings}");
    host(&daemon, "ip", &["link", "delete", "ntbr0"]);
    daemon.ok("PATCH", "/1.0/networks/ntbr0", &json!({"description": "mended"}));
    assert_eq!(daemon.get("/1.0/networks/ntbr0").metadata()["status"], "Created");
}

#[test]
fn a_bridge_that_is_taken_away_comes_back() {
    let daemon = Daemon::start().with_pool_and_image();
    make_bridge(&daemon);
    let isolated = json!({"eth0": {"type": "nic", "network": "ntbr0", "name": "eth0", "security.port_isolation": "true"}});
    daemon.create("c1", &json!({"devices": isolated}));
    daemon.state("c1", "start", "");
    let before = address(&daemon, "c1");
    let port = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.eth0.host_name"].clone();
    let (port, old) = (port.as_str().unwrap().to_owned(), service(&daemon, "ntbr0").unwrap());
    let status = || daemon.get("/1.0/networks/ntbr0").metadata()["status"].clone();
    let warning = || {
        let all = daemon.get("/1.0/warnings?recursion=1").metadata();
        let found = all.as_array().unwrap().iter().find(|w| w["type"] == "Network unavailable").cloned();
        found.unwrap_or_default()
    };
    for times in 1..=2 {
        host(&daemon, "ip", &["link", "delete", "ntbr0"]);
        wait_for("the loss to be noticed", 10, || (status() == "Unavailable").then_some(()));
        wait_for("the warning", 5, || {
            let raised = warning();
            (raised["status"] == "new" && raised["count"] == times).then_some(())
        });
        wait_for("the bridge", 20, || (status() == "Created").then_some(()));
        wait_for("the warning's end", 10, || (warning()["status"] == "resolved").then_some(()));
    }
    // Whoever makes it again connects the instances.
    host(&daemon, "ip", &["link", "delete", "ntbr0"]);
    wait_for("the loss to be noticed", 10, || (status() == "Unavailable").then_some(()));
    daemon.ok("PATCH", "/1.0/networks/ntbr0", &json!({"description": "mended"}));
    assert_eq!(status(), "Created");
    assert_ne!(service(&daemon, "ntbr0").unwrap(), old, "a service that listens on what is gone");
    let details = host(&daemon, "ip", &["-d", "link", "show", &port]);
    assert!(details.contains("master ntbr0") && details.contains("isolated on"), "{details}");
    daemon.lxc_ok(&["exec", "c1", "--", "ping", "-c", "1", "-W", "5", "10.77.1.1"]);
    let lease = inside(&daemon, "c1", "ip", &["-4", "-o", "addr", "show", "eth0"]);
    assert!(lease.contains(&before), "{lease}");
    // Ours are not taken for losses.
    daemon.state("c1", "stop", "force");
    daemon.remove("c1");
    daemon.ok("PUT", "/1.0/profiles/default", &json!({"config": {}, "devices": {}}));
    daemon.ok("DELETE", "/1.0/networks/ntbr0", &Value::Null);
    assert!(!host(&daemon, "ip", &["-o", "link"]).contains("ntbr0"));
}
