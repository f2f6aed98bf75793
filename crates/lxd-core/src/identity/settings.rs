//! The configuration of identity servers: `candid.*` or `rbac.*`, never both.

use lxd_config::server::{
    CANDID_API_KEY, CANDID_API_URL, CANDID_DOMAINS, CANDID_EXPIRY, RBAC_AGENT_PRIVATE_KEY,
    RBAC_AGENT_PUBLIC_KEY, RBAC_AGENT_URL, RBAC_AGENT_USERNAME, RBAC_API_EXPIRY, RBAC_API_KEY, RBAC_API_URL,
    RBAC_EXPIRY,
};
use lxd_config::{AnyKey, Key};
use lxd_macaroon::{KeyPair, PublicKey};
use lxd_types::{Config, Error, Result};

/// Where the RBAC service vouches for users.
const RBAC_IDENTITY: &str = "/auth";

/// What is known of the identity server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Settings {
    /// Its URL.
    pub location: String,
    /// Its public key, where it is configured.
    pub key: Option<PublicKey>,
    /// How long macaroons are good, in seconds.
    pub expiry: i64,
    /// The domains whose users are let in, separated by commas; empty for all.
    pub domains: String,
    /// The service that knows the rights of users.
    pub rbac: Option<RbacSettings>,
}

/// What is known of the RBAC service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RbacSettings {
    /// Its URL.
    pub url: String,
    /// The identity server where this server logs in.
    pub agent_url: String,
    /// Its name there.
    pub agent: String,
    /// Its private key, in base64.
    pub private_key: String,
}

fn text(key: &'static Key<String>, config: &Config) -> String {
    key.read(config).ok().flatten().unwrap_or_default()
}

fn number(key: &'static Key<i64>, config: &Config) -> Option<i64> {
    key.read(config).ok().flatten()
}

impl Settings {
    /// `None` when no identity server is configured.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let (candid, rbac) = (text(&CANDID_API_URL, config), text(&RBAC_API_URL, config));
        if !candid.is_empty() {
            return Some(Self {
                location: candid,
                key: text(&CANDID_API_KEY, config).parse().ok(),
                expiry: number(&CANDID_EXPIRY, config).unwrap_or(3600),
                domains: text(&CANDID_DOMAINS, config),
                rbac: None,
            });
        }
        if rbac.is_empty() {
            return None;
        }
        let url = rbac.trim_end_matches('/').to_owned();
        let expiry = number(&RBAC_API_EXPIRY, config).or_else(|| number(&RBAC_EXPIRY, config));
        Some(Self {
            location: format!("{url}{RBAC_IDENTITY}"),
            key: text(&RBAC_API_KEY, config).parse().ok(),
            expiry: expiry.unwrap_or(3600),
            domains: String::new(),
            rbac: Some(RbacSettings {
                url,
                agent_url: text(&RBAC_AGENT_URL, config),
                agent: text(&RBAC_AGENT_USERNAME, config),
                private_key: text(&RBAC_AGENT_PRIVATE_KEY, config),
            }),
        })
    }
}

/// Refuses what cannot work.
///
/// # Errors
/// Bad request: both kinds are configured, a key is none, or a URL is none.
pub(crate) fn check(config: &Config) -> Result<()> {
    let any = |begin: &str| config.iter().any(|(key, value)| key.starts_with(begin) && !value.is_empty());
    if any("candid.api.") && any("rbac.") {
        return Err(Error::bad_request("RBAC and Candid are mutually exclusive"));
    }
    for key in [&CANDID_API_KEY, &RBAC_API_KEY, &RBAC_AGENT_PUBLIC_KEY] {
        check_key(key, config, |value| value.parse::<PublicKey>().is_ok())?;
    }
    check_key(&RBAC_AGENT_PRIVATE_KEY, config, |value| KeyPair::from_private(value).is_ok())?;
    for key in [&CANDID_API_URL, &RBAC_API_URL, &RBAC_AGENT_URL] {
        let value = text(key, config);
        let host = value.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
        let good = host.is_some_and(|(_, host)| !host.is_empty() && !host.contains(char::is_whitespace));
        if !value.is_empty() && !good {
            let name = key.meta().name;
            return Err(Error::bad_request(format!("cannot set '{name}' to '{value}': not an http(s) URL")));
        }
    }
    Ok(())
}

fn check_key(key: &'static Key<String>, config: &Config, good: impl Fn(&str) -> bool) -> Result<()> {
    let value = text(key, config);
    if value.is_empty() || good(&value) {
        return Ok(());
    }
    // The value of a private key is not told.
    Err(Error::bad_request(format!(
        "cannot set '{}': wrong length for key, want 32 bytes in base64",
        key.meta().name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn one_kind_at_a_time() {
        assert_eq!(Settings::of(&config(&[])), None);
        let candid = Settings::of(&config(&[("candid.api.url", "https://id"), ("candid.expiry", "5")]));
        let candid = candid.unwrap();
        assert_eq!((candid.location.as_str(), candid.expiry, candid.rbac.is_none()), ("https://id", 5, true));
        let rbac = Settings::of(&config(&[("rbac.api.url", "https://rbac/"), ("rbac.expiry", "7")])).unwrap();
        assert_eq!((rbac.location.as_str(), rbac.expiry), ("https://rbac/auth", 7));
        let both = config(&[("candid.api.url", "https://id"), ("rbac.api.url", "https://rbac")]);
        assert_eq!(check(&both).unwrap_err().chain(), "RBAC and Candid are mutually exclusive");
    }

    #[test]
    fn nonsense_is_refused() {
        for pair in [
            ("candid.api.key", "zz"),
            ("rbac.agent.private_key", "QQ=="),
            ("candid.api.url", "zz"),
            ("rbac.api.url", "ftp://x"),
            ("rbac.agent.url", "http://"),
        ] {
            assert!(check(&config(&[pair])).is_err(), "{pair:?}");
        }
        check(&config(&[("candid.api.url", "http://h:1"), ("candid.expiry", "-1")])).unwrap();
    }
}
