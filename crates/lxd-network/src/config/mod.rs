//! What a network's configuration may be: keys, values, how they go together, and what is filled in.

pub mod checks;
mod fill;
pub mod keys;

use lxd_config::Reason;
use lxd_types::{Config, ConfigExt, Error, Result, ValueError};

pub use fill::{Random, Used, fill_auto, with_defaults};

/// Types that servers of this API know and this version does not make.
const LATER_TYPES: &[&str] = &["macvlan", "ovn", "physical", "sriov"];

/// Checks the type of a network; the empty one is `bridge`.
///
/// # Errors
/// It is unknown, or one of a later version.
pub fn check_type(kind: &str) -> Result<()> {
    match kind {
        "" | "bridge" => Ok(()),
        later if LATER_TYPES.contains(&later) => {
            Err(Error::bad_request(format!("not supported yet: networks of type {later}")))
        }
        _ => Err(Error::bad_request("Unknown driver")),
    }
}

/// Checks the whole configuration of a bridge; `set` are the keys that the caller gives anew: of these none may be
/// without effect in this version.
///
/// # Errors
/// The first rule that is broken.
pub fn validate(network: &str, config: &Config, set: &Config) -> Result<()> {
    keys::BRIDGE.check(config).map_err(|error| match error.reason {
        Reason::Unknown => {
            Error::bad_request(format!("Invalid option for network {network:?} option {:?}", error.key))
        }
        Reason::Invalid(why) => option_error(network, &error.key, &why),
        Reason::NotYet => Error::from(error),
    })?;
    check_fan(config)?;
    keys::BRIDGE.check_works(set)?;
    for (key, later) in [("bridge.driver", "openvswitch"), ("bridge.mode", "fan")] {
        if config.value(key) == later {
            return Err(Error::bad_request(format!("not supported yet: {key}={later}")));
        }
    }
    Ok(())
}

fn option_error(network: &str, key: &str, why: &ValueError) -> Error {
    Error::bad_request(format!("Invalid value for network {network:?} option {key:?}: {why}"))
}

/// In fan mode there is no configuration of addresses.
fn check_fan(config: &Config) -> Result<()> {
    if config.value("bridge.mode") != "fan" {
        return Ok(());
    }
    for (start, family) in [("ipv4.", "IPv4"), ("ipv6.", "IPv6")] {
        if config.iter().any(|(key, value)| key.starts_with(start) && !value.is_empty()) {
            return Err(Error::bad_request(format!(
                "{family} configuration may not be set when in 'fan' mode"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pairs: &[(&str, &str)]) -> String {
        let config = config(pairs);
        validate("br1", &config, &config).unwrap_err().chain()
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
        assert_eq!(text(&[("bridge.driver", "openvswitch")]), "not supported yet: bridge.driver=openvswitch");
        assert_eq!(text(&[("tunnel.a.id", "5")]), "not supported yet: tunnel.a.id");
        let old = config(&[("maas.subnet.ipv4", "x")]);
        assert!(validate("br1", &old, &Config::new()).is_ok(), "what stood there before stays");
        assert_eq!(check_type("ovn").unwrap_err().chain(), "not supported yet: networks of type ovn");
        assert_eq!(check_type("nosuch").unwrap_err().chain(), "Unknown driver");
    }
}
