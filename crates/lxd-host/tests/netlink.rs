//! Links, addresses and routes in a real network namespace (needs root).

use std::os::fd::AsFd;
use std::process::{Child, Command};

use lxd_host::netlink::{Netlink, NewBridge, NewVeth, RouteOwner, RouteSpec};
use lxd_host::sysctl;
use lxd_types::{Cidr, Mac};

/// A process with a network namespace, standing in for a container.
struct Guest(Child);

impl Guest {
    fn start() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().unwrap();
        let host = std::fs::read_link("/proc/self/ns/net").unwrap();
        let path = format!("/proc/{}/ns/net", child.id());
        lxd_testkit::wait_for("the guest's namespace", 10, || {
            std::fs::read_link(&path).is_ok_and(|ns| ns != host).then_some(())
        });
        Self(child)
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

#[tokio::test]
async fn bridge_with_addresses_routes_and_a_guest() {
    if !lxd_testkit::isolated::inside("bridge_with_addresses_routes_and_a_guest") {
        return;
    }
    let net = Netlink::open().unwrap();
    let mac: Mac = "00:16:3e:01:02:03".parse().unwrap();
    net.create_bridge(&NewBridge { name: "br0", mac: Some(mac), mtu: Some(1400) }).await.unwrap();
    sysctl::write("net/ipv6/conf/br0/accept_dad", "0").unwrap();
    net.set_up("br0").await.unwrap();
    for address in ["10.77.9.1/24", "fd77:9::1/64"] {
        net.add_address("br0", cidr(address)).await.unwrap();
        net.add_address("br0", cidr(address)).await.unwrap();
    }
    let bridge = net.require("br0").await.unwrap();
    assert_eq!(
        (bridge.kind.as_deref(), bridge.mac, bridge.mtu, bridge.up),
        (Some("bridge"), Some(mac), 1400, true)
    );
    assert!(bridge.bridge.is_some_and(|b| !b.stp
        && b.forward_delay == 1500
        && b.address == Some(mac)
        && b.priority == 0x8000));

    let guest = Guest::start();
    let namespace = std::fs::File::open(format!("/proc/{}/ns/net", guest.pid())).unwrap();
    let veth = NewVeth {
        name: "veth77",
        peer: "eth0",
        mtu: Some(1400),
        peer_mac: Some("00:16:3e:0a:0b:0c".parse().unwrap()),
        master: Some(bridge.index),
        peer_namespace: Some(namespace.as_fd()),
    };
    net.create_veth(&veth).await.unwrap();
    assert_eq!(net.create_veth(&veth).await.unwrap_err().errno(), Some(libc::EEXIST));
    let host = net.require("veth77").await.unwrap();
    assert!(host.up && host.master == Some(bridge.index) && host.lower_elsewhere && host.mtu == 1400);
    let there = Netlink::open_in_process(guest.pid()).unwrap();
    let eth0 = there.require("eth0").await.unwrap();
    assert_eq!((eth0.mac, eth0.mtu), (veth.peer_mac, 1400));
    assert!(there.link("br0").await.unwrap().is_none());

    let addresses = net.addresses(Some(bridge.index)).await.unwrap();
    assert!(addresses.iter().any(|a| a.cidr == cidr("10.77.9.1/24")), "{addresses:?}");
    let spec = RouteSpec::new(cidr("10.88.0.0/24"), "br0", RouteOwner::Network);
    net.add_route(&spec).await.unwrap();
    net.add_route(&spec).await.unwrap();
    let six = RouteSpec::new(cidr("fd88::/64"), "br0", RouteOwner::Network);
    net.add_route(&six).await.unwrap();
    let routes = net.routes().await.unwrap();
    for wanted in [spec.destination, six.destination] {
        assert!(
            routes.iter().any(|r| r.is_static && r.destination == wanted && r.output == Some(bridge.index))
        );
    }
    net.delete_route(&spec).await.unwrap();
    net.delete_route(&spec).await.unwrap();
    net.delete_address("br0", cidr("10.77.9.1/24")).await.unwrap();
    net.delete_address("br0", cidr("10.77.9.1/24")).await.unwrap();
    assert!(net.addresses(Some(bridge.index)).await.unwrap().iter().all(|a| a.cidr != cidr("10.77.9.1/24")));

    let second = NewVeth { name: "veth78", peer: "peer78", peer_namespace: None, ..veth.clone() };
    net.create_veth(&second).await.unwrap();
    net.move_to("peer78", namespace.as_fd(), "eth1").await.unwrap();
    assert!(there.link("eth1").await.unwrap().is_some() && net.link("peer78").await.unwrap().is_none());
    net.delete_link("veth78").await.unwrap();
    assert!(there.link("eth1").await.unwrap().is_none());
    net.set_isolated("veth77", true).await.unwrap();
    assert_eq!(std::fs::read_to_string("/sys/class/net/veth77/brport/isolated").unwrap(), "1\n");
    net.set_master("veth77", None).await.unwrap();
    assert_eq!(net.require("veth77").await.unwrap().master, None);
    net.set_down("br0").await.unwrap();
    net.rename("br0", "br1").await.unwrap();
    net.delete_link("veth77").await.unwrap();
    net.delete_link("br1").await.unwrap();
    net.delete_link("br1").await.unwrap();
    assert!(
        net.links().await.unwrap().iter().all(|link| link.loopback || link.kind.as_deref() == Some("ifb"))
    );
}
