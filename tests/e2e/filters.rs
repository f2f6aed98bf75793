//! A matrix of frames against the filters of a bridged interface: what an instance may send, by source addresses, kind of
//! packet, direction and combination of keys. What shall pass is said by [`passes`], without a look at any rule.
//!
//! `LXD_MATRIX_OF=/usr/bin/lxd` asks the original the same, and prints where it judges otherwise.

mod frames;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use lxd_testkit::Daemon;
use serde_json::json;

use frames::{Addresses, Frame, Kind, Source};

/// Which filters are on.
#[derive(Clone, Copy, Debug)]
struct Keys {
    mac: bool,
    ipv4: bool,
    ipv6: bool,
}

/// Whence the interface has its addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Given {
    /// They are set.
    Static,
    /// The network chooses them, because a filter needs them.
    Chosen,
    /// There are none: nothing of the family may pass.
    None,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Host,
    Port,
}

/// Whether a frame shall pass with the driver xtables; `None` when this test does not see it: messages of neighbours are judged
/// by ip6tables, which sees them by way of `br_netfilter`, and that takes the numbers from the frames.
fn passes_xtables(frame: &Frame, keys: Keys, given: Given, side: Side) -> Option<bool> {
    match frame.kind {
        Kind::Solicitation | Kind::Advertisement { .. } | Kind::HiddenNeighbour => None,
        Kind::Tagged { .. } => {
            let mac = keys.mac || keys.ipv4 || keys.ipv6;
            Some(!(keys.ipv4 || keys.ipv6) && (!mac || frame.own_mac))
        }
        _ => Some(passes(frame, keys, given, side)),
    }
}

/// Whether a frame shall pass.
fn passes(frame: &Frame, keys: Keys, given: Given, side: Side) -> bool {
    // Both other filters are worth nothing with another's hardware address, so they switch this one on.
    let mac = keys.mac || keys.ipv4 || keys.ipv6;
    if mac && !(frame.own_mac && frame.own_inner_mac) {
        return false;
    }
    let own = |source: Source| given != Given::None && matches!(source, Source::Own | Source::Routed);
    let asks = given != Given::None && side == Side::Host;
    match frame.kind {
        // An extension header hides what is to be checked.
        Kind::HiddenNeighbour => !mac,
        Kind::Arp | Kind::Ipv4 => !keys.ipv4 || own(frame.source),
        Kind::Dhcp4 => !keys.ipv4 || own(frame.source) || (asks && frame.source == Source::Unspecified),
        Kind::Ipv6 | Kind::Solicitation => !keys.ipv6 || own(frame.source),
        Kind::Dhcp6 | Kind::RouterSolicitation => {
            !keys.ipv6 || own(frame.source) || (asks && frame.source == Source::LinkLocal)
        }
        Kind::Router => !keys.ipv6,
        // Judged by the address that it speaks for, not by its sender's.
        Kind::Advertisement { target } => !keys.ipv6 || own(target),
        // Behind a tag the filters see the packet of their own family, and nothing else.
        Kind::Tagged { ipv4 } => {
            !(keys.ipv4 || keys.ipv6) || (if ipv4 { keys.ipv4 } else { keys.ipv6 } && own(frame.source))
        }
        Kind::Other => !keys.ipv4 && !keys.ipv6,
    }
}

fn netns(daemon: &Daemon, instance: &str) -> String {
    let state = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata();
    format!("/proc/{}/ns/net", state["pid"])
}

