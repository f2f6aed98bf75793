//! The server's configuration (manual 3.2.7): its keys, and how a change of it is checked and stored.

use lxd_types::error::{Classify, Kind};
use lxd_types::{Architecture, Compression, Config, Expiry, ValueError, words};

use crate::key::{Effect, Key, KeyError, Reason};
use crate::table::Table;
use crate::value::Blob;
use crate::{AnyKey, Value, keys};

/// All keys of the server.
pub static SERVER: Table =
    Table::new("server", &[BACKUPS, CANDID, CLUSTER, CORE, IMAGES, MAAS, NETWORK, RBAC, STORAGE, USER]);

keys! {
    /// `backups.*`
    BACKUPS = [
        /// Compression algorithm to use for new backups (bzip2, gzip, lzma, xz, zstd or none).
        BACKUPS_COMPRESSION_ALGORITHM: Compression =
            Key::new("backups.compression_algorithm").default("gzip").passive().since("backup_compression"),
    ]
}

keys! {
    /// `candid.*`
    CANDID = [
        /// Public key of the Candid server (required for HTTP-only servers).
        CANDID_API_KEY: String = Key::new("candid.api.key").live().since("candid_config_key"),
        /// URL of the external authentication endpoint using Candid.
        CANDID_API_URL: String = Key::new("candid.api.url").live().since("candid_authentication"),
        /// Comma-separated list of allowed Candid domains (empty means that all are valid).
        CANDID_DOMAINS: String = Key::new("candid.domains").live().since("candid_config"),
        /// Candid macaroon expiry in seconds.
        CANDID_EXPIRY: i64 = Key::new("candid.expiry").default("3600").live().since("candid_config"),
    ]
}

keys! {
    /// `cluster.*`
    CLUSTER = [
        /// Address to use for clustering traffic.
        CLUSTER_HTTPS_ADDRESS: String =
            Key::new("cluster.https_address").live().local().check(listen_address).since("clustering_server_address"),
        /// Minimal number of cluster members with a copy of a particular image (1 for no replication, -1 for all).
        CLUSTER_IMAGES_MINIMAL_REPLICA: i64 = Key::new("cluster.images_minimal_replica")
            .default("3").passive().check(image_replica).since("clustering_image_replication"),
        /// Maximum number of cluster members that get the database role stand-by.
        CLUSTER_MAX_STANDBY: i64 =
            Key::new("cluster.max_standby").default("2").live().check(max_standby).since("clustering_sizing"),
        /// Maximum number of cluster members that get the database role voter.
        CLUSTER_MAX_VOTERS: i64 =
            Key::new("cluster.max_voters").default("3").live().check(max_voters).since("clustering_sizing"),
        /// Number of seconds after which an unresponsive member is considered offline.
        CLUSTER_OFFLINE_THRESHOLD: i64 =
            Key::new("cluster.offline_threshold").default("20").live().check(offline_threshold).since("clustering"),
        /// Time after which a token to join expires.
        CLUSTER_JOIN_TOKEN_EXPIRY: Expiry =
            Key::new("cluster.join_token_expiry").default("3H").passive().since("cluster_join_token_expiry"),
    ]
}

