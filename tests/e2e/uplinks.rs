//! Networks on an interface of the host: macvlan, sriov, physical.

use lxd_testkit::Daemon;
use serde_json::{Value, json};

fn host(daemon: &Daemon, program: &str, args: &[&str]) -> String {
    let output = daemon.netns.command(program).args(args).output().expect("the program is there");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A pair of interfaces of the host, both up.
fn pair(daemon: &Daemon, one: &str, other: &str) {
    host(daemon, "ip", &["link", "add", one, "type", "veth", "peer", "name", other]);
    host(daemon, "ip", &["link", "set", one, "up"]);
    host(daemon, "ip", &["link", "set", other, "up"]);
}

fn new(name: &str, kind: &str, config: Value) -> Value {
    json!({"name": name, "type": kind, "config": config})
}

fn mtu(daemon: &Daemon, interface: &str) -> String {
    let text = host(daemon, "ip", &["-o", "link", "show", "dev", interface]);
    let mut words = text.split_whitespace().skip_while(|word| *word != "mtu");
    words.nth(1).unwrap_or_default().to_owned()
}

#[test]
fn networks_on_an_interface_are_made_used_and_removed() {
    let mut daemon = Daemon::start().with_pool_and_image();
    pair(&daemon, "up0", "up1");
    daemon.ok("POST", "/1.0/networks", &new("m1", "macvlan", json!({"parent": "up0", "mtu": "1400"})));
    let network = daemon.get("/1.0/networks/m1").metadata();
    assert_eq!(
        (&network["type"], &network["status"], &network["managed"]),
        (&json!("macvlan"), &json!("Created"), &json!(true))
    );
    assert_eq!(network["config"], json!({"parent": "up0", "mtu": "1400"}));
    assert_eq!(daemon.get("/1.0/networks/up0").metadata()["used_by"], json!(["/1.0/networks/m1"]));
    assert_eq!(daemon.get("/1.0/networks/m1/leases").status, 501);
    assert_eq!(daemon.get("/1.0/networks/m1/state").status, 404);

    // An instance on it gets the network's parent and MTU, live too.
    daemon.create("c1", &json!({"devices": {"eth0": {"type": "nic", "network": "m1", "name": "eth0"}}}));
    daemon.state("c1", "start", "");
    let link = daemon.lxc_ok(&["exec", "c1", "--", "/bin/ip", "link", "show", "eth0"]);
    assert!(link.contains("mtu 1400"), "{link}");
    let network = daemon.get("/1.0/networks/m1").metadata();
    assert_eq!(network["used_by"], json!(["/1.0/instances/c1"]));
    let error = daemon.fails("DELETE", "/1.0/networks/m1", &Value::Null);
    assert_eq!(error, "The network is currently in use");
    let error = daemon.fails("POST", "/1.0/networks/m1", &json!({"name": "m2"}));
    assert_eq!(error, "Network is currently in use");
    daemon.remove("c1");
    daemon.ok("POST", "/1.0/networks/m1", &json!({"name": "up1"}));
    // The interface that happens to have the network's name is left alone.
    daemon.ok("DELETE", "/1.0/networks/up1", &Value::Null);
    host(&daemon, "ip", &["link", "show", "dev", "up1"]);

    // A physical network has its parent for itself, sets its MTU and gives it back.
    let uplink = json!({
        "parent": "up0", "mtu": "1400", "ipv4.gateway": "10.1.1.1/24", "ipv4.ovn.ranges": "10.1.1.5-10.1.1.9",
        "ipv6.routes": "fd00:1::/64", "ipv4.routes.anycast": "true", "dns.nameservers": "1.1.1.1",
        "ovn.ingress_mode": "routed"
    });
    daemon.ok("POST", "/1.0/networks", &new("p1", "physical", uplink));
    assert_eq!(mtu(&daemon, "up0"), "1400");
    let network = daemon.get("/1.0/networks/p1").metadata();
    assert_eq!(network["config"]["volatile.last_state.created"], "false");
    daemon.lxc_ok(&["network", "set", "p1", "mtu=1300"]);
    assert_eq!(mtu(&daemon, "up0"), "1300");
    daemon.lxc_ok(&["network", "unset", "p1", "mtu"]);
    assert_eq!(mtu(&daemon, "up0"), "1500");
    let error = daemon.fails("PATCH", "/1.0/networks/p1", &json!({"config": {"parent": "nosuch"}}));
    assert_eq!(error, "Parent interface \"nosuch\" not found");
    let error =
        daemon.fails("POST", "/1.0/networks", &new("p2", "physical", json!({"parent": "up0", "vlan": "7"})));
    assert_eq!(error, "Parent interface \"up0\" in use by another network");
    let nic = json!({"devices": {"eth0": {"type": "nic", "network": "p1"}}});
    let error = daemon.fails("PATCH", "/1.0/profiles/default", &nic);
    assert!(error.ends_with("Unrecognised NIC network type for network \"p1\""), "{error}");

    // What vanished is told, and does not keep the daemon from starting; back, it is made again.
    daemon.lxc_ok(&["network", "set", "p1", "mtu=1350"]);
    host(&daemon, "ip", &["link", "delete", "up0"]);
    assert_eq!(daemon.get("/1.0/networks/p1").metadata()["status"], "Unavailable");
    daemon.restart();
    let warnings = daemon.get("/1.0/warnings?recursion=1").metadata().to_string();
    assert!(warnings.contains("Parent interface \\\"up0\\\" not found"), "{warnings}");
    pair(&daemon, "up0", "up1");
    daemon.restart();
    assert_eq!(daemon.get("/1.0/networks/p1").metadata()["status"], "Created");
    assert_eq!(mtu(&daemon, "up0"), "1350");
    daemon.ok("DELETE", "/1.0/networks/p1", &Value::Null);
    assert_eq!(mtu(&daemon, "up0"), "1500");
    assert_eq!(daemon.get("/1.0/networks/p1").status, 404);
}

#[test]
fn wrong_networks_on_an_interface_are_refused_in_words() {
    let daemon = Daemon::start();
    pair(&daemon, "up0", "up1");
    let cases = [
        (
            new("m1", "macvlan", json!({})),
            "Invalid value for network \"m1\" option \"parent\": Required value",
        ),
        (new("m1", "macvlan", json!({"parent": "nosuch"})), "Parent interface \"nosuch\" not found"),
        (
            new("m1", "macvlan", json!({"parent": "a b"})),
            "Invalid value for network \"m1\" option \"parent\": Network interface contains invalid characters",
        ),
        (
            new("m1", "macvlan", json!({"parent": "up0", "vlan": "5000"})),
            "Invalid value for network \"m1\" option \"vlan\": Out of VLAN ID range (0-4094) \"5000\"",
        ),
        (
            new("s1", "sriov", json!({"parent": "up0", "gvrp": "true"})),
            "Invalid option for network \"s1\" option \"gvrp\"",
        ),
        (
            new("p1", "physical", json!({"parent": "up0", "ipv4.gateway": "10.1.1.1"})),
            "Invalid value for network \"p1\" option \"ipv4.gateway\": invalid CIDR address: 10.1.1.1",
        ),
        (new("x1", "nosuch", json!({})), "Unknown driver"),
    ];
    for (body, wanted) in cases {
        assert_eq!(daemon.fails("POST", "/1.0/networks", &body), wanted, "{body}");
    }
    // A kernel without VLAN interfaces leaves nothing behind; one with them makes and removes the VLAN.
    let vlan = new("p1", "physical", json!({"parent": "up0", "vlan": "7", "gvrp": "true"}));
    let answer = daemon.call("POST", "/1.0/networks", &vlan);
    let links = host(&daemon, "ip", &["-o", "link"]);
    if answer.status < 300 {
        assert!(links.contains("up0.7@up0"), "{links}");
        daemon.ok("DELETE", "/1.0/networks/p1", &Value::Null);
    } else {
        println!("skipped: this kernel makes no VLAN interfaces: {}", answer.json());
        assert!(
            answer.json().to_string().contains("Failed to create VLAN interface \\\"up0.7\\\""),
            "{}",
            answer.json()
        );
    }
    assert!(!host(&daemon, "ip", &["-o", "link"]).contains("up0.7"));
    assert_eq!(daemon.get("/1.0/networks/p1").status, 404);
}
