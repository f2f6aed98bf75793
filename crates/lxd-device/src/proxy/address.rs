//! Reading `tcp:ADDRESS:PORTS`, `udp:…` and `unix:PATH`. Pure.

use std::net::IpAddr;

use lxd_types::ValueError;
use lxd_types::helper::ProxyEnd;

/// Most ports of one side.
const MOST: usize = 4096;

/// One side of a proxy.
///
/// # Errors
/// In the words of the reference.
pub fn parse(text: &str) -> Result<ProxyEnd, ValueError> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "unix" => unix(rest),
        "tcp" => ip(rest).map(|(address, ports)| ProxyEnd::Tcp(address, ports)),
        "udp" => ip(rest).map(|(address, ports)| ProxyEnd::Udp(address, ports)),
        _ => Err(ValueError(format!("Unknown protocol type {kind:?}"))),
    }
}

fn unix(path: &str) -> Result<ProxyEnd, ValueError> {
    let good = match path.strip_prefix('@') {
        Some(name) => !name.is_empty(),
        None => path.starts_with('/') && path.split('/').all(|part| part != ".."),
    };
    // The kernel's structure holds 108 bytes, one of them for the end or the beginning.
    match good && path.len() <= 107 && !path.contains(['\0', '\n']) {
        true => Ok(ProxyEnd::Unix(path.to_owned())),
        false => Err(ValueError(format!("Invalid path of a unix socket {path:?}"))),
    }
}

fn ip(text: &str) -> Result<(IpAddr, Vec<u16>), ValueError> {
    let missing = || ValueError(format!("address {text}: missing port in address"));
    let (address, ports) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").ok_or_else(missing)?,
        None => text.rsplit_once(':').ok_or_else(missing)?,
    };
    let parsed = address.parse::<IpAddr>();
    let parsed = parsed.map_err(|_| ValueError(format!("Not an IP address {address:?}")))?;
    if parsed.is_ipv6() != text.starts_with('[') {
        return Err(ValueError(format!("IPv6 addresses stand in square brackets: {text:?}")));
    }
    Ok((parsed, ports_of(ports)?))
}

fn ports_of(list: &str) -> Result<Vec<u16>, ValueError> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(ValueError(format!("Invalid port {text:?}"))),
    };
    let mut ports = Vec::new();
    for item in list.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (port(first)?, port(last)?);
        if last < first || item.contains('-') && last == first {
            return Err(ValueError::new("End port should be higher than start port"));
        }
        // Counted before they are listed: a long text of large ranges would fill the memory.
        if ports.len() + usize::from(last - first) >= MOST {
            return Err(ValueError(format!("More than {MOST} ports")));
        }
        ports.extend(first..=last);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sides_are_read() {
        let any = IpAddr::from([0, 0, 0, 0]);
        assert_eq!(parse("tcp:0.0.0.0:80-82,90"), Ok(ProxyEnd::Tcp(any, vec![80, 81, 82, 90])));
        assert_eq!(parse("udp:[::1]:53"), Ok(ProxyEnd::Udp("::1".parse().unwrap(), vec![53])));
        assert_eq!(parse("unix:@name"), Ok(ProxyEnd::Unix("@name".to_owned())));
        assert_eq!(parse("unix:/run/x.sock"), Ok(ProxyEnd::Unix("/run/x.sock".to_owned())));
    }

    #[test]
    fn refusals_are_those_of_the_reference() {
        for (text, wanted) in [
            ("", "Unknown protocol type \"\""),
            ("sctp:127.0.0.1:1", "Unknown protocol type \"sctp\""),
            ("tcp:127.0.0.1", "address 127.0.0.1: missing port in address"),
            ("tcp:127.0.0.1:90-80", "End port should be higher than start port"),
            ("tcp:127.0.0.1:99999", "Invalid port \"99999\""),
            ("tcp:127.0.0.1:0", "Invalid port \"0\""),
            ("tcp:name:1", "Not an IP address \"name\""),
            ("tcp:::1:80", "IPv6 addresses stand in square brackets: \"::1:80\""),
            ("unix:", "Invalid path of a unix socket \"\""),
            ("unix:/a/../b", "Invalid path of a unix socket \"/a/../b\""),
            ("unix:@", "Invalid path of a unix socket \"@\""),
        ] {
            assert_eq!(parse(text).unwrap_err().0, wanted, "{text}");
        }
    }

    #[test]
    fn many_ports_are_refused_before_they_are_listed() {
        let error = parse(&format!("tcp:127.0.0.1:{}", vec!["1-65535"; 100_000].join(","))).unwrap_err();
        assert_eq!(error.0, "More than 4096 ports");
        assert!(parse("tcp:127.0.0.1:1-4096").is_ok() && parse("tcp:127.0.0.1:1-4097").is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_side_is_harmless(
            any: String,
            near in "(unix|tcp|udp):(@|/|\\[::1\\]:|127\\.0\\.0\\.1:)[a-z0-9./,\n\0-]{0,20}",
        ) {
            let _ = parse(&any);
            match parse(&near) {
                Ok(ProxyEnd::Unix(path)) => {
                    prop_assert!(path.len() < 108 && !path.contains(['\n', '\0']));
                    prop_assert!(path.starts_with('@') || path.split('/').all(|part| part != ".."));
                }
                Ok(ProxyEnd::Tcp(_, ports) | ProxyEnd::Udp(_, ports)) => {
                    prop_assert!((1..=MOST).contains(&ports.len()) && !ports.contains(&0));
                }
                Err(_) => {}
            }
        }
    }
}