keys! {
    /// `core.*`
    CORE = [
        /// Address to bind the BGP server to.
        CORE_BGP_ADDRESS: String =
            Key::new("core.bgp_address").live().local().check(listen_address).stored().since("network_bgp"),
        /// The autonomous system number of the local server.
        CORE_BGP_ASN: i64 = Key::new("core.bgp_asn").live().check(bgp_asn).stored().since("network_bgp"),
        /// A unique identifier of this BGP server, in the form of an IPv4 address.
        CORE_BGP_ROUTERID: String =
            Key::new("core.bgp_routerid").live().local().check(ipv4_address).stored().since("network_bgp"),
        /// Address to bind the debug server to (HTTP).
        CORE_DEBUG_ADDRESS: String = Key::new("core.debug_address").live().local().check(listen_address),
        /// Address to bind for the remote API (HTTPS).
        CORE_HTTPS_ADDRESS: String = Key::new("core.https_address").live().local().check(listen_address),
        /// Whether to set the HTTP header Access-Control-Allow-Credentials to "true".
        CORE_HTTPS_ALLOWED_CREDENTIALS: bool =
            Key::new("core.https_allowed_credentials").default("false").live().since("https_allowed_credentials"),
        /// Value of the HTTP header Access-Control-Allow-Headers.
        CORE_HTTPS_ALLOWED_HEADERS: String = Key::new("core.https_allowed_headers").live(),
        /// Value of the HTTP header Access-Control-Allow-Methods.
        CORE_HTTPS_ALLOWED_METHODS: String = Key::new("core.https_allowed_methods").live(),
        /// Value of the HTTP header Access-Control-Allow-Origin.
        CORE_HTTPS_ALLOWED_ORIGIN: String = Key::new("core.https_allowed_origin").live(),
        /// Comma-separated list of IP addresses of trusted servers that give the client's address through the PROXY
        /// connection header.
        CORE_HTTPS_TRUSTED_PROXY: String =
            Key::new("core.https_trusted_proxy").live().check(addresses).since("https_trusted_proxy"),
        /// HTTPS proxy to use, if any (falls back to the environment variable HTTPS_PROXY).
        CORE_PROXY_HTTPS: String = Key::new("core.proxy_https").live(),
        /// HTTP proxy to use, if any (falls back to the environment variable HTTP_PROXY).
        CORE_PROXY_HTTP: String = Key::new("core.proxy_http").live(),
        /// Hosts which don't need the proxy (in the form of NO_PROXY, to which it falls back).
        CORE_PROXY_IGNORE_HOSTS: String = Key::new("core.proxy_ignore_hosts").live(),
        /// Time after which a token of a remote client expires.
        CORE_REMOTE_TOKEN_EXPIRY: Expiry =
            Key::new("core.remote_token_expiry").passive().since("remote_token_expiry"),
        /// Number of minutes to wait for running operations to complete before the server shuts down.
        CORE_SHUTDOWN_TIMEOUT: i64 =
            Key::new("core.shutdown_timeout").default("5").passive().since("server_shutdown_timeout"),
        /// Whether to automatically trust clients signed by the CA.
        CORE_TRUST_CA_CERTIFICATES: bool = Key::new("core.trust_ca_certificates")
            .default("false").live().since("trust_ca_certificates"),
        /// Password with which clients set up a trust.
        CORE_TRUST_PASSWORD: String = Key::new("core.trust_password").passive().secret(),
    ]
}

keys! {
    /// `images.*`
    IMAGES = [
        /// Whether to automatically update any image that the server caches.
        IMAGES_AUTO_UPDATE_CACHED: bool = Key::new("images.auto_update_cached").default("true").passive(),
        /// Interval in hours at which to look for updates of cached images (0 disables it).
        IMAGES_AUTO_UPDATE_INTERVAL: i64 = Key::new("images.auto_update_interval").default("6").live(),
        /// Compression algorithm to use for new images (bzip2, gzip, lzma, xz, zstd, squashfs or none).
        IMAGES_COMPRESSION_ALGORITHM: Compression =
            Key::new("images.compression_algorithm").default("gzip").passive(),
        /// Architecture which is used where a cluster has several and a request names none.
        IMAGES_DEFAULT_ARCHITECTURE: String = Key::new("images.default_architecture")
            .passive().check(architecture).since("images_default_architecture"),
        /// Number of days after which an unused cached remote image is flushed.
        IMAGES_REMOTE_CACHE_EXPIRY: i64 = Key::new("images.remote_cache_expiry").default("10").live(),
    ]
}

