//! dnsmasq's file of leases. What stands in it comes from the clients: names are theirs.

use std::net::IpAddr;

use lxd_types::Mac;

/// More than this is not read, in bytes.
pub const MAX_FILE: u64 = 16 << 20;

/// A lease that dnsmasq gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// The client's hardware address; for IPv6 as far as its identity tells it.
    pub mac: Option<Mac>,
    /// The address.
    pub address: IpAddr,
    /// The name that the client gave or that we gave it; empty when unknown.
    pub hostname: String,
    /// When it ends, in seconds since 1970; 0 is never.
    pub expires: u64,
}

/// Reads the file; lines that are no leases are left out.
///
/// A line is `EXPIRY MAC ADDRESS NAME CLIENT-ID`; for DHCPv6 (behind the line `duid …`) `EXPIRY IAID ADDRESS NAME DUID`.
pub fn parse(text: &str) -> Vec<Lease> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Lease> {
    let mut fields = line.split_ascii_whitespace();
    let expires = fields.next()?.parse().ok()?;
    let (identity, address, name) = (fields.next()?, fields.next()?, fields.next()?);
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    let mac = match address {
        IpAddr::V4(_) => hardware(identity),
        IpAddr::V6(_) => fields.next().and_then(mac_of_duid),
    };
    let hostname = if name == "*" || !is_host_name(name) { String::new() } else { name.to_owned() };
    Some(Lease { mac, address, hostname, expires })
}

/// The address of an Ethernet client; other kinds are written with their number in front (`20-…`).
fn hardware(text: &str) -> Option<Mac> {
    text.parse().ok()
}

/// DUIDs of the kinds "link-layer address plus time" and "link-layer address" end in the hardware address.
fn mac_of_duid(text: &str) -> Option<Mac> {
    let bytes = text.split(':').map(|b| u8::from_str_radix(b, 16).ok()).collect::<Option<Vec<u8>>>()?;
    match bytes.as_slice() {
        [0, 1, 0, 1, _, _, _, _, mac @ ..] | [0, 3, 0, 1, mac @ ..] => {
            Some(Mac::from_bytes(mac.try_into().ok()?))
        }
        _ => None,
    }
}

/// Names reach terminals and other clients: only what a host may be called is shown.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_families_are_read() {
        let text = "1795267900 00:16:3e:95:4a:a5 10.77.0.20 c1 01:00:16:3e:95:4a:a5\n\
                    1795267900 00:16:3e:00:00:02 10.77.0.21 * *\n\
                    duid 00:01:00:01:32:94:46:83:6e:d0:03:49:9a:0f\n\
                    1795267900 5261 fd77:1::20 c1 00:01:00:01:2a:94:46:83:00:16:3e:95:4a:a5\n\
                    0 77 [fd77:1::21] c2 00:02:00:00:ab:11\n";
        let leases = parse(text);
        let shown: Vec<_> =
            leases.iter().map(|l| (l.address.to_string(), l.hostname.as_str(), l.mac)).collect();
        let mac = |t: &str| t.parse().ok();
        assert_eq!(
            shown,
            [
                ("10.77.0.20".to_owned(), "c1", mac("00:16:3e:95:4a:a5")),
                ("10.77.0.21".to_owned(), "", mac("00:16:3e:00:00:02")),
                ("fd77:1::20".to_owned(), "c1", mac("00:16:3e:95:4a:a5")),
                ("fd77:1::21".to_owned(), "c2", None),
            ]
        );
    }

    #[test]
    fn names_that_are_none_are_not_shown() {
        let leases = parse("1 00:16:3e:00:00:02 10.0.0.2 \u{1b}[31mred *\n");
        assert_eq!(leases[0].hostname, "");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*") {
            parse(&text);
        }

        #[test]
        fn any_fields_are_read(fields in proptest::collection::vec("[0-9a-f:.*\\[\\] \n-]{0,20}", 0..40)) {
            for lease in parse(&fields.join(" ")) {
                prop_assert!(is_host_name(&lease.hostname));
            }
        }
    }
}
