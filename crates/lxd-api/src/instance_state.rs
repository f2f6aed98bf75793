//! Wire structs of the run-time state of instances (`rest-api.yaml`).

use crate::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `InstanceState` represents a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceState {
    /// Current status (Running, Stopped, Frozen or Error).
    pub status: String,
    /// status_code.
    pub status_code: StatusCode,
    /// Dict of disk usage.
    #[serde(deserialize_with = "crate::wire::null_is_empty")]
    pub disk: BTreeMap<String, InstanceStateDisk>,
    /// memory.
    pub memory: InstanceStateMemory,
    /// Dict of network usage.
    #[serde(serialize_with = "crate::wire::null_or_map", deserialize_with = "crate::wire::null_is_empty")]
    pub network: BTreeMap<String, InstanceStateNetwork>,
    /// PID of the runtime.
    pub pid: i64,
    /// Number of processes in the instance.
    pub processes: i64,
    /// cpu.
    pub cpu: InstanceStateCpu,
}

/// `InstanceStateCPU` represents the cpu information section of a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStateCpu {
    /// CPU usage in nanoseconds.
    pub usage: i64,
}

/// `InstanceStateDisk` represents the disk information section of a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStateDisk {
    /// Disk usage in bytes.
    pub usage: i64,
    /// Size of the disk in bytes; 0 when it has no limit.
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub total: i64,
}

/// `InstanceStateMemory` represents the memory information section of a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStateMemory {
    /// Memory usage in bytes.
    pub usage: i64,
    /// Peak memory usage in bytes.
    pub usage_peak: i64,
    /// SWAP usage in bytes.
    pub swap_usage: i64,
    /// Peak SWAP usage in bytes.
    pub swap_usage_peak: i64,
}

/// `InstanceStateNetwork` represents the network information section of a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStateNetwork {
    /// List of IP addresses.
    pub addresses: Vec<InstanceStateNetworkAddress>,
    /// counters.
    pub counters: InstanceStateNetworkCounters,
    /// MAC address.
    pub hwaddr: String,
    /// Name of the interface on the host.
    pub host_name: String,
    /// MTU (maximum transmit unit) for the interface.
    pub mtu: i64,
    /// Administrative state of the interface (up/down).
    pub state: String,
    /// Type of interface (broadcast, loopback, point-to-point, ...).
    #[serde(rename = "type")]
    pub kind: String,
}

/// `InstanceStateNetworkAddress` represents a network address as part of the network section of a
/// LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStateNetworkAddress {
    /// Network family (inet or inet6).
    pub family: String,
    /// IP address.
    pub address: String,
    /// Network mask.
    pub netmask: String,
    /// Address scope (local, link or global).
    pub scope: String,
}

/// `InstanceStateNetworkCounters` represents packet counters as part of the network section of a
/// LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStateNetworkCounters {
    /// Number of bytes received.
    pub bytes_received: i64,
    /// Number of bytes sent.
    pub bytes_sent: i64,
    /// Number of packets received.
    pub packets_received: i64,
    /// Number of packets sent.
    pub packets_sent: i64,
    /// Number of errors received.
    pub errors_received: i64,
    /// Number of errors sent.
    pub errors_sent: i64,
    /// Number of outbound packets dropped.
    pub packets_dropped_outbound: i64,
    /// Number of inbound packets dropped.
    pub packets_dropped_inbound: i64,
}

/// `InstanceStatePut` represents the modifiable fields of a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStatePut {
    /// State change action (start, stop, restart, freeze, unfreeze).
    pub action: String,
    /// How long to wait (in s) before giving up (when force isn't set).
    pub timeout: i64,
    /// Whether to force the action (for stop and restart).
    pub force: bool,
    /// Whether to store the runtime state (for stop).
    pub stateful: bool,
}
