//! The frames of the matrix: each with what the judge has to know of it.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Side;

const OWN: [u8; 6] = [0x00, 0x16, 0x3e, 0x11, 0x22, 0x33];
/// Of nobody: the bridge would learn another's place otherwise.
const FORGED: [u8; 6] = [0x02, 0, 0, 0, 0, 0x66];
const HOST: [u8; 6] = [0x00, 0x16, 0x3e, 0, 0, 0x01];
const PORT: [u8; 6] = [0x00, 0x16, 0x3e, 0, 0, 0x02];
const ALL: [u8; 6] = [0xff; 6];
const ALL_NODES: &str = "ff02::1";

/// Whose address a frame claims to come from, or speaks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    Own,
    /// In a network that is routed to the instance.
    Routed,
    /// Another's of the same network.
    Forged,
    Unspecified,
    LinkLocal,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Arp,
    Ipv4,
    Dhcp4,
    Ipv6,
    Dhcp6,
    RouterSolicitation,
    /// Advertisements and redirections of routers.
    Router,
    Solicitation,
    Advertisement {
        target: Source,
    },
    /// A message of neighbour discovery behind an extension header.
    HiddenNeighbour,
    /// An IP packet behind the tag of a VLAN.
    Tagged {
        ipv4: bool,
    },
    /// Of another protocol, or ARP behind a tag.
    Other,
}

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    pub name: String,
    pub kind: Kind,
    pub source: Source,
    /// Whether the sender of the frame is the interface itself.
    pub own_mac: bool,
    /// Whether what the packet says of hardware addresses is true.
    pub own_inner_mac: bool,
    /// Whom it is for; everybody when none.
    pub to: Option<Side>,
    bytes: Vec<u8>,
}

impl Frame {
    /// With its number at the end, which is behind the packet and so padding.
    pub fn hex(&self, number: usize) -> String {
        let mut bytes = self.bytes.clone();
        bytes.extend(b"LXDM");
        bytes.extend(u32::try_from(number).expect("there are few").to_be_bytes());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The addresses that the interface has.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { ipv4: Ipv4Addr::new(10, 77, 4, 50), ipv6: "fd77:4::50".parse().expect("it is an address") }
    }
}

impl Addresses {
    fn v4(&self, source: Source) -> Ipv4Addr {
        match source {
            Source::Own => self.ipv4,
            Source::Routed => Ipv4Addr::new(198, 51, 100, 7),
            Source::Forged => Ipv4Addr::new(10, 77, 4, 66),
            Source::Unspecified => Ipv4Addr::UNSPECIFIED,
            Source::LinkLocal => Ipv4Addr::new(169, 254, 1, 1),
        }
    }

    fn v6(&self, source: Source) -> Ipv6Addr {
        let text = match source {
            Source::Own => return self.ipv6,
            Source::Routed => "fd99::7",
            Source::Forged => "fd77:4::66",
            Source::Unspecified => "::",
            Source::LinkLocal => "fe80::216:3eff:fe11:2233",
        };
        text.parse().expect("it is an address")
    }
}

const SOURCES: [Source; 5] =
    [Source::Own, Source::Routed, Source::Forged, Source::Unspecified, Source::LinkLocal];

/// All frames for an interface with these addresses.
pub fn all(addresses: &Addresses) -> Vec<Frame> {
    let mut made = Vec::new();
    for own_mac in [true, false] {
        let sender = if own_mac { OWN } else { FORGED };
        for source in SOURCES {
            made.extend(of_ipv4(addresses, source, sender));
            made.extend(of_ipv6(addresses, source, sender));
            made.extend(neighbours(addresses, source, sender));
            made.extend(tagged(addresses, source, sender));
        }
        made.extend(others(addresses, sender));
    }
    made
}

struct Draft<'a> {
    name: String,
    kind: Kind,
    source: Source,
    sender: [u8; 6],
    receiver: [u8; 6],
    protocol: u16,
    body: &'a [u8],
}

impl Draft<'_> {
    fn frame(self, own_inner_mac: bool) -> Frame {
        let own_mac = self.sender == OWN;
        let mut bytes = self.receiver.to_vec();
        bytes.extend(self.sender);
        bytes.extend(self.protocol.to_be_bytes());
        bytes.extend(self.body);
        let to = match self.receiver {
            HOST => Some(Side::Host),
            PORT => Some(Side::Port),
            _ => None,
        };
        let whose = if own_mac { "own" } else { "forged" };
        let name = format!("{} from {:?} ({whose} mac, for {to:?})", self.name, self.source);
        Frame { name, kind: self.kind, source: self.source, own_mac, own_inner_mac, to, bytes }
    }
}

