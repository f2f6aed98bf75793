//! What a network's configuration may be: keys, values, how they go together, and what is filled in.

mod bridge;
pub mod checks;
mod fill;
pub mod keys;
mod kind;
pub mod uplink_keys;
pub mod vlans;

use lxd_config::Reason;
use lxd_types::{Config, Error, Result, ValueError};

pub use fill::{Random, Used, fill_auto, with_defaults};
pub use kind::NetworkKind;

/// Checks the whole configuration of a network; `set` are the keys that the caller gives anew: of these none may be
/// without effect in this version.
///
/// # Errors
/// The first rule that is broken.
pub fn validate(kind: NetworkKind, network: &str, config: &Config, set: &Config) -> Result<()> {
    let table = kind.table();
    table.check(config).map_err(|error| match error.reason {
        Reason::Unknown => {
            Error::bad_request(format!("Invalid option for network {network:?} option {:?}", error.key))
        }
        Reason::Invalid(why) => option_error(network, &error.key, &why),
        Reason::NotYet => Error::from(error),
    })?;
    table.check_works(set)?;
    if kind == NetworkKind::Bridge { bridge::check(network, config) } else { Ok(()) }
}

fn option_error(network: &str, key: &str, why: &ValueError) -> Error {
    Error::bad_request(format!("Invalid value for network {network:?} option {key:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pairs: &[(&str, &str)]) -> String {
        let config = config(pairs);
        validate(NetworkKind::Bridge, "br1", &config, &config).unwrap_err().chain()
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn refusals_are_those_of_the_reference() {
        assert_eq!(text(&[("no.such", "1")]), "Invalid option for network \"br1\" option \"no.such\"");
        assert_eq!(
            text(&[("ipv4.nat", "maybe")]),
            "Invalid value for network \"br1\" option \"ipv4.nat\": Invalid value for a boolean \"maybe\""
        );
        assert_eq!(
            text(&[("dns.mode", "nosuch")]),
            "Invalid value for network \"br1\" option \"dns.mode\": Invalid value \"nosuch\" (not one of [dynamic managed none])"
        );
        assert_eq!(
            text(&[("bridge.mode", "fan"), ("ipv4.address", "none")]),
            "IPv4 configuration may not be set when in 'fan' mode"
        );
        assert_eq!(text(&[("volatile.x", "y")]), "Invalid option for network \"br1\" option \"volatile.x\"");
    }

    #[test]
    fn what_has_no_effect_yet_is_named() {
        let old = config(&[("maas.subnet.ipv4", "x")]);
        assert!(
            validate(NetworkKind::Bridge, "br1", &old, &Config::new()).is_ok(),
            "what stood there before stays"
        );
    }

    #[test]
    fn networks_on_an_interface_have_keys_of_their_own() {
        let check = |kind: NetworkKind, pairs: &[(&str, &str)]| {
            let config = config(pairs);
            validate(kind, "n1", &config, &config).map_or_else(|error| error.chain(), |()| "ok".to_owned())
        };
        let parent = ("parent", "eth0");
        for kind in [NetworkKind::Macvlan, NetworkKind::Sriov, NetworkKind::Physical] {
            assert_eq!(
                check(kind, &[]),
                "Invalid value for network \"n1\" option \"parent\": Required value"
            );
            assert_eq!(check(kind, &[parent, ("vlan", "7"), ("mtu", "1400"), ("user.a", "b")]), "ok");
            assert_eq!(
                check(kind, &[parent, ("bridge.mtu", "1400")]),
                "Invalid option for network \"n1\" option \"bridge.mtu\""
            );
        }
        assert_eq!(
            check(NetworkKind::Sriov, &[parent, ("gvrp", "true")]),
            "Invalid option for network \"n1\" option \"gvrp\""
        );
        let uplink = [
            parent,
            ("ipv4.gateway", "10.1.1.1/24"),
            ("ipv4.ovn.ranges", "10.1.1.5-10.1.1.9"),
            ("ipv6.routes", "fd00:1::/64"),
            ("ipv6.routes.anycast", "true"),
            ("dns.nameservers", "1.1.1.1,fd00::1"),
            ("ovn.ingress_mode", "routed"),
        ];
        assert_eq!(check(NetworkKind::Physical, &uplink), "ok");
        assert_eq!(
            check(NetworkKind::Physical, &[parent, ("ovn.ingress_mode", "foo")]),
            "Invalid value for network \"n1\" option \"ovn.ingress_mode\": Invalid value \"foo\" (not one of [l2proxy routed])"
        );
        assert_eq!(
            check(NetworkKind::Macvlan, &[parent, ("ipv4.gateway", "10.1.1.1/24")]),
            "Invalid option for network \"n1\" option \"ipv4.gateway\""
        );
    }
}
