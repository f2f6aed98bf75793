//! A managed bridge with all its parts in a network namespace of its own (needs root, dnsmasq, nft).

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lxd_host::netlink::{Netlink, NewVeth};
use lxd_host::{Cmd, RealRunner, Runner};
use lxd_network::bridge::hosts::StaticHost;
use lxd_network::bridge::{BridgeSpec, Bridges};
use lxd_testkit::wait_for;
use lxd_types::Mac;
use lxd_types::names::{NetworkName, ProjectName};

/// A process with a network namespace, standing in for a container, with an `eth0` on the bridge.
struct Guest(Child);

impl Guest {
    async fn join(netlink: &Netlink, bridge: &str, mac: &str) -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "100"]).spawn().unwrap();
        let path = format!("/proc/{}/ns/net", child.id());
        let host = std::fs::read_link("/proc/self/ns/net").unwrap();
        wait_for("the guest's namespace", 10, || {
            std::fs::read_link(&path).is_ok_and(|ns| ns != host).then_some(())
        });
        let namespace = std::fs::File::open(&path).unwrap();
        let master = netlink.require(bridge).await.unwrap().index;
        let veth = NewVeth {
            name: &format!("veth{}", child.id()),
            peer: "eth0",
            mtu: None,
            peer_mac: Some(mac.parse().unwrap()),
            master: Some(master),
            peer_namespace: Some(namespace.as_fd()),
        };
        netlink.create_veth(&veth).await.unwrap();
        let there = Netlink::open_in(namespace.as_fd()).unwrap();
        there.set_up("eth0").await.unwrap();
        there.set_up("lo").await.unwrap();
        Self(child)
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        std::thread::scope(|scope| {
            let enter = || {
                let kind = rustix::thread::LinkNameSpaceType::Network;
                rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind)).unwrap();
                work()
            };
            scope.spawn(enter).join().unwrap()
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for an address as a DHCP client does, with the rapid commit option: one question, one acknowledgement.
fn dhcp(mac: &str, name: &str) -> Ipv4Addr {
    let mac: Mac = mac.parse().unwrap();
    let socket = UdpSocket::bind("0.0.0.0:68").unwrap();
    socket.set_broadcast(true).unwrap();
    // Without an address there is no route to the broadcast address yet.
    Command::new("ip").args(["route", "replace", "255.255.255.255/32", "dev", "eth0"]).status().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut packet = vec![1, 1, 6, 0, 0xca, 0xfe, 0, 1, 0, 0, 0x80, 0];
    packet.extend([0; 16]);
    packet.extend(mac.bytes());
    packet.extend([0; 10 + 192]);
    packet.extend([99, 130, 83, 99, 53, 1, 1, 80, 0, 12, name.len() as u8]);
    packet.extend(name.as_bytes());
    packet.push(255);
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        socket.send_to(&packet, "255.255.255.255:67").unwrap();
        let mut answer = [0; 1500];
        if let Ok(length) = socket.recv(&mut answer)
            && length > 240
            && answer[4..8] == packet[4..8]
        {
            return Ipv4Addr::new(answer[16], answer[17], answer[18], answer[19]);
        }
    }
    panic!("no DHCP answer");
}

/// Asks the DNS service for the address of a name.
fn resolve(server: &str, name: &str) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    socket.send_to(&packet, (server, 53)).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    (answer[7] > 0).then(|| {
        Ipv4Addr::new(answer[length - 4], answer[length - 3], answer[length - 2], answer[length - 1])
    })
}

fn spec(pairs: &[(&str, &str)]) -> BridgeSpec {
    let config = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    BridgeSpec::new(&"ntbr0".parse().unwrap(), &config, Mac::instance([1, 2, 3])).unwrap()
}

fn host(mac: &str, ipv4: Option<&str>) -> StaticHost {
    StaticHost {
        project: ProjectName::default_project(),
        instance: "c1".parse().unwrap(),
        device: "eth0".parse().unwrap(),
        mac: mac.parse().unwrap(),
        ipv4: ipv4.map(|text| text.parse().unwrap()),
        ipv6: None,
        fix_ipv4: false,
        fix_ipv6: false,
    }
}

async fn run(program: &str, args: &[&str]) -> String {
    RealRunner.run(Cmd::new(program).args(args)).await.unwrap().text()
}

fn bridges(root: &std::path::Path) -> Bridges {
    Bridges::new(Arc::new(RealRunner), Netlink::open().unwrap(), root.to_owned(), None)
}

