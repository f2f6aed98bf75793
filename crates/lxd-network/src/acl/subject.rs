//! Whom a rule is about: addresses, ranges of addresses, and names. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use lxd_types::Cidr;

/// One item of `source` or `destination`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// An address or a network.
    Net(Cidr),
    /// From the first to the last address, both of one family.
    Range(IpAddr, IpAddr),
    /// Another ACL, or a word that begins with `@` or `#`. Bridges have no such thing.
    Named(String),
}

impl Subject {
    /// Reads one item; `acls` are the names that ACLs of the project have.
    pub fn parse(text: &str, acls: &BTreeSet<String>) -> Option<Self> {
        if let Some(address) = address(text) {
            let whole = if address.is_ipv4() { 32 } else { 128 };
            return Cidr::new(address, whole).ok().map(Self::Net);
        }
        if let Some(net) = net(text) {
            return Some(Self::Net(net));
        }
        if let Some((first, last)) = text.split_once('-')
            && let (Some(first), Some(last)) = (address(first), address(last))
        {
            let ordered = first.is_ipv4() == last.is_ipv4() && first <= last;
            return ordered.then_some(Self::Range(first, last));
        }
        is_named(text, acls).then(|| Self::Named(text.to_owned()))
    }

    /// Whether it holds addresses of IPv4 (`Some(true)`) or IPv6; names hold none.
    pub fn is_ipv4(&self) -> Option<bool> {
        match self {
            Self::Net(net) => Some(net.address().is_ipv4()),
            Self::Range(first, _) => Some(first.is_ipv4()),
            Self::Named(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    /// As firewalls write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) if net.prefix() == if net.address().is_ipv4() { 32 } else { 128 } => {
                write!(f, "{}", net.address())
            }
            Self::Net(net) => write!(f, "{}", net.subnet()),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// An address; one of IPv4 that is written as IPv6 is of IPv4.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn net(text: &str) -> Option<Cidr> {
    let net: Cidr = text.parse().ok()?;
    match (net.address().to_canonical(), net.prefix()) {
        (IpAddr::V4(address), prefix @ 96..) if net.address().is_ipv6() => {
            Cidr::new(IpAddr::V4(address), prefix - 96).ok()
        }
        _ => Some(net),
    }
}

/// The reference takes anything behind an `@`, line breaks too; here it may only hold what names hold.
fn is_named(text: &str, acls: &BTreeSet<String>) -> bool {
    let plain = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    matches!(text, "#internal" | "#external")
        || text.strip_prefix('@').is_some_and(plain)
        || acls.contains(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        Subject::parse(text, &["web".to_owned()].into()).map(|subject| subject.to_string())
    }

    #[test]
    fn what_the_reference_takes() {
        for (text, shown) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1/24", "10.0.0.0/24"),
            ("10.0.0.1-10.0.0.5", "10.0.0.1-10.0.0.5"),
            ("10.0.0.1-10.0.0.1", "10.0.0.1-10.0.0.1"),
            ("fd00::/64", "fd00::/64"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("::ffff:1.2.3.4/120", "1.2.3.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("@internal", "@internal"),
            ("@net/peer", "@net/peer"),
            ("#external", "#external"),
            ("web", "web"),
        ] {
            assert_eq!(read(text).as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn what_it_does_not_take() {
        for text in [
            "",
            "nope",
            "10.0.0.1/33",
            "010.0.0.1",
            "fe80::1%eth0",
            "10.0.0.5-10.0.0.1",
            "10.0.0.1-fd00::1",
            "10.0.0.1-",
            "10.0.0.1-10.0.0.2-10.0.0.3",
            "10.0.0.0/24-10.0.0.3",
            "#",
            "#foo",
            // These it takes; a rule must not leave its line.
            "@a\nb",
            "@a b",
            "@a\"b",
            "@a;b",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