fn of_ipv4(addresses: &Addresses, source: Source, sender: [u8; 6]) -> Vec<Frame> {
    let address = addresses.v4(source);
    let mut made = Vec::new();
    for (inner, inner_name) in [(OWN, "own"), (FORGED, "forged")] {
        for (operation, receiver) in [(1_u16, ALL), (2, HOST), (2, PORT)] {
            let body = arp(operation, inner, address);
            let name = format!("ARP {operation} with {inner_name} hardware address");
            let draft =
                Draft { name, kind: Kind::Arp, source, sender, receiver, protocol: 0x0806, body: &body };
            made.push(draft.frame(inner == OWN));
        }
    }
    let mut add = |name: &str, kind, receiver, body: Vec<u8>| {
        let draft =
            Draft { name: name.to_owned(), kind, source, sender, receiver, protocol: 0x0800, body: &body };
        made.push(draft.frame(true));
    };
    let target = Ipv4Addr::new(10, 77, 4, 1);
    for receiver in [HOST, PORT] {
        add("IPv4 UDP", Kind::Ipv4, receiver, ipv4(address, target, 17, 0, &udp(1000, 9)));
        add("IPv4 later fragment", Kind::Ipv4, receiver, ipv4(address, target, 17, 185, &[0; 16]));
        add("IPv4 first fragment", Kind::Ipv4, receiver, ipv4(address, target, 17, 0x2000, &udp(1000, 9)));
    }
    add("DHCP", Kind::Dhcp4, ALL, ipv4(address, Ipv4Addr::BROADCAST, 17, 0, &udp(68, 67)));
    add("no DHCP", Kind::Ipv4, ALL, ipv4(address, Ipv4Addr::BROADCAST, 17, 0, &udp(68, 69)));
    made
}

fn of_ipv6(addresses: &Addresses, source: Source, sender: [u8; 6]) -> Vec<Frame> {
    let address = addresses.v6(source);
    let target: Ipv6Addr = "fd77:4::1".parse().expect("it is an address");
    let mut made = Vec::new();
    let mut add = |name: &str, kind, receiver, body: Vec<u8>| {
        let draft =
            Draft { name: name.to_owned(), kind, source, sender, receiver, protocol: 0x86dd, body: &body };
        made.push(draft.frame(true));
    };
    for receiver in [HOST, PORT] {
        add("IPv6 UDP", Kind::Ipv6, receiver, ipv6(address, target, 17, &udp(1000, 9)));
        add("IPv6 ping", Kind::Ipv6, receiver, ipv6(address, target, 58, &[128, 0, 0, 0, 0, 1, 0, 1]));
        add(
            "IPv6 later fragment",
            Kind::Ipv6,
            receiver,
            ipv6(address, target, 44, &fragment(17, 1448, &[0; 16])),
        );
        add(
            "IPv6 UDP behind options",
            Kind::Ipv6,
            receiver,
            ipv6(address, target, 60, &options(17, &udp(1, 9))),
        );
    }
    let group = |text: &str| -> Ipv6Addr { text.parse().expect("it is an address") };
    add("DHCPv6", Kind::Dhcp6, multicast("ff02::1:2"), ipv6(address, group("ff02::1:2"), 17, &udp(546, 547)));
    let solicitation = ipv6(address, group("ff02::2"), 58, &[133, 0, 0, 0, 0, 0, 0, 0]);
    add("RS", Kind::RouterSolicitation, multicast("ff02::2"), solicitation);
    let advertisement = [&[134, 0, 0, 0, 64, 0, 7, 8][..], &[0; 8]].concat();
    add("RA", Kind::Router, multicast(ALL_NODES), ipv6(address, group(ALL_NODES), 58, &advertisement));
    let redirection = [&[137, 0, 0, 0, 0, 0, 0, 0][..], &[0xfd; 32]].concat();
    add("redirect", Kind::Router, PORT, ipv6(address, group("fd77:4::2"), 58, &redirection));
    made
}

