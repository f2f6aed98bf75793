//! Wire structs of `network` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Network` represents a LXD network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Network {
    /// Network configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the profile.
    pub description: String,
    /// The network name.
    pub name: String,
    /// The network type.
    #[serde(rename = "type")]
    pub kind: String,
    /// List of URLs of objects using this profile; `null` when there is none, as the reference writes it.
    #[serde(serialize_with = "crate::wire::null_when_empty")]
    pub used_by: Vec<String>,
    /// Whether this is a LXD managed network.
    pub managed: bool,
    /// The state of the network (for managed network in clusters).
    pub status: String,
    /// Cluster members on which the network has been defined; `null` for an interface that is not managed.
    #[serde(serialize_with = "crate::wire::null_when_empty")]
    pub locations: Vec<String>,
}

/// `NetworkLease` represents a DHCP lease.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkLease {
    /// The hostname associated with the record.
    pub hostname: String,
    /// The MAC address.
    pub hwaddr: String,
    /// The IP address.
    pub address: String,
    /// The type of record (static or dynamic).
    #[serde(rename = "type")]
    pub kind: String,
    /// What cluster member this record was found on.
    pub location: String,
}

/// `NetworkPost` represents the fields required to rename a LXD network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkPost {
    /// The new name for the network.
    pub name: String,
}

/// `NetworkPut` represents the modifiable fields of a LXD network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkPut {
    /// Network configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the profile.
    pub description: String,
}

/// `NetworkState` represents the network state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkState {
    /// List of addresses.
    pub addresses: Vec<NetworkStateAddress>,
    /// counters.
    pub counters: NetworkStateCounters,
    /// MAC address.
    pub hwaddr: String,
    /// MTU.
    pub mtu: i64,
    /// Link state.
    pub state: String,
    /// Interface type.
    #[serde(rename = "type")]
    pub kind: String,
    /// bond.
    pub bond: Option<NetworkStateBond>,
    /// bridge.
    pub bridge: Option<NetworkStateBridge>,
    /// vlan.
    pub vlan: Option<NetworkStateVlan>,
}

/// `NetworkStateAddress` represents a network address.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkStateAddress {
    /// Address family.
    pub family: String,
    /// IP address.
    pub address: String,
    /// IP netmask (CIDR).
    pub netmask: String,
    /// Address scope.
    pub scope: String,
}

/// `NetworkStateBond` represents bond specific state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkStateBond {
    /// Bonding mode.
    pub mode: String,
    /// Transmit balancing policy.
    pub transmit_policy: String,
    /// Delay on link up (ms).
    pub up_delay: u64,
    /// Delay on link down (ms).
    pub down_delay: u64,
    /// How often to check for link state (ms).
    pub mii_frequency: u64,
    /// Bond link state.
    pub mii_state: String,
    /// List of devices that are part of the bond.
    pub lower_devices: Vec<String>,
}

/// `NetworkStateBridge` represents bridge specific state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkStateBridge {
    /// Bridge ID.
    pub id: String,
    /// Whether STP is enabled.
    pub stp: bool,
    /// Delay on port join (ms).
    pub forward_delay: u64,
    /// Default VLAN ID.
    pub vlan_default: u64,
    /// Whether VLAN filtering is enabled.
    pub vlan_filtering: bool,
    /// List of devices that are in the bridge.
    pub upper_devices: Vec<String>,
}

/// `NetworkStateCounters` represents packet counters.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkStateCounters {
    /// Number of bytes received.
    pub bytes_received: i64,
    /// Number of bytes sent.
    pub bytes_sent: i64,
    /// Number of packets received.
    pub packets_received: i64,
    /// Number of packets sent.
    pub packets_sent: i64,
}

/// `NetworkStateVLAN` represents VLAN specific state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworkStateVlan {
    /// Parent device.
    pub lower_device: String,
    /// VLAN ID.
    pub vid: u64,
}

/// `NetworksPost` represents the fields of a new LXD network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NetworksPost {
    /// Network configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the profile.
    pub description: String,
    /// The name of the new network.
    pub name: String,
    /// The network type (see config-keys.tsv).
    #[serde(rename = "type")]
    pub kind: String,
}