keys! {
    /// `maas.*`
    MAAS = [
        /// API key to manage MAAS.
        MAAS_API_KEY: String = Key::new("maas.api.key").live().stored().since("maas_network"),
        /// URL of the MAAS server.
        MAAS_API_URL: String = Key::new("maas.api.url").live().stored().since("maas_network"),
        /// Name of this server in MAAS; its host name when nothing is set.
        MAAS_MACHINE: String = Key::new("maas.machine").live().local().stored().since("maas_network"),
    ]
}

keys! {
    /// `network.*`
    NETWORK = [
        /// Open vSwitch integration bridge to use for OVN networks.
        NETWORK_OVN_INTEGRATION_BRIDGE: String =
            Key::new("network.ovn.integration_bridge").default("br-int").live().stored().since("network_type_ovn"),
        /// Connection string of the OVN northbound database.
        NETWORK_OVN_NORTHBOUND_CONNECTION: String = Key::new("network.ovn.northbound_connection")
            .default("unix:/var/run/ovn/ovnnb_db.sock").live().stored().since("network_type_ovn"),
    ]
}

keys! {
    /// `rbac.*`
    RBAC = [
        /// The Candid agent private key as provided during RBAC registration.
        RBAC_AGENT_PRIVATE_KEY: String = Key::new("rbac.agent.private_key").live().since("rbac"),
        /// The Candid agent public key as provided during RBAC registration.
        RBAC_AGENT_PUBLIC_KEY: String = Key::new("rbac.agent.public_key").live().since("rbac"),
        /// The Candid agent URL as provided during RBAC registration.
        RBAC_AGENT_URL: String = Key::new("rbac.agent.url").live().since("rbac"),
        /// The Candid agent user name as provided during RBAC registration.
        RBAC_AGENT_USERNAME: String = Key::new("rbac.agent.username").live().since("rbac"),
        /// RBAC macaroon expiry in seconds.
        RBAC_API_EXPIRY: i64 = Key::new("rbac.api.expiry").live().since("rbac"),
        /// Public key of the RBAC server (required for HTTP-only servers).
        RBAC_API_KEY: String = Key::new("rbac.api.key").live().since("rbac"),
        /// URL of the external RBAC server.
        RBAC_API_URL: String = Key::new("rbac.api.url").live().since("rbac"),
        /// RBAC macaroon expiry in seconds (older spelling).
        RBAC_EXPIRY: i64 = Key::new("rbac.expiry").default("3600").live().since("rbac"),
    ]
}

keys! {
    /// `storage.*`
    STORAGE = [
        /// Volume that holds the backup tarballs (POOL/VOLUME).
        STORAGE_BACKUPS_VOLUME: String =
            Key::new("storage.backups_volume").live().local().since("daemon_storage"),
        /// Volume that holds the image tarballs (POOL/VOLUME).
        STORAGE_IMAGES_VOLUME: String =
            Key::new("storage.images_volume").live().local().since("daemon_storage"),
    ]
}

keys! {
    /// `user.*`
    USER = [
        /// Free-form keys and values.
        USER_ANY: Blob = Key::new("user.*").passive(),
    ]
}

/// Keys of the time before storage pools: known, and refused when they are given a value.
const DEPRECATED: [&str; 8] = [
    "storage.lvm_fstype",
    "storage.lvm_mount_options",
    "storage.lvm_thinpool_name",
    "storage.lvm_vg_name",
    "storage.lvm_volume_size",
    "storage.zfs_pool_name",
    "storage.zfs_remove_snapshots",
    "storage.zfs_use_refquota",
];

/// Refused keys of one change: the first is named, the others are counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerKeysError {
    /// Key and reason of the first refusal.
    pub first: String,
    /// How many more there are.
    pub more: usize,
}

