//! What is filled in: defaults at creation, and a free subnet for `auto`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lxd_types::{Cidr, Config, ConfigExt, Error, Ipv4Cidr, Ipv6Cidr, Result};

/// How many random subnets are looked at.
const TRIES: usize = 500;

/// Subnets that are taken: of interfaces, routes and other networks.
#[derive(Clone, Debug, Default)]
pub struct Used(pub Vec<Cidr>);

impl Used {
    fn is_free(&self, candidate: &Cidr) -> bool {
        // A default route covers everything and takes nothing.
        self.0.iter().filter(|taken| taken.prefix() > 0).all(|taken| !taken.overlaps(candidate))
    }
}

/// A source of random numbers: a parameter, so that tests know what comes.
pub trait Random {
    /// The next 64 random bits.
    fn next(&mut self) -> u64;
}

impl<R: FnMut() -> u64> Random for R {
    fn next(&mut self) -> u64 {
        self()
    }
}

/// The configuration of a new bridge: addresses that are not given are generated, and then translated.
/// `ipv6` says whether the host knows IPv6.
pub fn with_defaults(mut config: Config, ipv6: bool) -> Config {
    if config.value("bridge.mode") == "fan" {
        return config;
    }
    if config.set("ipv4.address").is_none() {
        config.insert("ipv4.address".to_owned(), "auto".to_owned());
    }
    if config.set("ipv6.address").is_none() && ipv6 {
        config.insert("ipv6.address".to_owned(), "auto".to_owned());
    }
    for family in ["ipv4", "ipv6"] {
        let nat = format!("{family}.nat");
        if config.value(&format!("{family}.address")) == "auto" && config.set(&nat).is_none() {
            config.insert(nat, "true".to_owned());
        }
    }
    config
}

/// Replaces `auto` by the bridge's address in a free subnet.
///
/// # Errors
/// No free subnet was found.
pub fn fill_auto(mut config: Config, used: &Used, random: &mut impl Random) -> Result<Config> {
    if config.value("ipv4.address") == "auto" {
        config.insert("ipv4.address".to_owned(), free_ipv4(used, random)?.to_string());
    }
    if config.value("ipv6.address") == "auto" {
        config.insert("ipv6.address".to_owned(), free_ipv6(used, random)?.to_string());
    }
    Ok(config)
}

fn free_ipv4(used: &Used, random: &mut impl Random) -> Result<Cidr> {
    let candidates = (0..TRIES).map(|_| {
        let [.., x, y] = random.next().to_be_bytes();
        Ipv4Cidr::new(Ipv4Addr::new(10, x, y, 1), 24).map(Cidr::V4)
    });
    first_free(candidates, used).ok_or_else(|| none_free("IPv4"))
}

fn free_ipv6(used: &Used, random: &mut impl Random) -> Result<Cidr> {
    let candidates = (0..TRIES).map(|_| {
        let [a, b, c, d, e, f, _, _] = random.next().to_be_bytes();
        let word = |high, low| u16::from_be_bytes([high, low]);
        let address = Ipv6Addr::new(0xfd42, word(a, b), word(c, d), word(e, f), 0, 0, 0, 1);
        Ipv6Cidr::new(address, 64).map(Cidr::V6)
    });
    first_free(candidates, used).ok_or_else(|| none_free("IPv6"))
}

fn first_free<E>(candidates: impl Iterator<Item = Result<Cidr, E>>, used: &Used) -> Option<Cidr> {
    candidates.filter_map(Result::ok).find(|candidate| is_sane(candidate) && used.is_free(candidate))
}

/// Not the first /24 of the block, which people use by hand.
fn is_sane(candidate: &Cidr) -> bool {
    match candidate.address() {
        IpAddr::V4(address) => !matches!(address.octets(), [10, 0, 0, _]),
        IpAddr::V6(_) => true,
    }
}

fn none_free(family: &str) -> Error {
    let text =
        format!("Failed to automatically find an unused {family} subnet, manual configuration required");
    // The reference's answer, status included.
    Error::internal(text).context("Failed generating auto config")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_new_bridge_gets_addresses_and_nat() {
        let wanted =
            [("ipv4.address", "auto"), ("ipv4.nat", "true"), ("ipv6.address", "auto"), ("ipv6.nat", "true")];
        assert_eq!(with_defaults(Config::new(), true), config(&wanted));
        assert_eq!(
            with_defaults(config(&[("ipv4.address", "10.1.1.1/24"), ("ipv6.nat", "false")]), true),
            config(&[("ipv4.address", "10.1.1.1/24"), ("ipv6.address", "auto"), ("ipv6.nat", "false")])
        );
        assert_eq!(with_defaults(Config::new(), false), config(&wanted[..2]));
    }

    #[test]
    fn auto_avoids_what_is_used() {
        let mut numbers = [0x0a01_u64, 0x0a02, 0x0a03, 7 << 16].into_iter();
        let used = Used(
            ["10.10.1.0/24", "10.10.2.7/32", "0.0.0.0/0", "fd42::/16"].map(|c| c.parse().unwrap()).to_vec(),
        );
        let filled =
            fill_auto(config(&[("ipv4.address", "auto")]), &used, &mut || numbers.next().unwrap()).unwrap();
        assert_eq!(filled.value("ipv4.address"), "10.10.3.1/24");
        let mut zero = || 0x0001_0002_0003_0000;
        let none = fill_auto(config(&[("ipv6.address", "auto")]), &used, &mut zero).unwrap_err();
        assert!(
            none.chain()
                .starts_with("Failed generating auto config: Failed to automatically find an unused IPv6")
        );
        let filled = fill_auto(config(&[("ipv6.address", "auto")]), &Used::default(), &mut zero).unwrap();
        assert_eq!(filled.value("ipv6.address"), "fd42:1:2:3::1/64");
    }
}
