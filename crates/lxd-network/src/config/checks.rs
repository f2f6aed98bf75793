//! Rules for values of network keys beyond their type, in the words of the reference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lxd_types::{Cidr, Ipv4Cidr, Ipv6Cidr, Mac, ValueError};

use crate::name::check_interface;

/// Result of a check.
pub type Checked = Result<(), ValueError>;

fn refuse(text: String) -> Checked {
    Err(ValueError(text))
}

/// `none`, `auto`, or the address of the bridge with its prefix.
pub fn ipv4_address(value: &str) -> Checked {
    if matches!(value, "none" | "auto") { Ok(()) } else { ipv4_gateway(value) }
}

/// A host's address: neither that of the network, nor its broadcast address, nor one that is no host's.
fn usable_v4(cidr: Ipv4Cidr) -> bool {
    let address = cidr.address();
    address != cidr.network()
        && (address != cidr.last() || cidr.prefix() == 31)
        && !(address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

/// `none`, `auto`, or the address of the bridge with its prefix.
pub fn ipv6_address(value: &str) -> Checked {
    if matches!(value, "none" | "auto") { Ok(()) } else { ipv6_gateway(value) }
}

fn usable_v6(cidr: Ipv6Cidr) -> bool {
    let address = cidr.address();
    address != cidr.network()
        && !(address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// A plain IPv4 address.
pub fn ipv4(value: &str) -> Checked {
    value.parse::<Ipv4Addr>().map(|_| ()).or_else(|_| refuse(format!("Not an IPv4 address {value:?}")))
}

/// A plain IPv6 address.
pub fn ipv6(value: &str) -> Checked {
    value.parse::<Ipv6Addr>().map(|_| ()).or_else(|_| refuse(format!("Not an IPv6 address {value:?}")))
}

/// A plain address.
pub fn ip(value: &str) -> Checked {
    value.parse::<IpAddr>().map(|_| ()).or_else(|_| refuse(format!("Not an IP address {value:?}")))
}

/// Checks each item of a list with commas; the text of a refusal names the item.
fn each(value: &str, check: impl Fn(&str) -> Checked) -> Checked {
    for item in value.split(',').map(str::trim) {
        check(item).map_err(|why| ValueError(format!("Item {item:?}: {why}")))?;
    }
    Ok(())
}

/// A list of ranges `FIRST-LAST`.
pub fn ipv4_ranges(value: &str) -> Checked {
    each(value, |item| range(item, ipv4))
}

/// A list of ranges `FIRST-LAST`.
pub fn ipv6_ranges(value: &str) -> Checked {
    each(value, |item| range(item, ipv6))
}

fn range(item: &str, check: fn(&str) -> Checked) -> Checked {
    let Some((first, last)) = item.split_once('-') else {
        return refuse("IP range must contain start and end IP addresses".to_owned());
    };
    check(first)?;
    check(last)
}

/// A list of networks to route.
pub fn ipv4_networks(value: &str) -> Checked {
    each(value, |item| match item.parse::<Cidr>()? {
        Cidr::V4(cidr) if cidr == cidr.subnet() => Ok(()),
        Cidr::V6(_) => refuse(format!("Not an IPv4 network {item:?}")),
        Cidr::V4(_) => refuse(format!("Not an IPv4 network address {item:?}")),
    })
}

/// A list of networks to route.
pub fn ipv6_networks(value: &str) -> Checked {
    each(value, |item| match item.parse::<Cidr>()? {
        Cidr::V6(cidr) if cidr == cidr.subnet() => Ok(()),
        Cidr::V4(_) => refuse(format!("Not an IPv6 network {item:?}")),
        Cidr::V6(_) => refuse(format!("Not an IPv6 network address {item:?}")),
    })
}

/// A network, or `auto`.
pub fn network_or_auto(value: &str) -> Checked {
    if value == "auto" { Ok(()) } else { value.parse::<Cidr>().map(|_| ()) }
}

/// A network.
pub fn network(value: &str) -> Checked {
    value.parse::<Cidr>().map(|_| ())
}

/// An MTU in bytes.
pub fn mtu(value: &str) -> Checked {
    match value.parse::<u32>() {
        Ok(1280..=16384) => Ok(()),
        Ok(_) => refuse(format!("Out of MTU range (1280-16384) {value:?}")),
        Err(_) => refuse(format!("Invalid MTU {value:?}")),
    }
}

/// An address of an interface: not of a group.
pub fn mac(value: &str) -> Checked {
    let mac: Mac = value.parse()?;
    match mac.bytes().first() {
        Some(first) if first & 1 == 1 => refuse("MAC address of a group cannot be used".to_owned()),
        _ => Ok(()),
    }
}

/// A list of interfaces of the host.
pub fn interfaces(value: &str) -> Checked {
    for item in value.split(',').map(str::trim) {
        check_interface(item).map_err(|why| ValueError(format!("Invalid interface name {item:?}: {why}")))?;
    }
    Ok(())
}

/// A domain. It reaches the arguments of dnsmasq, where commas, slashes and hashes mean something.
pub fn domain(value: &str) -> Checked {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    match value.len() <= 253 && !value.starts_with('-') && value.bytes().all(good) {
        true => Ok(()),
        false => refuse(format!("Invalid domain name {value:?}")),
    }
}

/// A list of domains.
pub fn domains(value: &str) -> Checked {
    value.split(',').map(str::trim).try_for_each(domain)
}

/// How long a lease lasts: a number with `s`, `m`, `h`, `d` or `w`, or `infinite`.
pub fn expiry(value: &str) -> Checked {
    let number = value.strip_suffix(['s', 'm', 'h', 'd', 'w']).unwrap_or(value);
    let is_number = !number.is_empty() && number.len() <= 9 && number.bytes().all(|b| b.is_ascii_digit());
    match is_number || value == "infinite" {
        true => Ok(()),
        false => refuse(format!("Invalid lease time {value:?}")),
    }
}

/// A list of plain addresses.
pub fn addresses(value: &str) -> Checked {
    each(value, ip)
}

/// The number of a VLAN; 0 is the untagged one.
pub fn vlan(value: &str) -> Checked {
    match value.parse::<u32>() {
        Ok(0..=4094) => Ok(()),
        Ok(_) => refuse(format!("Out of VLAN ID range (0-4094) {value:?}")),
        Err(_) => refuse(format!("Invalid VLAN ID {value:?}")),
    }
}

/// The host's address and prefix of a network.
pub fn ipv4_gateway(value: &str) -> Checked {
    match value.parse::<Cidr>()? {
        Cidr::V4(cidr) if usable_v4(cidr) => Ok(()),
        Cidr::V4(_) => refuse(format!("Not a usable IPv4 address {value:?}")),
        Cidr::V6(_) => refuse(format!("Not an IPv4 address {value:?}")),
    }
}

/// The host's address and prefix of a network.
pub fn ipv6_gateway(value: &str) -> Checked {
    match value.parse::<Cidr>()? {
        Cidr::V6(cidr) if usable_v6(cidr) => Ok(()),
        Cidr::V6(_) => refuse(format!("Not a usable IPv6 address {value:?}")),
        Cidr::V4(_) => refuse(format!("Not an IPv6 address {value:?}")),
    }
}

/// A port.
pub fn port(value: &str) -> Checked {
    let number: u32 =
        value.parse().map_err(|_| ValueError(format!("Invalid value for an integer {value:?}")))?;
    if number <= 65535 { Ok(()) } else { refuse(format!("Invalid port number: {number}")) }
}

/// The number of a virtual network: 24 bits.
pub fn vxlan_id(value: &str) -> Checked {
    match value.parse::<u32>() {
        Ok(0..=0x00ff_ffff) => Ok(()),
        _ => refuse(format!("Invalid value for an integer {value:?}. Must be between 0 and 16777215")),
    }
}

/// A small integer.
pub fn byte(value: &str) -> Checked {
    match value.parse::<u8>() {
        Ok(_) => Ok(()),
        Err(_) => refuse(format!("Invalid value for an integer {value:?}. Must be between 0 and 255")),
    }
}

/// Lines that are appended to dnsmasq's configuration: its own syntax is dnsmasq's to judge.
pub fn raw_lines(value: &str) -> Checked {
    match value.contains('\r') {
        true => refuse("Value must not contain carriage returns".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&str) -> Checked;

    #[test]
    fn texts_are_those_of_the_reference() {
        let texts: &[(Check, &str, &str)] = &[
            (ipv4_address, "10.77.1.1", "invalid CIDR address: 10.77.1.1"),
            (ipv4_address, "10.77.0.0/24", "Not a usable IPv4 address \"10.77.0.0/24\""),
            (ipv4_address, "10.77.0.1/32", "Not a usable IPv4 address \"10.77.0.1/32\""),
            (ipv4_address, "fd00::1/64", "Not an IPv4 address \"fd00::1/64\""),
            (ipv6_address, "fd77::/64", "Not a usable IPv6 address \"fd77::/64\""),
            (ipv6_address, "1.2.3.4/24", "Not an IPv6 address \"1.2.3.4/24\""),
            (ipv4_ranges, "x", "Item \"x\": IP range must contain start and end IP addresses"),
            (ipv4_ranges, "1.2.3.4-x", "Item \"1.2.3.4-x\": Not an IPv4 address \"x\""),
            (ipv6_ranges, "1.2.3.4-x", "Item \"1.2.3.4-x\": Not an IPv6 address \"1.2.3.4\""),
            (ipv4_networks, "1.2.3.4", "Item \"1.2.3.4\": invalid CIDR address: 1.2.3.4"),
            (
                ipv4_networks,
                "10.0.0.1/24",
                "Item \"10.0.0.1/24\": Not an IPv4 network address \"10.0.0.1/24\"",
            ),
            (ipv6_networks, "10.0.0.0/24", "Item \"10.0.0.0/24\": Not an IPv6 network \"10.0.0.0/24\""),
            (vlan, "5000", "Out of VLAN ID range (0-4094) \"5000\""),
            (vlan, "none", "Invalid VLAN ID \"none\""),
            (ipv4_gateway, "10.1.1.0/24", "Not a usable IPv4 address \"10.1.1.0/24\""),
            (mtu, "10", "Out of MTU range (1280-16384) \"10\""),
            (ipv6, "1.2.3.4", "Not an IPv6 address \"1.2.3.4\""),
            (
                interfaces,
                "a b",
                "Invalid interface name \"a b\": Network interface contains invalid characters",
            ),
            (port, "70000", "Invalid port number: 70000"),
            (byte, "300", "Invalid value for an integer \"300\". Must be between 0 and 255"),
        ];
        for (check, value, text) in texts {
            assert_eq!(check(value).unwrap_err().0, *text);
        }
    }

    #[test]
    fn good_values() {
        let good: &[(Check, &str)] = &[
            (ipv4_address, "none"),
            (ipv4_address, "10.0.0.1/24"),
            (ipv4_address, "10.0.0.1/31"),
            (ipv6_address, "fd42::1/64"),
            (ipv4_ranges, "10.0.0.2-10.0.0.9, 10.0.0.20-10.0.0.29"),
            (ipv6_networks, "fd42:1::/64"),
            (expiry, "1h"),
            (expiry, "infinite"),
            (domains, "a.example, b.example"),
            (mac, "00:16:3e:00:00:01"),
        ];
        for (check, value) in good {
            assert!(check(value).is_ok(), "{value}");
        }
    }

    #[test]
    fn nothing_can_leave_its_argument_or_line() {
        for bad in ["a,b#", "a/b", "a\nb", "a b", "a\0", "-x", "a=b", "ü"] {
            assert!(domain(bad).is_err(), "{bad:?}");
        }
        for bad in ["1h,2h", "", "h", "1h\n", "-1", "1 h", "1y"] {
            assert!(expiry(bad).is_err(), "{bad:?}");
        }
        assert!(mac("01:16:3e:00:00:01").is_err());
    }
}
