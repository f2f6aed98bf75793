//! Filters of `lxc list`.

use std::net::IpAddr;

use anyhow::{Result, bail};
use lxd_api::instance::InstanceFull;
use lxd_types::Pattern;

/// A condition on an instance.
pub enum Filter {
    /// Beginning of the name, or a regular expression on it.
    Name(Pattern),
    /// One of the shorthands with its values.
    Shorthand(String, Vec<String>),
    /// A key of the configuration (perhaps shortened) with a value.
    Key(String, Pattern),
}

const SHORTHANDS: &[&str] =
    &["architecture", "ipv4", "ipv6", "location", "name", "project", "status", "type"];

impl Filter {
    /// Parses a word of the command line.
    ///
    /// # Errors
    /// A shorthand that needs a value has none.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((key, value)) = text.split_once('=') else {
            return Ok(Self::Name(Pattern::new(text)));
        };
        if SHORTHANDS.contains(&key) {
            if value.is_empty() && !key.starts_with("ipv") {
                bail!("Invalid filter: clause has no value");
            }
            return Ok(Self::Shorthand(key.to_owned(), value.split(',').map(str::to_owned).collect()));
        }
        Ok(Self::Key(key.to_owned(), Pattern::new(value)))
    }

    /// True when the instances' state has to be known.
    pub fn needs_state(&self) -> bool {
        matches!(self, Self::Shorthand(key, _) if key.starts_with("ipv"))
    }

    /// True when the instance fulfils the condition.
    pub fn holds(&self, instance: &InstanceFull) -> bool {
        match self {
            Self::Name(pattern) => {
                instance.name.starts_with(pattern.text()) || pattern.matches(&instance.name)
            }
            Self::Shorthand(key, values) => shorthand(key, values, instance),
            Self::Key(key, pattern) => {
                let mut values = instance
                    .expanded_config
                    .iter()
                    .filter(|(name, _)| abbreviates(key, name))
                    .map(|(_, value)| value)
                    .peekable();
                // A key that is not set has the empty value.
                (values.peek().is_none() && pattern.text().is_empty())
                    || values.any(|value| value == pattern.text() || pattern.matches(value))
            }
        }
    }
}

fn shorthand(key: &str, values: &[String], instance: &InstanceFull) -> bool {
    let is = |text: &str| values.iter().any(|value| value.eq_ignore_ascii_case(text));
    match key {
        "architecture" => is(&instance.architecture),
        "location" => is(&instance.location),
        "project" => is(&instance.project),
        "status" => is(&instance.status),
        "type" => is(&instance.kind),
        // A comma has no meaning in an expression.
        "name" => Pattern::ignoring_case(&values.join(",")).matches(&instance.name),
        "ipv4" => values.iter().any(|value| has_address(instance, value, "inet")),
        _ => values.iter().any(|value| has_address(instance, value, "inet6")),
    }
}

fn has_address(instance: &InstanceFull, wanted: &str, family: &str) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let (net, bits) = wanted.split_once('/').map_or((wanted, None), |(n, b)| (n, b.parse::<u32>().ok()));
    let Ok(net) = net.parse::<IpAddr>() else { return false };
    let addresses = instance.state.network.values().flat_map(|network| &network.addresses);
    addresses.filter(|address| address.family == family).any(|address| match (address.address.parse(), net) {
        (Ok(IpAddr::V4(a)), IpAddr::V4(n)) => {
            let mask = u32::MAX.checked_shl(32 - bits.unwrap_or(32).min(32)).unwrap_or(0);
            u32::from(a) & mask == u32::from(n) & mask
        }
        (Ok(IpAddr::V6(a)), IpAddr::V6(n)) => {
            let mask = u128::MAX.checked_shl(128 - bits.unwrap_or(128).min(128)).unwrap_or(0);
            u128::from(a) & mask == u128::from(n) & mask
        }
        _ => false,
    })
}

/// True when each part of `short` begins the same part of `key`: `u.blah` for `user.blah`.
pub fn abbreviates(short: &str, key: &str) -> bool {
    let (short, key): (Vec<&str>, Vec<&str>) = (short.split('.').collect(), key.split('.').collect());
    short.len() == key.len() && short.iter().zip(&key).all(|(s, k)| k.starts_with(s))
}
