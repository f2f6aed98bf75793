//! Wire structs of `instance` objects (`rest-api.yaml`).

use crate::StatusCode;
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Instance` represents a LXD instance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Instance {
    /// Architecture name.
    pub architecture: String,
    /// Instance configuration (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Instance creation timestamp.
    pub created_at: Timestamp,
    /// Instance description.
    pub description: String,
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// Expanded configuration (all profiles and local config merged).
    pub expanded_config: BTreeMap<String, String>,
    /// Expanded devices (all profiles and local devices merged).
    pub expanded_devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Last start timestamp.
    pub last_used_at: Timestamp,
    /// What cluster member this instance is located on.
    pub location: String,
    /// Instance name.
    pub name: String,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// If set, instance will be restored to the provided snapshot name.
    pub restore: String,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
    /// Instance status (see instance_state).
    pub status: String,
    /// status_code.
    pub status_code: StatusCode,
    /// The type of instance (container or virtual-machine).
    #[serde(rename = "type")]
    pub kind: String,
    /// Instance project name.
    pub project: String,
}

/// `InstanceBackup` represents a LXD instance backup.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceBackup {
    /// Whether to ignore snapshots (deprecated, use instance_only).
    pub container_only: bool,
    /// When the backup was cerated.
    pub created_at: Timestamp,
    /// When the backup expires (gets auto-deleted).
    pub expires_at: Timestamp,
    /// Whether to ignore snapshots.
    pub instance_only: bool,
    /// Backup name.
    pub name: String,
    /// Whether to use a pool-optimized binary format (instead of plain tarball).
    pub optimized_storage: bool,
}

/// `InstanceBackupPost` represents the fields available for the renaming of a instance backup.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceBackupPost {
    /// New backup name.
    pub name: String,
}

/// `InstanceBackupsPost` represents the fields available for a new LXD instance backup.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceBackupsPost {
    /// What compression algorithm to use.
    pub compression_algorithm: String,
    /// Whether to ignore snapshots (deprecated, use instance_only).
    pub container_only: bool,
    /// When the backup expires (gets auto-deleted).
    pub expires_at: Timestamp,
    /// Whether to ignore snapshots.
    pub instance_only: bool,
    /// Backup name.
    pub name: String,
    /// Whether to use a pool-optimized binary format (instead of plain tarball).
    pub optimized_storage: bool,
}

/// `InstanceConsolePost` represents a LXD instance console request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceConsolePost {
    /// Console height in rows (console type only).
    pub height: i64,
    /// Type of console to attach to (console or vga).
    #[serde(rename = "type")]
    pub kind: String,
    /// Console width in columns (console type only).
    pub width: i64,
}

/// `InstanceExecPost` represents a LXD instance exec request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceExecPost {
    /// Command and its arguments.
    pub command: Vec<String>,
    /// Current working directory for the command.
    pub cwd: String,
    /// Additional environment to pass to the command.
    pub environment: BTreeMap<String, String>,
    /// GID of the user to spawn the command as.
    pub group: u32,
    /// Terminal height in rows (for interactive).
    pub height: i64,
    /// Whether the command is to be spawned in interactive mode (singled PTY instead of 3 PIPEs).
    pub interactive: bool,
    /// Whether to capture the output for later download (requires non-interactive).
    #[serde(rename = "record-output")]
    pub record_output: bool,
    /// UID of the user to spawn the command as.
    pub user: u32,
    /// Whether to wait for all websockets to be connected before spawning the command.
    #[serde(rename = "wait-for-websocket")]
    pub wait_for_websocket: bool,
    /// Terminal width in characters (for interactive).
    pub width: i64,
}

/// `InstanceFull` is a combination of Instance, InstanceBackup, InstanceState and InstanceSnapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceFull {
    /// Architecture name.
    pub architecture: String,
    /// List of backups.
    pub backups: Vec<InstanceBackup>,
    /// Instance configuration (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Instance creation timestamp.
    pub created_at: Timestamp,
    /// Instance description.
    pub description: String,
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// Expanded configuration (all profiles and local config merged).
    pub expanded_config: BTreeMap<String, String>,
    /// Expanded devices (all profiles and local devices merged).
    pub expanded_devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Last start timestamp.
    pub last_used_at: Timestamp,
    /// What cluster member this instance is located on.
    pub location: String,
    /// Instance name.
    pub name: String,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// If set, instance will be restored to the provided snapshot name.
    pub restore: String,
    /// List of snapshots.
    pub snapshots: Vec<InstanceSnapshot>,
    /// state.
    pub state: InstanceState,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
    /// Instance status (see instance_state).
    pub status: String,
    /// status_code.
    pub status_code: StatusCode,
    /// The type of instance (container or virtual-machine).
    #[serde(rename = "type")]
    pub kind: String,
    /// Instance project name.
    pub project: String,
}

/// `InstancePost` represents the fields required to rename/move a LXD instance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstancePost {
    /// Whether snapshots should be discarded (migration only, deprecated, use instance_only).
    pub container_only: bool,
    /// Whether snapshots should be discarded (migration only).
    pub instance_only: bool,
    /// Whether to perform a live migration (migration only).
    pub live: bool,
    /// Whether the instance is being migrated to another server.
    pub migration: bool,
    /// New name for the instance.
    pub name: String,
    /// Target pool for local cross-pool move.
    pub pool: String,
    /// target.
    pub target: InstancePostTarget,
}

/// `InstancePostTarget` represents the migration target host and operation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstancePostTarget {
    /// The certificate of the migration target.
    pub certificate: String,
    /// The operation URL on the remote target.
    pub operation: String,
    /// Migration websockets credentials.
    pub secrets: BTreeMap<String, String>,
}

/// `InstancePut` represents the modifiable fields of a LXD instance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstancePut {
    /// Architecture name.
    pub architecture: String,
    /// Instance configuration (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Instance description.
    pub description: String,
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// If set, instance will be restored to the provided snapshot name.
    pub restore: String,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
}

/// `InstanceSnapshot` represents a LXD instance snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceSnapshot {
    /// Architecture name.
    pub architecture: String,
    /// Instance configuration (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Instance creation timestamp.
    pub created_at: Timestamp,
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// Expanded configuration (all profiles and local config merged).
    pub expanded_config: BTreeMap<String, String>,
    /// Expanded devices (all profiles and local devices merged).
    pub expanded_devices: BTreeMap<String, BTreeMap<String, String>>,
    /// When the snapshot expires (gets auto-deleted).
    pub expires_at: Timestamp,
    /// Last start timestamp.
    pub last_used_at: Timestamp,
    /// Snapshot name.
    pub name: String,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// Size of the snapshot in bytes.
    pub size: i64,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
}

/// `InstanceSnapshotPost` represents the fields required to rename/move a LXD instance snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceSnapshotPost {
    /// Whether to perform a live migration (requires migration).
    pub live: bool,
    /// Whether this is a migration request.
    pub migration: bool,
    /// New name for the snapshot.
    pub name: String,
    /// target.
    pub target: InstancePostTarget,
}

/// `InstanceSnapshotPut` represents the modifiable fields of a LXD instance snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceSnapshotPut {
    /// When the snapshot expires (gets auto-deleted).
    pub expires_at: Timestamp,
}

/// `InstanceSnapshotsPost` represents the fields available for a new LXD instance snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceSnapshotsPost {
    /// When the snapshot expires (gets auto-deleted).
    pub expires_at: Timestamp,
    /// Snapshot name.
    pub name: String,
    /// Whether the snapshot should include runtime state.
    pub stateful: bool,
}

/// `InstanceSource` represents the creation source for a new instance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceSource {
    /// Image alias name (for image source).
    pub alias: String,
    /// Base image fingerprint (for faster migration).
    #[serde(rename = "base-image")]
    pub base_image: String,
    /// Certificate (for remote images or migration).
    pub certificate: String,
    /// Whether the copy should skip the snapshots (for copy, deprecated, use instance_only).
    pub container_only: bool,
    /// Image fingerprint (for image source).
    pub fingerprint: String,
    /// Whether the copy should skip the snapshots (for copy).
    pub instance_only: bool,
    /// Whether this is a live migration (for migration).
    pub live: bool,
    /// Whether to use pull or push mode (for migration).
    pub mode: String,
    /// Remote operation URL (for migration).
    pub operation: String,
    /// Source project name (for copy and local image).
    pub project: String,
    /// Image filters (for image source).
    pub properties: BTreeMap<String, String>,
    /// Protocol name (for remote image).
    pub protocol: String,
    /// Whether this is refreshing an existing instance (for migration and copy).
    pub refresh: bool,
    /// Remote server secret (for remote private images).
    pub secret: String,
    /// Map of migration websockets (for migration).
    pub secrets: BTreeMap<String, String>,
    /// Remote server URL (for remote images).
    pub server: String,
    /// Existing instance name or snapshot (for copy).
    pub source: String,
    /// Source type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether to ignore errors when copying (e.g. for volatile files).
    pub allow_inconsistent: bool,
}

/// `InstanceState` represents a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceState {
    /// cpu.
    pub cpu: InstanceStateCpu,
    /// Dict of disk usage.
    pub disk: BTreeMap<String, InstanceStateDisk>,
    /// memory.
    pub memory: InstanceStateMemory,
    /// Dict of network usage.
    pub network: BTreeMap<String, InstanceStateNetwork>,
    /// PID of the runtime.
    pub pid: i64,
    /// Number of processes in the instance.
    pub processes: i64,
    /// Current status (Running, Stopped, Frozen or Error).
    pub status: String,
    /// status_code.
    pub status_code: StatusCode,
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
}

/// `InstanceStateMemory` represents the memory information section of a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStateMemory {
    /// SWAP usage in bytes.
    pub swap_usage: i64,
    /// Peak SWAP usage in bytes.
    pub swap_usage_peak: i64,
    /// Memory usage in bytes.
    pub usage: i64,
    /// Peak memory usage in bytes.
    pub usage_peak: i64,
}

/// `InstanceStateNetwork` represents the network information section of a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStateNetwork {
    /// List of IP addresses.
    pub addresses: Vec<InstanceStateNetworkAddress>,
    /// counters.
    pub counters: InstanceStateNetworkCounters,
    /// Name of the interface on the host.
    pub host_name: String,
    /// MAC address.
    pub hwaddr: String,
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
    /// IP address.
    pub address: String,
    /// Network family (inet or inet6).
    pub family: String,
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
    /// Number of inbound packets dropped.
    pub dropped_inbound: i64,
    /// Number of outbound packets dropped.
    pub dropped_outbound: i64,
    /// Number of errors received.
    pub errors_received: i64,
    /// Number of errors sent.
    pub errors_sent: i64,
    /// Number of packets received.
    pub packets_received: i64,
    /// Number of packets sent.
    pub packets_sent: i64,
    /// Number of inbound packets dropped.
    pub packets_dropped_inbound: i64,
    /// Number of outbound packets dropped.
    pub packets_dropped_outbound: i64,
}

/// `InstanceStatePut` represents the modifiable fields of a LXD instance's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceStatePut {
    /// State change action (start, stop, restart, freeze, unfreeze).
    pub action: String,
    /// Whether to force the action (for stop and restart).
    pub force: bool,
    /// Whether to store the runtime state (for stop).
    pub stateful: bool,
    /// How long to wait (in s) before giving up (when force isn't set).
    pub timeout: i64,
}

/// `InstancesPost` represents the fields available for a new LXD instance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstancesPost {
    /// Architecture name.
    pub architecture: String,
    /// Instance configuration (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Instance description.
    pub description: String,
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// Cloud instance type (AWS, GCP, Azure, ...) to emulate with limits.
    pub instance_type: String,
    /// Instance name.
    pub name: String,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// If set, instance will be restored to the provided snapshot name.
    pub restore: String,
    /// source.
    pub source: InstanceSource,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
    /// type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `InstancesPut` represents the fields available for a mass update.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstancesPut {
    /// state.
    pub state: InstanceStatePut,
}
