//! Wire structs of `server` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Server` represents a LXD server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Server {
    /// Server configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, serde_json::Value>,
    /// List of supported API extensions.
    pub api_extensions: Vec<String>,
    /// Support status of the current API (one of "devel", "stable" or "deprecated").
    pub api_status: String,
    /// API version number.
    pub api_version: String,
    /// Whether the client is trusted (one of "trusted" or "untrusted").
    pub auth: String,
    /// Whether the server is public-only (only public endpoints are implemented).
    pub public: bool,
    /// List of supported authentication methods.
    pub auth_methods: Vec<String>,
    /// environment.
    pub environment: ServerEnvironment,
}

/// `ServerEnvironment` represents the read-only environment fields of a LXD server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ServerEnvironment {
    /// List of addresses the server is listening on.
    pub addresses: Vec<String>,
    /// List of architectures supported by the server.
    pub architectures: Vec<String>,
    /// Server certificate as PEM encoded X509.
    pub certificate: String,
    /// Server certificate fingerprint as SHA256.
    pub certificate_fingerprint: String,
    /// List of supported instance drivers (separate by " | ").
    pub driver: String,
    /// List of supported instance driver versions (separate by " | ").
    pub driver_version: String,
    /// Current firewall driver.
    pub firewall: String,
    /// OS kernel name.
    pub kernel: String,
    /// OS kernel architecture.
    pub kernel_architecture: String,
    /// Map of kernel features that were tested on startup.
    pub kernel_features: BTreeMap<String, String>,
    /// Kernel version.
    pub kernel_version: String,
    /// Map of LXC features that were tested on startup.
    pub lxc_features: BTreeMap<String, String>,
    /// Name of the operating system (Linux distribution).
    pub os_name: String,
    /// Version of the operating system (Linux distribution).
    pub os_version: String,
    /// Current project name.
    pub project: String,
    /// Server implementation name.
    pub server: String,
    /// Whether the server is part of a cluster.
    pub server_clustered: bool,
    /// How events travel between members (`full-mesh` without a cluster).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_event_mode: String,
    /// Server hostname.
    pub server_name: String,
    /// PID of the LXD process.
    pub server_pid: i64,
    /// Server version.
    pub server_version: String,
    /// List of active storage drivers (separate by " | ").
    pub storage: String,
    /// List of active storage driver versions (separate by " | ").
    pub storage_version: String,
    /// List of supported storage drivers.
    pub storage_supported_drivers: Vec<ServerStorageDriverInfo>,
}

/// `ServerPut` represents the modifiable fields of a LXD server configuration.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ServerPut {
    /// Server configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, serde_json::Value>,
}

/// `ServerStorageDriverInfo` represents the read-only info about a storage driver.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ServerStorageDriverInfo {
    /// Name of the driver.
    #[serde(rename = "Name")]
    pub name: String,
    /// Version of the driver.
    #[serde(rename = "Version")]
    pub version: String,
    /// Whether the driver has remote volumes.
    #[serde(rename = "Remote")]
    pub remote: bool,
}

/// `ServerUntrusted` represents a LXD server for an untrusted client.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ServerUntrusted {
    /// List of supported API extensions.
    pub api_extensions: Vec<String>,
    /// Support status of the current API (one of "devel", "stable" or "deprecated").
    pub api_status: String,
    /// API version number.
    pub api_version: String,
    /// Whether the client is trusted (one of "trusted" or "untrusted").
    pub auth: String,
    /// Whether the server is public-only (only public endpoints are implemented).
    pub public: bool,
    /// List of supported authentication methods.
    pub auth_methods: Vec<String>,
}