impl std::fmt::Display for ServerKeysError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.first)?;
        if self.more > 0 {
            write!(f, " (and {} more errors)", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerKeysError {}

impl Classify for ServerKeysError {
    fn kind(&self) -> Kind {
        Kind::BadRequest
    }
}

/// The configuration after `change` was laid over `current`: empty values and defaults are not stored, booleans are
/// written `true` and `false`. For a replacing request give every key that is to go an empty value.
///
/// # Errors
/// Keys or values that are refused; nothing else is looked at (volumes and addresses are checked where they are used).
pub fn apply(current: &Config, change: &Config) -> Result<Config, ServerKeysError> {
    let mut config = current.clone();
    let mut refused = Vec::new();
    for (key, value) in change {
        match stored(key, value) {
            Ok(Some(value)) => config.insert(key.clone(), value),
            Ok(None) => config.remove(key),
            Err(error) => {
                refused.push(error);
                None
            }
        };
    }
    match refused.first() {
        None => Ok(config),
        Some(first) => Err(ServerKeysError { first: text(first), more: refused.len() - 1 }),
    }
}

/// Keys of a configuration that is about to be stored which have no effect in this version: each is a warning.
pub fn without_effect(config: &Config) -> Vec<&str> {
    let stored = |key: &str| SERVER.find(key).is_some_and(|known| known.meta().effect == Effect::Stored);
    config.keys().map(String::as_str).filter(|key| stored(key)).collect()
}

/// What is stored for a value: nothing when it is empty or the default.
fn stored(key: &str, value: &str) -> Result<Option<String>, KeyError> {
    let refuse = |reason| KeyError { key: key.to_owned(), value: value.to_owned(), reason };
    if DEPRECATED.contains(&key) {
        return match value {
            "" => Ok(None),
            _ => Err(refuse(Reason::Invalid(ValueError::new("deprecated: use storage pool configuration")))),
        };
    }
    let known = SERVER.check_one(key, value)?;
    if known.meta().effect == Effect::NotYet && !value.is_empty() {
        return Err(refuse(Reason::NotYet));
    }
    let value = match known.label() == <bool as Value>::LABEL && !value.is_empty() {
        true => words::is_true(value).to_string(),
        false => value.to_owned(),
    };
    Ok(Some(value).filter(|value| !value.is_empty() && known.meta().default != Some(value.as_str())))
}

fn text(error: &KeyError) -> String {
    let reason = match &error.reason {
        Reason::Unknown => "unknown key".to_owned(),
        Reason::NotYet => "not supported yet".to_owned(),
        Reason::Invalid(why) => plain_reason(SERVER.find(&error.key), why),
    };
    format!("cannot set '{}' to '{}': {reason}", error.key, error.value)
}

/// Server keys say no more than the type that they want.
fn plain_reason(key: Option<&'static dyn AnyKey>, why: &ValueError) -> String {
    match key.map(AnyKey::label) {
        Some("boolean") => "invalid boolean".to_owned(),
        Some("integer") if why.0.starts_with("Invalid value for an integer") => "invalid integer".to_owned(),
        _ => why.to_string(),
    }
}

fn listen_address(text: &str) -> Result<(), ValueError> {
    let unresolved = || Err(ValueError(format!("Couldn't resolve {text:?}")));
    if text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok() {
        return Ok(());
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "8443"));
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match host {
        "" | "*" | "localhost" => {}
        host if host.parse::<std::net::IpAddr>().is_ok() => {}
        // Whether a host name resolves is found out where it is used.
        host if !text.starts_with('[') && is_host_name(host) => {}
        _ => return unresolved(),
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err(ValueError(format!("address {port}: invalid port"))),
    }
}

fn is_host_name(text: &str) -> bool {
    let is_label = |part: &str| {
        (1..=63).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.split('.').all(is_label) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

fn number_where(text: &str, allowed: impl Fn(i64) -> bool, reason: &str) -> Result<(), ValueError> {
    match allowed(words::parse_i64(text)?) {
        true => Ok(()),
        false => Err(ValueError::new(reason)),
    }
}

fn image_replica(text: &str) -> Result<(), ValueError> {
    number_where(text, |n| n == -1 || n >= 1, "Invalid value for image replica count")
}

fn max_standby(text: &str) -> Result<(), ValueError> {
    number_where(text, |n| (0..=5).contains(&n), "Value must be between 0 and 5")
}

fn max_voters(text: &str) -> Result<(), ValueError> {
    number_where(text, |n| n >= 3 && n % 2 == 1, "Value must be an odd number equal to or higher than 3")
}

fn offline_threshold(text: &str) -> Result<(), ValueError> {
    number_where(text, |n| n > 10, "Value must be greater than '10'")
}

fn bgp_asn(text: &str) -> Result<(), ValueError> {
    let reason = "Value isn't within valid range. Must be between 0 and 4294967294";
    number_where(text, |n| (0..=4_294_967_294).contains(&n), reason)
}

fn ipv4_address(text: &str) -> Result<(), ValueError> {
    match text.parse::<std::net::Ipv4Addr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(ValueError(format!("Not an IPv4 address {text:?}"))),
    }
}

fn addresses(text: &str) -> Result<(), ValueError> {
    match text.split(',').map(str::trim).find(|item| item.parse::<std::net::IpAddr>().is_err()) {
        Some(item) => Err(ValueError(format!("Not an IP address {item:?}"))),
        None => Ok(()),
    }
}

fn architecture(text: &str) -> Result<(), ValueError> {
    let names = || Architecture::ALL.iter().map(|architecture| architecture.name()).collect::<Vec<_>>();
    match text.parse::<Architecture>() {
        Ok(_) => Ok(()),
        Err(_) => Err(ValueError(format!("Invalid value {text:?} (not one of [{}])", names().join(" ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        apply(&Config::new(), &config(pairs)).unwrap_err().to_string()
    }

    #[test]
    fn refusals_are_those_of_servers() {
        for (key, value, reason) in [
            ("no.such", "1", "unknown key"),
            ("core.shutdown_timeout", "a", "invalid integer"),
            ("core.https_allowed_credentials", "maybe", "invalid boolean"),
            ("cluster.offline_threshold", "10", "Value must be greater than '10'"),
            ("cluster.max_voters", "4", "Value must be an odd number equal to or higher than 3"),
            ("images.compression_algorithm", "nosuch", "Invalid compression algorithm \"nosuch\""),
            ("core.https_address", "not an address", "Couldn't resolve \"not an address\""),
            ("core.bgp_routerid", "x", "Not an IPv4 address \"x\""),
            ("storage.zfs_pool_name", "x", "deprecated: use storage pool configuration"),
        ] {
            assert_eq!(refusal(&[(key, value)]), format!("cannot set '{key}' to '{value}': {reason}"));
        }
        assert_eq!(
            refusal(&[("core.shutdown_timeout", "a"), ("no.such", "b")]),
            "cannot set 'core.shutdown_timeout' to 'a': invalid integer (and 1 more errors)"
        );
    }

    #[test]
    fn defaults_are_not_stored_and_booleans_are_normal() {
        let current = config(&[("images.auto_update_interval", "12"), ("user.a", "x")]);
        let change = config(&[
            ("images.auto_update_interval", "6"),
            ("core.https_allowed_credentials", "on"),
            ("images.auto_update_cached", "yes"),
            ("user.a", ""),
            ("storage.zfs_pool_name", ""),
            ("candid.api.url", ""),
        ]);
        assert_eq!(apply(&current, &change).unwrap(), config(&[("core.https_allowed_credentials", "true")]));
    }

    #[test]
    fn addresses() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:8443",
            ":8443",
            "[::]:8443",
            "::1",
            "[::1]:1",
            "localhost:1",
            "*:8443",
            "a.b-c:1",
        ] {
            assert_eq!(listen_address(good), Ok(()), "{good}");
        }
        for bad in ["a b", "127.0.0.1:99999", "256.1.1.1", "[x]:1", ":"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_without_effect_are_listed() {
        assert_eq!(without_effect(&config(&[("maas.api.url", "x"), ("user.a", "b")])), ["maas.api.url"]);
    }
}