const MAC: &str = "00:16:3e:aa:00:01";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_lives() {
    if !lxd_testkit::isolated::inside("a_bridge_lives") {
        return;
    }
    let temp = tempfile::Builder::new().prefix("nt").tempdir().unwrap();
    // The service is not root: it must reach its directory.
    std::fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let name: NetworkName = "ntbr0".parse().unwrap();
    run(
        "nft",
        &["add table inet other; add chain inet other mine; add rule inet other mine tcp dport 9 drop"],
    )
    .await;
    let others = run("nft", &["list", "table", "inet", "other"]).await;
    let net = bridges(temp.path());
    let config = [
        ("ipv4.address", "10.77.5.1/24"),
        ("ipv4.nat", "true"),
        ("ipv6.address", "fd77:5::1/64"),
        ("ipv6.nat", "true"),
    ];
    let begin = Instant::now();
    net.start(&spec(&config), &[]).await.unwrap();
    println!("start of a bridge: {:?}", begin.elapsed());
    let begin = Instant::now();
    net.start(&spec(&config), &[]).await.unwrap();
    println!("again: {:?}", begin.elapsed());

    let rules = run("nft", &["list", "chain", "inet", "lxd", "pstrt.ntbr0"]).await;
    assert!(rules.contains("ip saddr 10.77.5.0/24 ip daddr != 10.77.5.0/24 masquerade"), "{rules}");
    assert!(rules.contains("ip6 saddr fd77:5::/64 ip6 daddr != fd77:5::/64 masquerade"), "{rules}");

    net.set_host(&name, &host(MAC, None)).await.unwrap();
    let guest = Guest::join(net.netlink(), "ntbr0", MAC).await;
    let address = guest.inside(|| dhcp(MAC, "evil"));
    assert!(address.to_string().starts_with("10.77.5."), "{address}");
    assert_eq!(resolve("10.77.5.1", "c1.lxd"), Some(address), "the managed name");
    assert_eq!(resolve("10.77.5.1", "evil.lxd"), None, "the client's own name");
    let leases = net.leases(&name).await.unwrap();
    assert!(
        leases
            .iter()
            .any(|l| l.address == address && l.mac == Some(MAC.parse().unwrap()) && l.hostname == "c1")
    );

    // A fixed address is told to the running service.
    net.set_host(&name, &host(MAC, Some("10.77.5.200"))).await.unwrap();
    let pid = net.service_pid(&name).await.unwrap();
    wait_for("the fixed address", 10, || {
        (guest.inside(|| dhcp(MAC, "x")).to_string() == "10.77.5.200").then_some(())
    });

    // A new daemon finds the service and leaves it alone.
    let again = bridges(temp.path());
    again.start(&spec(&config), &[host(MAC, Some("10.77.5.200"))]).await.unwrap();
    assert_eq!(again.service_pid(&name).await, Some(pid));
    drop(net);

    // Changed live: the guest stays on the bridge.
    let changed = [("ipv4.address", "10.77.6.1/24"), ("ipv4.routes", "10.78.0.0/24"), ("bridge.mtu", "1400")];
    again.start(&spec(&changed), &[]).await.unwrap();
    assert_ne!(again.service_pid(&name).await, Some(pid));
    let netlink = again.netlink().clone();
    let bridge = netlink.require("ntbr0").await.unwrap();
    assert_eq!(bridge.mtu, 1400);
    assert!(netlink.links().await.unwrap().iter().any(|link| link.master == Some(bridge.index)));
    let rules = run("nft", &["list", "ruleset"]).await;
    assert!(!rules.contains("masquerade") && rules.contains("chain fwd.ntbr0"), "{rules}");

    // A service that dies is started again.
    let pid = again.service_pid(&name).await.unwrap();
    run("kill", &["-9", &pid.to_string()]).await;
    let end = Instant::now() + Duration::from_secs(10);
    while again.service_pid(&name).await == Some(pid) {
        assert!(Instant::now() < end, "the service is not started again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(resolve("10.77.6.1", "_gateway.lxd").map(|a| a.to_string()).as_deref(), Some("10.77.6.1"));

    // What dnsmasq refuses is told in its words.
    let error = again
        .start(&spec(&[("ipv4.address", "10.77.6.1/24"), ("raw.dnsmasq", "garbage")]), &[])
        .await
        .unwrap_err();
    assert!(error.chain().contains("exited prematurely"), "{error:?}");
    assert!(error.chain().contains("bad option at line 1 of"), "{error:?}");
    again.start(&spec(&changed), &[]).await.unwrap();

    let new: NetworkName = "ntbr1".parse().unwrap();
    let renamed = BridgeSpec { name: new.clone(), ..spec(&changed) };
    again.rename(&name, &renamed, &[]).await.unwrap();
    assert!(netlink.link("ntbr0").await.unwrap().is_none() && netlink.link("ntbr1").await.unwrap().is_some());
    assert!(!temp.path().join("ntbr0").exists());

    again.delete(&new).await.unwrap();
    again.delete(&new).await.unwrap();
    assert!(netlink.link("ntbr1").await.unwrap().is_none());
    assert_eq!(run("nft", &["list", "table", "inet", "other"]).await, others);
    assert!(!run("nft", &["list", "ruleset"]).await.contains("ntbr"));
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    drop(guest);
}
