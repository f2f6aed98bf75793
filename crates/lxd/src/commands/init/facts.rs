//! What the questions and the automatic mode have to know about server and host.

use lxd_api::network::Network;
use lxd_api::server::Server;
use lxd_api::storage_pool::StoragePool;
use lxd_client::Client;
use lxd_types::Result;

use crate::cli::lxd_dir;

/// Where the host lists its interfaces.
const INTERFACES: &str = "/sys/class/net";

/// Bytes in a GiB.
const GIB: u64 = 1 << 30;

/// A network interface of the host.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// It is a bridge.
    pub bridge: bool,
}

/// The facts.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Names of the storage pools.
    pub pools: Vec<String>,
    /// Names of the managed networks.
    pub networks: Vec<String>,
    /// Storage drivers that the server offers for local pools.
    pub backends: Vec<String>,
    /// The host's name.
    pub host: String,
    /// Interfaces of the host.
    pub interfaces: Vec<Interface>,
    /// Size in GiB that a loop file gets if nothing else is said.
    pub loop_size: u64,
}

/// Local storage drivers that the questions know.
pub const KNOWN_BACKENDS: &[&str] = &["btrfs", "dir", "lvm", "zfs"];

impl Facts {
    /// Asks server and host.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn collect(client: &Client, server: &Server) -> Result<Self> {
        let pools: Vec<StoragePool> = client.get("/1.0/storage-pools?recursion=1").await?;
        let networks: Vec<Network> = client.get("/1.0/networks?recursion=1").await?;
        let offered = server.environment.storage_supported_drivers.iter().map(|driver| driver.name.clone());
        let mut backends: Vec<String> =
            offered.filter(|name| KNOWN_BACKENDS.contains(&name.as_str())).collect();
        backends.sort();
        Ok(Self {
            pools: pools.into_iter().map(|pool| pool.name).collect(),
            networks: networks
                .into_iter()
                .filter(|network| network.managed)
                .map(|network| network.name)
                .collect(),
            backends,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            interfaces: interfaces(),
            loop_size: loop_size(),
        })
    }

    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// A name for a new bridge: `lxdbr0`, or the next that the host does not have.
    pub fn free_bridge(&self) -> String {
        let mut names = (0..).map(|number| format!("lxdbr{number}"));
        let free = names.find(|name| self.interface(name).is_none() && !self.networks.contains(name));
        free.unwrap_or_default()
    }
}

fn interfaces() -> Vec<Interface> {
    let Ok(entries) = std::fs::read_dir(INTERFACES) else { return Vec::new() };
    let read = entries.flatten().map(|entry| Interface {
        name: entry.file_name().to_string_lossy().into_owned(),
        bridge: entry.path().join("bridge").is_dir(),
    });
    read.collect()
}

/// A fifth of the free space, at least 5 and at most 30 GiB.
fn loop_size() -> u64 {
    let free = rustix::fs::statvfs(lxd_dir()).map_or(0, |fs| fs.f_bavail * fs.f_frsize);
    (free / 5 / GIB).clamp(5, 30)
}
