//! The server itself: its configuration, what it says of itself, whom it trusts, where it listens.

mod config;
pub mod environment;
mod features;
mod host;
pub(crate) mod stores;
mod view;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use lxd_auth::ServerCertificate;
use lxd_client::{Egress, Proxies, Reach};
use lxd_config::project::RESTRICTED_ON;
use lxd_config::server::CORE_TRUST_CA_CERTIFICATES;
use lxd_types::names::ProjectName;
use lxd_types::{Config, ConfigExt, Result};
use tokio::sync::OnceCell;

pub use config::{Change, hash_password};
pub use environment::Facts;
pub use view::with_port;

impl crate::Core {
    /// How servers outside are reached for somebody who acts in a project. Restricted projects do not reach this machine
    /// itself through it (security.md C12).
    ///
    /// # Errors
    /// There is no such project.
    pub async fn egress(&self, project: &ProjectName) -> Result<Egress> {
        let name = project.to_string();
        let config = self.db.read(move |tx| Ok(lxd_db::projects::get(tx, &name)?.config)).await?;
        let reach = match RESTRICTED_ON.is_on(&config) {
            true => Reach::Outside(self.api_address()),
            false => Reach::Anywhere,
        };
        let usual = Egress::default();
        let patience = self.faults.patience(usual.patience);
        Ok(Egress { proxies: self.proxies(), reach, patience, ..usual })
    }

    /// Where the API listens on the network. Images are copied between projects of this server through it.
    pub(crate) fn api_address(&self) -> Option<SocketAddr> {
        let config = self.server.config();
        let address = with_port(config.set("core.https_address")?);
        let (host, port) = address.rsplit_once(':')?;
        let ip = match host.trim_matches(['[', ']']) {
            "" | "*" => Ipv6Addr::UNSPECIFIED.into(),
            host => host.parse::<IpAddr>().ok()?,
        };
        Some(SocketAddr::new(ip, port.parse().ok()?))
    }

    /// Proxies for what the server fetches: those of the configuration, else those of the environment.
    pub fn proxies(&self) -> Proxies {
        let (config, env) = (self.server.config(), Proxies::from_env());
        let or = |key: &str, env: String| config.set(key).map_or(env, str::to_owned);
        Proxies {
            http: or("core.proxy_http", env.http),
            https: or("core.proxy_https", env.https),
            ignore: or("core.proxy_ignore_hosts", env.ignore),
        }
    }
}

/// Where the server listens besides the unix socket. Implemented by the HTTP layer.
#[async_trait]
pub trait Endpoints: Send + Sync {
    /// Makes the network listener listen at this address (empty: nowhere), at once. When that fails, the old
    /// listener is still there.
    ///
    /// # Errors
    /// The address is taken or not ours.
    async fn listen(&self, address: &str) -> Result<()>;

    /// The same for the debug pages (`core.debug_address`).
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    async fn listen_debug(&self, address: &str) -> Result<()>;
}

/// Who signs the certificates of clients in PKI mode. Implemented by the HTTP layer.
pub trait ClientAuthority: Send + Sync {
    /// Could somebody be let in with this certificate (PEM) because the authority signed it?
    fn may_vouch_for(&self, pem: &str) -> bool;
}

/// A rendered answer and the commits of the database that it was made after.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Number of commits then; any more make it stale.
    pub commits: u64,
    /// The whole body.
    pub body: Bytes,
    /// The version of the configuration in it.
    pub etag: String,
}

/// The server's part of the core.
pub struct Server {
    /// The configuration as stored: global and local keys together. Held for a copy of the `Arc`.
    config: RwLock<Arc<Config>>,
    /// Changes go one after the other, so that a listener never differs from what is stored.
    changing: tokio::sync::Mutex<()>,
    /// What never changes while the daemon runs.
    facts: OnceCell<Arc<Facts>>,
    /// The certificate that TLS clients see.
    pub certificate: ServerCertificate,
    /// Set once, before the API is up.
    pub endpoints: OnceLock<Arc<dyn Endpoints>>,
    /// Set once, before the API is up, in PKI mode only.
    pub authority: OnceLock<Arc<dyn ClientAuthority>>,
    /// The last rendered `GET /1.0`. Held for a copy.
    pub rendered: Mutex<Option<Rendered>>,
}

impl Server {
    /// A server with this stored configuration.
    pub fn new(config: Config, certificate: ServerCertificate) -> Self {
        Self {
            config: RwLock::new(Arc::new(config)),
            changing: tokio::sync::Mutex::default(),
            facts: OnceCell::new(),
            certificate,
            endpoints: OnceLock::new(),
            authority: OnceLock::new(),
            rendered: Mutex::default(),
        }
    }

    /// The present configuration; defaults are not in it, the keys' own reads know them.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().expect("no panic happens while the lock is held").clone()
    }

    /// In PKI mode: is every client trusted whose certificate the authority signed?
    pub fn trusts_authority(&self) -> bool {
        CORE_TRUST_CA_CERTIFICATES.is_on(&self.config())
    }

    fn set_config(&self, config: Config) {
        *self.config.write().expect("no panic happens while the lock is held") = Arc::new(config);
        *self.rendered.lock().expect("no panic happens while the lock is held") = None;
    }
}
