//! Wire structs of `network forward` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `NetworkForward` used for displaying an network address forward.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkForward {
    /// Description of the forward listen IP.
    pub description: String,
    /// Forward configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Port forwards (optional).
    pub ports: Vec<NetworkForwardPort>,
    /// The listen address of the forward.
    pub listen_address: String,
    /// What cluster member this record was found on.
    pub location: String,
}

/// `NetworkForwardPort` represents a port specification in a network address forward.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkForwardPort {
    /// Description of the forward port.
    pub description: String,
    /// Protocol for port forward (either tcp or udp).
    pub protocol: String,
    /// ListenPort(s) to forward (comma delimited ranges).
    pub listen_port: String,
    /// TargetPort(s) to forward ListenPorts to (allows for many-to-one).
    pub target_port: String,
    /// TargetAddress to forward ListenPorts to.
    pub target_address: String,
}

/// `NetworkForwardPut` represents the modifiable fields of a LXD network address forward.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkForwardPut {
    /// Description of the forward listen IP.
    pub description: String,
    /// Forward configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Port forwards (optional).
    pub ports: Vec<NetworkForwardPort>,
}

/// `NetworkForwardsPost` represents the fields of a new LXD network address forward.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkForwardsPost {
    /// Description of the forward listen IP.
    pub description: String,
    /// Forward configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Port forwards (optional).
    pub ports: Vec<NetworkForwardPort>,
    /// The listen address of the forward.
    pub listen_address: String,
}