/// Solicitations and advertisements of neighbours, plain and hidden.
fn neighbours(addresses: &Addresses, source: Source, sender: [u8; 6]) -> Vec<Frame> {
    let address = addresses.v6(source);
    let group: Ipv6Addr = ALL_NODES.parse().expect("it is an address");
    let mut made = Vec::new();
    for (inner, inner_name) in [(OWN, "own"), (FORGED, "forged")] {
        let mut add = |name: String, kind, body: Vec<u8>| {
            let name = format!("{name} with {inner_name} hardware address");
            let receiver = multicast(ALL_NODES);
            let draft = Draft { name, kind, source, sender, receiver, protocol: 0x86dd, body: &body };
            made.push(draft.frame(inner == OWN));
        };
        let asked: Ipv6Addr = "fd77:4::2".parse().expect("it is an address");
        add("NS".to_owned(), Kind::Solicitation, ipv6(address, group, 58, &neighbour(135, asked, 1, inner)));
        for target in [Source::Own, Source::Routed, Source::Forged, Source::LinkLocal] {
            let message = neighbour(136, addresses.v6(target), 2, inner);
            let plain = ipv6(address, group, 58, &message);
            add(format!("NA of {target:?}"), Kind::Advertisement { target }, plain);
            let hidden = ipv6(address, group, 60, &options(58, &message));
            add(format!("NA of {target:?} behind options"), Kind::HiddenNeighbour, hidden);
            let torn = ipv6(address, group, 44, &fragment(58, 1, &message));
            add(format!("NA of {target:?} in a fragment"), Kind::HiddenNeighbour, torn);
        }
    }
    made
}

/// A tag and what is behind it.
fn tag(protocol: u16, body: &[u8]) -> Vec<u8> {
    [&[0, 5][..], &protocol.to_be_bytes(), body].concat()
}

fn tagged(addresses: &Addresses, source: Source, sender: [u8; 6]) -> Vec<Frame> {
    let four = ipv4(addresses.v4(source), Ipv4Addr::new(10, 77, 4, 1), 17, 0, &udp(1, 9));
    let target: Ipv6Addr = "fd77:4::1".parse().expect("it is an address");
    let six = ipv6(addresses.v6(source), target, 17, &udp(1, 9));
    let mut made = Vec::new();
    for (name, protocol, ipv4, body) in [
        ("IPv4 with a VLAN tag", 0x8100, true, tag(0x0800, &four)),
        ("IPv6 with a VLAN tag", 0x8100, false, tag(0x86dd, &six)),
        ("IPv4 with a service tag", 0x88a8, true, tag(0x0800, &four)),
        ("IPv4 with two tags", 0x88a8, true, tag(0x8100, &tag(0x0800, &four))),
    ] {
        let kind = if name.contains("two") { Kind::Other } else { Kind::Tagged { ipv4 } };
        for receiver in [HOST, PORT] {
            let draft =
                Draft { name: name.to_owned(), kind, source, sender, receiver, protocol, body: &body };
            made.push(draft.frame(true));
        }
    }
    made
}

/// What the filters of addresses do not understand.
fn others(addresses: &Addresses, sender: [u8; 6]) -> Vec<Frame> {
    let (source, kind) = (Source::Own, Kind::Other);
    let mut made = Vec::new();
    for (name, protocol, body) in [
        ("ARP with a VLAN tag", 0x8100, tag(0x0806, &arp(1, OWN, addresses.ipv4))),
        ("RARP", 0x8035, vec![0; 28]),
        ("an experiment", 0x88b5, vec![0; 40]),
    ] {
        for receiver in [HOST, PORT] {
            let draft =
                Draft { name: name.to_owned(), kind, source, sender, receiver, protocol, body: &body };
            made.push(draft.frame(true));
        }
    }
    made
}

fn arp(operation: u16, sender: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4];
    body.extend(operation.to_be_bytes());
    body.extend(sender);
    body.extend(address.octets());
    body.extend([0; 6]);
    body.extend([10, 77, 4, 1]);
    body
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).expect("it is short");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 7]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(body);
    packet
}

/// The bridge looks at headers, but not at the checksums of what is behind them.
fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("a header is short")
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(body.len()).expect("it is short").to_be_bytes());
    packet.extend([next, 255]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(body);
    packet
}

fn udp(from: u16, to: u16) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0, 16, 0, 0], &[0; 8]].concat()
}

/// Options for the destination: those for each hop are looked at by the bridge itself.
fn options(next: u8, body: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0][..], body].concat()
}

/// `place`: the offset in units of 8 bytes times 8, and whether more follows in the lowest bit.
fn fragment(next: u8, place: u16, body: &[u8]) -> Vec<u8> {
    [&[next, 0][..], &place.to_be_bytes(), &[0, 0, 0, 9], body].concat()
}

fn neighbour(kind: u8, target: Ipv6Addr, option: u8, mac: [u8; 6]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0x20, 0, 0, 0][..], &target.octets(), &[option, 1], &mac].concat()
}

fn multicast(group: &str) -> [u8; 6] {
    let octets = group.parse::<Ipv6Addr>().expect("it is an address").octets();
    [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]]
}
