//! `GET /1.0`: what the server shows of itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lxd_api::server::{Server as Wire, ServerEnvironment, ServerStorageDriverInfo, ServerUntrusted};
use lxd_api::{API_LEVEL, API_VERSION, extensions};
use lxd_config::server::SERVER;
use lxd_host::netlink::{Netlink, Scope};
use lxd_types::names::ProjectName;
use lxd_types::{Cidr, Result};
use serde_json::Value;

use super::Facts;
use crate::Core;

impl Core {
    /// The facts about the host, found on first use.
    ///
    /// # Errors
    /// Finding them panicked.
    pub async fn facts(&self) -> Result<Arc<Facts>> {
        let (dir, switches) = (self.options.dir.clone(), self.switches.clone());
        let find = || async move {
            let found = tokio::task::spawn_blocking(move || Arc::new(Facts::find(&dir, &switches))).await;
            found.map_err(|_| lxd_types::Error::internal("Looking at the host panicked"))
        };
        self.server.facts.get_or_try_init(find).await.cloned()
    }

    /// The server as trusted clients see it.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn server_view(&self, project: &ProjectName) -> Result<Wire> {
        let public = self.server_untrusted_view();
        Ok(Wire {
            config: self.shown_config(),
            api_extensions: public.api_extensions,
            api_status: public.api_status,
            api_version: public.api_version,
            auth: "trusted".to_owned(),
            public: false,
            auth_methods: public.auth_methods,
            environment: self.environment(project).await?,
        })
    }

    /// Refuses a project that does not exist.
    ///
    /// # Errors
    /// Not found, or a failure of the database.
    pub async fn require_project(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.db.read(move |tx| lxd_db::projects::require(tx, &name).map(drop)).await
    }

    /// The server as strangers see it.
    pub fn server_untrusted_view(&self) -> ServerUntrusted {
        ServerUntrusted {
            api_extensions: extensions::SUPPORTED.iter().map(|name| (*name).to_owned()).collect(),
            api_status: "stable".to_owned(),
            api_version: API_VERSION.to_owned(),
            auth: "untrusted".to_owned(),
            public: false,
            auth_methods: if self.identities.is_used() {
                vec!["tls".to_owned(), "candid".to_owned()]
            } else {
                vec!["tls".to_owned()]
            },
        }
    }

    /// The configuration as shown: of a secret only that there is one.
    pub fn shown_config(&self) -> BTreeMap<String, Value> {
        let config = self.server.config();
        let shown = config.iter().map(|(key, value)| {
            let secret = SERVER.find(key).is_some_and(|known| known.meta().secret);
            (key.clone(), if secret { Value::Bool(true) } else { Value::String(value.clone()) })
        });
        shown.collect()
    }

    async fn environment(&self, project: &ProjectName) -> Result<ServerEnvironment> {
        let facts = self.facts().await?;
        let pools = self.db.read(|tx| lxd_db::storage_pools::list(tx, 1)).await?;
        let in_use = |driver: &&lxd_storage::Driver| pools.iter().any(|pool| pool.driver == driver.name);
        let in_use: Vec<&lxd_storage::Driver> = self.storage_drivers.iter().filter(in_use).collect();
        let used = |part: fn(&lxd_storage::Driver) -> &str| {
            in_use.iter().map(|driver| part(driver)).collect::<Vec<_>>().join(" | ")
        };
        let driver = |text: &str| if facts.lxc_version.is_empty() { String::new() } else { text.to_owned() };
        Ok(ServerEnvironment {
            addresses: self.addresses().await,
            architectures: facts.architectures.clone(),
            certificate: self.server.certificate.pem.clone(),
            certificate_fingerprint: self.server.certificate.fingerprint.clone(),
            driver: driver("lxc"),
            driver_version: facts.lxc_version.clone(),
            firewall: self.bridges.firewall().driver().to_owned(),
            kernel: facts.kernel.clone(),
            kernel_architecture: facts.kernel_architecture.clone(),
            kernel_features: facts.kernel_features.clone(),
            kernel_version: facts.kernel_version.clone(),
            lxc_features: facts.lxc_features.clone(),
            os_name: facts.os_name.clone(),
            os_version: facts.os_version.clone(),
            project: project.to_string(),
            server: "lxd".to_owned(),
            server_clustered: false,
            server_event_mode: "full-mesh".to_owned(),
            server_name: facts.host_name.clone(),
            server_pid: i64::from(std::process::id()),
            server_version: API_LEVEL.to_owned(),
            storage: used(|driver| driver.name),
            storage_supported_drivers: self.storage_drivers.iter().map(driver_info).collect(),
            storage_version: used(|driver| &driver.version),
        })
    }

    /// Addresses at which remote clients reach this server; a wildcard stands for all that the host has.
    pub async fn addresses(&self) -> Vec<String> {
        let config = self.server.config();
        let Some(address) = config.get("core.https_address").filter(|address| !address.is_empty()) else {
            return Vec::new();
        };
        let address = with_port(address);
        match wildcard_port(&address) {
            Some((port, ipv6)) => {
                let found = host_addresses(ipv6).await;
                found.into_iter().map(|ip| SocketAddr::new(ip, port).to_string()).collect()
            }
            None => vec![address],
        }
    }
}

/// An address with its port; 8443 when it names none.
pub fn with_port(address: &str) -> String {
    if let Ok(ip) = address.parse::<IpAddr>() {
        return SocketAddr::new(ip, 8443).to_string();
    }
    if address.starts_with('[') && address.ends_with(']') {
        return format!("{address}:8443");
    }
    match address.rsplit_once(':') {
        Some(_) => address.to_owned(),
        None => format!("{address}:8443"),
    }
}

/// The port of a wildcard address, and whether it means IPv6 too.
fn wildcard_port(address: &str) -> Option<(u16, bool)> {
    let (host, port) = address.rsplit_once(':')?;
    let ipv6 = match host {
        "" | "*" | "[::]" => true,
        "0.0.0.0" => false,
        _ => return None,
    };
    Some((port.parse().ok()?, ipv6))
}

/// The addresses of the host's interfaces that other hosts can reach.
async fn host_addresses(ipv6: bool) -> Vec<IpAddr> {
    let Ok(netlink) = Netlink::open() else { return Vec::new() };
    let found = netlink.addresses(None).await.unwrap_or_default();
    let global = found.into_iter().filter(|address| address.scope == Scope::Global && !address.tentative);
    let ips = global.map(|address| match address.cidr {
        Cidr::V4(cidr) => IpAddr::V4(cidr.address()),
        Cidr::V6(cidr) => IpAddr::V6(cidr.address()),
    });
    ips.filter(|ip| ipv6 || ip.is_ipv4()).collect()
}

fn driver_info(driver: &lxd_storage::Driver) -> ServerStorageDriverInfo {
    ServerStorageDriverInfo {
        name: driver.name.to_owned(),
        version: driver.version.clone(),
        remote: driver.remote,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (given, expected) in [
            ("127.0.0.1", "127.0.0.1:8443"),
            ("::1", "[::1]:8443"),
            ("[::]", "[::]:8443"),
            (":1", ":1"),
            ("host", "host:8443"),
            ("host:1", "host:1"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(with_port(given), expected);
        }
        assert_eq!(wildcard_port(":8443"), Some((8443, true)));
        assert_eq!(wildcard_port("0.0.0.0:1"), Some((1, false)));
        assert_eq!(wildcard_port("127.0.0.1:1"), None);
    }
}
