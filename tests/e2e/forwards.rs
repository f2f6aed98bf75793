//! Addresses that a network forwards to its instances, with real traffic.

use std::io::Read as _;
use std::process::{Command, Stdio};

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::world::World;

fn host(daemon: &Daemon, program: &str, args: &[&str]) -> String {
    let output = daemon.netns.command(program).args(args).output().expect("the program is there");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A service in an instance that says its name to whom connects; ends when dropped.
struct Service(std::process::Child);

impl Service {
    fn start(daemon: &Daemon, instance: &str, port: &str) -> Self {
        let pid = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata()["pid"].to_string();
        let say = format!("echo {instance}-{port}");
        let enter = ["--target", &pid, "--net", "--"];
        let listen = ["busybox", "nc", "-ll", "-p", port, "-e", "/bin/sh", "-c", &say];
        let child = Command::new("nsenter").args(enter).args(listen).stdin(Stdio::null()).spawn().unwrap();
        Self(child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a service says to a host (a network namespace); `None` when nobody answers.
fn said(namespace: &str, address: &str, port: u16) -> Option<String> {
    let namespace = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    let target = std::net::SocketAddr::new(address.parse().unwrap(), port);
    std::thread::scope(|scope| {
        let ask = || {
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(kind))
                .unwrap();
            let limit = std::time::Duration::from_secs(2);
            let mut stream = std::net::TcpStream::connect_timeout(&target, limit).ok()?;
            stream.set_read_timeout(Some(limit)).ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            (!text.is_empty()).then(|| text.trim().to_owned())
        };
        scope.spawn(ask).join().unwrap()
    })
}

#[test]
fn forwarded_addresses_reach_instances_from_everywhere() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let outside = lxd_testkit::Netns::new();
    let cable = ["link", "add", "cab0", "type", "veth", "peer", "name", "cab0", "netns", &outside.name];
    host(&daemon, "ip", &cable);
    host(&daemon, "ip", &["addr", "add", "192.0.2.254/24", "dev", "cab0"]);
    host(&daemon, "ip", &["addr", "add", "192.0.2.1/32", "dev", "cab0"]);
    host(&daemon, "ip", &["link", "set", "cab0", "up"]);
    for args in [&["addr", "add", "192.0.2.9/24", "dev", "cab0"][..], &["link", "set", "cab0", "up"]] {
        assert!(outside.command("ip").args(args).status().unwrap().success());
    }
    let config = json!({"ipv4.address": "10.77.8.1/24", "ipv4.nat": "true", "ipv6.address": "none"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "fwbr0", "config": config}));
    let before = World::of(&daemon);
    let nic =
        json!({"eth0": {"type": "nic", "network": "fwbr0", "name": "eth0", "ipv4.address": "10.77.8.7"}});
    daemon.create("c1", &json!({"devices": nic}));
    daemon.state("c1", "start", "");
    let _services = [Service::start(&daemon, "c1", "8080"), Service::start(&daemon, "c1", "9000")];

    daemon.lxc_ok(&["network", "forward", "create", "fwbr0", "192.0.2.1"]);
    daemon.lxc_ok(&[
        "network",
        "forward",
        "port",
        "add",
        "fwbr0",
        "192.0.2.1",
        "tcp",
        "80,90-95",
        "10.77.8.7",
        "8080",
    ]);
    let reached = |port: u16| said(&outside.name, "192.0.2.1", port);
    wait_for("an answer of the forwarded port", 30, || reached(80).filter(|text| text == "c1-8080"));
    assert_eq!(reached(93).as_deref(), Some("c1-8080"));
    assert_eq!(reached(9000), None, "what is not forwarded is not there");
    assert_eq!(said(&daemon.netns.name, "192.0.2.1", 80).as_deref(), Some("c1-8080"), "from the host");

    // What no port takes goes to the default target; a restart keeps it all.
    daemon.lxc_ok(&["network", "forward", "set", "fwbr0", "192.0.2.1", "target_address=10.77.8.7"]);
    assert_eq!(reached(9000).as_deref(), Some("c1-9000"));
    host(&daemon, "nft", &["flush", "chain", "inet", "lxd", "fwdprert.fwbr0"]);
    daemon.restart();
    assert_eq!(reached(80).as_deref(), Some("c1-8080"));

    let all = daemon.get("/1.0/networks/fwbr0/forwards").metadata();
    assert_eq!(all, json!(["/1.0/networks/fwbr0/forwards/192.0.2.1"]));
    let forward = daemon.get("/1.0/networks/fwbr0/forwards/192.0.2.1").metadata();
    assert_eq!(forward["ports"][0]["listen_port"], "80,90-95");
    assert!(
        daemon
            .lxc_ok(&["network", "forward", "list", "fwbr0", "--format", "csv"])
            .contains("192.0.2.1,,10.77.8.7,1")
    );

    // A wrong change keeps the previous state.
    for (port, wanted) in [
        (
            json!({"protocol": "tcp", "listen_port": "70000", "target_address": "10.77.8.7"}),
            "Invalid port number: 70000",
        ),
        (
            json!({"protocol": "tcp", "listen_port": "1", "target_address": "10.78.8.7"}),
            "not within the network subnet",
        ),
        (
            json!({"protocol": "tcp; drop", "listen_port": "1", "target_address": "10.77.8.7"}),
            "protocol must be one of",
        ),
    ] {
        let error =
            daemon.fails("PATCH", "/1.0/networks/fwbr0/forwards/192.0.2.1", &json!({"ports": [port]}));
        assert!(error.starts_with("Failed updating forward: ") && error.contains(wanted), "{error}");
    }
    assert_eq!(daemon.get("/1.0/networks/fwbr0/forwards/192.0.2.1").metadata(), forward);
    let error = daemon.fails("POST", "/1.0/networks/fwbr0/forwards", &json!({"listen_address": "192.0.2.1"}));
    assert_eq!(error, "Failed creating forward: A forward for that listen address already exists");

    // Nobody else can take the address, and a network only what is its own.
    let other = json!({"ipv4.address": "10.77.9.1/24", "ipv6.address": "none"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "fwbr2", "config": other}));
    for (network, listen, wanted) in [
        ("fwbr2", "192.0.2.1", "overlaps with another network or NIC"),
        ("fwbr2", "10.77.8.9", "overlaps with another network or NIC"),
        ("fwbr2", "10.77.9.1", "is the address of the network itself"),
        ("fwbr2", "127.0.0.1", "cannot be forwarded"),
    ] {
        let path = format!("/1.0/networks/{network}/forwards");
        let error = daemon.fails("POST", &path, &json!({"listen_address": listen}));
        assert!(error.starts_with("Failed creating forward: ") && error.contains(wanted), "{error}");
    }
    daemon.ok("DELETE", "/1.0/networks/fwbr2", &Value::Null);

    // Renamed, it goes along; removed, nothing is left.
    daemon.remove("c1");
    daemon.ok("POST", "/1.0/networks/fwbr0", &json!({"name": "fwbr1"}));
    assert!(host(&daemon, "nft", &["list", "chain", "inet", "lxd", "fwdprert.fwbr1"]).contains("192.0.2.1"));
    daemon.ok("POST", "/1.0/networks/fwbr1", &json!({"name": "fwbr0"}));
    daemon.lxc_ok(&["network", "forward", "port", "remove", "fwbr0", "192.0.2.1", "tcp"]);
    daemon.lxc_ok(&["network", "forward", "delete", "fwbr0", "192.0.2.1"]);
    assert!(!host(&daemon, "nft", &["list", "table", "inet", "lxd"]).contains("192.0.2.1"));
    let error = daemon.fails("DELETE", "/1.0/networks/fwbr0/forwards/192.0.2.1", &Value::Null);
    assert_eq!(error, "Failed deleting forward: Network forward not found");
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}