/// The numbers of the frames that reached the host and the other port.
fn send(daemon: &Daemon, frames: &[Frame]) -> [BTreeSet<usize>; 2] {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/filter_frames.py");
    let host = format!("/run/netns/{}:mbr0", daemon.netns.name);
    let mut child = Command::new("python3")
        .args([script, &format!("{}:lan0", netns(daemon, "c1")), &host])
        .arg(format!("{}:lan0", netns(daemon, "c2")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut text = String::new();
    for (number, frame) in frames.iter().enumerate() {
        text += &frame.hex(number);
        text.push('\n');
    }
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    [(); 2].map(|()| {
        let numbers = lines.next().unwrap_or_default().split_whitespace();
        numbers.map(|number| number.parse().unwrap()).collect()
    })
}

/// Configures the interface; the addresses that it has.
fn configure(daemon: &Daemon, keys: Keys, given: Given) -> Addresses {
    let mut nic = json!({"type": "nic", "network": "mbr0", "name": "lan0", "hwaddr": "00:16:3e:11:22:33",
        "ipv4.routes": "198.51.100.0/24", "ipv6.routes": "fd99::/64"});
    let mut addresses = Addresses::default();
    for (key, on, family, address) in [
        ("security.mac_filtering", keys.mac, "", ""),
        ("security.ipv4_filtering", keys.ipv4, "ipv4.address", "10.77.4.50"),
        ("security.ipv6_filtering", keys.ipv6, "ipv6.address", "fd77:4::50"),
    ] {
        if on {
            nic[key] = json!("true");
        }
        match given {
            _ if family.is_empty() => {}
            Given::Static => nic[family] = json!(address),
            Given::None if on => nic[family] = json!("none"),
            Given::None | Given::Chosen => {}
        }
    }
    let mut whole = daemon.get("/1.0/instances/c1").metadata();
    whole["devices"] = json!({"lan": nic});
    daemon.ok("PUT", "/1.0/instances/c1", &whole);
    if given == Given::Chosen {
        let file = daemon.lxd_dir().join("networks/mbr0/dnsmasq.hosts/c1.lan");
        let entry = std::fs::read_to_string(file).unwrap_or_default();
        for word in entry.trim().split(',') {
            if let Ok(address) = word.parse::<Ipv4Addr>() {
                addresses.ipv4 = address;
            }
            if let Ok(address) = word.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
                addresses.ipv6 = address;
            }
        }
    }
    addresses
}

/// Whether the rules for routed packets see those on bridges. While frames are sent they do not: the kernel would put
/// fragments together, and wait for those that this test never sends. The original sets filters only where they do.
fn bridge_netfilter(daemon: &Daemon, on: bool) {
    for key in ["iptables", "ip6tables", "arptables"] {
        let set =
            format!("f=/proc/sys/net/bridge/bridge-nf-call-{key}; [ ! -e $f ] || echo {} > $f", u8::from(on));
        let done = daemon.netns.command("sh").args(["-c", &set]).status();
        assert!(done.is_ok_and(|status| status.success()));
    }
}

/// What is judged otherwise than it shall be, for one combination.
fn judge(daemon: &Daemon, keys: Keys, given: Given, xtables: bool) -> Vec<String> {
    bridge_netfilter(daemon, true);
    let frames = frames::all(&configure(daemon, keys, given));
    bridge_netfilter(daemon, false);
    let arrived = send(daemon, &frames);
    let mut wrong = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        for (side, arrived) in [Side::Host, Side::Port].into_iter().zip(&arrived) {
            // One that is addressed to one side does not come to the other anyway.
            let goes_there = frame.to.is_none_or(|to| to == side);
            let passes = match xtables {
                true => passes_xtables(frame, keys, given, side),
                false => Some(passes(frame, keys, given, side)),
            };
            let Some(passes) = passes else { continue };
            let (shall, does) = (goes_there && passes, arrived.contains(&number));
            if shall != does {
                let verb = if does { "passes" } else { "is held back" };
                wrong.push(format!("{keys:?} {given:?}: {} to {side:?} {verb}", frame.name));
            }
        }
    }
    wrong
}

#[test]
fn each_kind_of_frame_is_judged_as_it_shall_be() {
    let original = std::env::var_os("LXD_MATRIX_OF");
    let daemon = match &original {
        Some(program) => Daemon::start_program(program.into(), &[]),
        None => Daemon::start(),
    };
    matrix(daemon, original.is_some(), false);
}

#[test]
fn the_other_driver_judges_as_it_shall() {
    if let Some(tools) = crate::xtables::Tools::prepare("nft") {
        matrix(tools.daemon(), false, true);
    }
}

fn matrix(daemon: Daemon, original: bool, xtables: bool) {
    let daemon = daemon.with_pool_and_image();
    let config = json!({"ipv4.address": "10.77.4.1/24", "ipv6.address": "fd77:4::1/64", "ipv6.dhcp.stateful": "true",
        "bridge.hwaddr": "00:16:3e:00:00:01"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "mbr0", "config": config}));
    let nic = |mac: &str| json!({"lan": {"type": "nic", "network": "mbr0", "name": "lan0", "hwaddr": mac}});
    for (name, mac) in [("c1", "00:16:3e:11:22:33"), ("c2", "00:16:3e:00:00:02")] {
        daemon.create(name, &json!({"devices": nic(mac)}));
        daemon.state(name, "start", "");
        let up = ["--net".to_owned() + "=" + &netns(&daemon, name)];
        let done = Command::new("nsenter").args(up).args(["ip", "link", "set", "lan0", "up"]).status();
        assert!(done.is_ok_and(|status| status.success()));
    }
    let mut wrong: Vec<String> = Vec::new();
    for given in [Given::Static, Given::Chosen, Given::None] {
        if original && given == Given::Chosen {
            continue;
        }
        for bits in 0..8_u8 {
            let keys = Keys { mac: bits & 1 != 0, ipv4: bits & 2 != 0, ipv6: bits & 4 != 0 };
            wrong.extend(judge(&daemon, keys, given, xtables));
        }
    }
    for name in ["c1", "c2"] {
        daemon.remove(name);
    }
    daemon.ok("DELETE", "/1.0/networks/mbr0", &json!({}));
    match original {
        true => println!("{} judged otherwise:\n{}", wrong.len(), wrong.join("\n")),
        false => assert!(wrong.is_empty(), "{} judged wrongly:\n{}", wrong.len(), wrong.join("\n")),
    }
}
