//! Wire structs of `instance` objects (`rest-api.yaml`).

use crate::StatusCode;
use crate::Timestamp;
use crate::instance_state::{InstanceState, InstanceStatePut};
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
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// If set, instance will be restored to the provided snapshot name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restore: String,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
    /// Instance description.
    pub description: String,
    /// Instance creation timestamp.
    pub created_at: Timestamp,
    /// Expanded configuration (all profiles and local config merged).
    pub expanded_config: BTreeMap<String, String>,
    /// Expanded devices (all profiles and local devices merged).
    pub expanded_devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Instance name.
    pub name: String,
    /// Instance status (see instance_state).
    pub status: String,
    /// status_code.
    pub status_code: StatusCode,
    /// Last start timestamp.
    pub last_used_at: Timestamp,
    /// What cluster member this instance is located on.
    pub location: String,
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
    /// Backup name.
    pub name: String,
    /// When the backup was cerated.
    pub created_at: Timestamp,
    /// When the backup expires (gets auto-deleted).
    pub expires_at: Timestamp,
    /// Whether to ignore snapshots.
    pub instance_only: bool,
    /// Whether to ignore snapshots (deprecated, use instance_only).
    pub container_only: bool,
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
    /// Console width in columns (console type only).
    pub width: i64,
    /// Console height in rows (console type only).
    pub height: i64,
    /// Type of console to attach to (console or vga).
    #[serde(rename = "type")]
    pub kind: String,
}

/// `InstanceExecPost` represents a LXD instance exec request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceExecPost {
    /// Command and its arguments.
    pub command: Vec<String>,
    /// Whether to wait for all websockets to be connected before spawning the command.
    #[serde(rename = "wait-for-websocket")]
    pub wait_for_websocket: bool,
    /// Whether the command is to be spawned in interactive mode (singled PTY instead of 3 PIPEs).
    pub interactive: bool,
    /// Additional environment to pass to the command.
    pub environment: BTreeMap<String, String>,
    /// Terminal width in characters (for interactive).
    pub width: i64,
    /// Terminal height in rows (for interactive).
    pub height: i64,
    /// Whether to capture the output for later download (requires non-interactive).
    #[serde(rename = "record-output")]
    pub record_output: bool,
    /// UID of the user to spawn the command as.
    pub user: u32,
    /// GID of the user to spawn the command as.
    pub group: u32,
    /// Current working directory for the command.
    pub cwd: String,
}

/// `InstanceFull` is a combination of Instance, InstanceBackup, InstanceState and InstanceSnapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceFull {
    /// Architecture name.
    pub architecture: String,
    /// Instance configuration (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// If set, instance will be restored to the provided snapshot name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restore: String,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
    /// Instance description.
    pub description: String,
    /// Instance creation timestamp.
    pub created_at: Timestamp,
    /// Expanded configuration (all profiles and local config merged).
    pub expanded_config: BTreeMap<String, String>,
    /// Expanded devices (all profiles and local devices merged).
    pub expanded_devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Instance name.
    pub name: String,
    /// Instance status (see instance_state).
    pub status: String,
    /// status_code.
    pub status_code: StatusCode,
    /// Last start timestamp.
    pub last_used_at: Timestamp,
    /// What cluster member this instance is located on.
    pub location: String,
    /// The type of instance (container or virtual-machine).
    #[serde(rename = "type")]
    pub kind: String,
    /// Instance project name.
    pub project: String,
    /// List of backups.
    #[serde(
        serialize_with = "crate::wire::null_when_empty",
        deserialize_with = "crate::wire::null_is_empty"
    )]
    pub backups: Vec<InstanceBackup>,
    /// state.
    pub state: InstanceState,
    /// List of snapshots.
    #[serde(
        serialize_with = "crate::wire::null_when_empty",
        deserialize_with = "crate::wire::null_is_empty"
    )]
    pub snapshots: Vec<InstanceSnapshot>,
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
    /// Target project for a move inside the server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
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
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// If set, instance will be restored to the provided snapshot name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restore: String,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
    /// Instance description.
    pub description: String,
}

/// `InstanceSnapshot` represents a LXD instance snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceSnapshot {
    /// When the snapshot expires (gets auto-deleted).
    pub expires_at: Timestamp,
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
    /// Last start timestamp.
    pub last_used_at: Timestamp,
    /// Snapshot name.
    pub name: String,
    /// List of profiles applied to the instance.
    pub profiles: Vec<String>,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
    /// Size of the snapshot in bytes.
    pub size: i64,
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
    /// When the snapshot expires (gets auto-deleted); missing: as the instance's configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Snapshot name.
    pub name: String,
    /// Whether the snapshot should include runtime state.
    pub stateful: bool,
}

/// `InstanceSource` represents the creation source for a new instance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstanceSource {
    /// Source type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Certificate (for remote images or migration).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificate: String,
    /// Image alias name (for image source).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// Image fingerprint (for image source).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
    /// Image filters (for image source).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Remote server URL (for remote images).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// Remote server secret (for remote private images).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// Protocol name (for remote image).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Base image fingerprint (for faster migration).
    #[serde(rename = "base-image")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub base_image: String,
    /// Whether to use pull or push mode (for migration).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Remote operation URL (for migration).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// Map of migration websockets (for migration).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Existing instance name or snapshot (for copy).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Whether this is a live migration (for migration).
    #[serde(skip_serializing_if = "crate::wire::is_false")]
    pub live: bool,
    /// Whether the copy should skip the snapshots (for copy, deprecated, use instance_only).
    #[serde(skip_serializing_if = "crate::wire::is_false")]
    pub container_only: bool,
    /// Whether the copy should skip the snapshots (for copy).
    #[serde(skip_serializing_if = "crate::wire::is_false")]
    pub instance_only: bool,
    /// Whether this is refreshing an existing instance (for migration and copy).
    #[serde(skip_serializing_if = "crate::wire::is_false")]
    pub refresh: bool,
    /// Source project name (for copy and local image).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// Whether to ignore errors when copying (e.g. for volatile files).
    #[serde(skip_serializing_if = "crate::wire::is_false")]
    pub allow_inconsistent: bool,
}

/// `InstancesPost` represents the fields available for a new LXD instance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct InstancesPost {
    /// Architecture name.
    pub architecture: String,
    /// Instance configuration (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Instance devices (see config-keys.tsv).
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the instance is ephemeral (deleted on shutdown).
    pub ephemeral: bool,
    /// List of profiles applied to the instance; `default` when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<String>>,
    /// If set, instance will be restored to the provided snapshot name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restore: String,
    /// Whether the instance currently has saved state on disk.
    pub stateful: bool,
    /// Instance description.
    pub description: String,
    /// Instance name.
    pub name: String,
    /// source.
    pub source: InstanceSource,
    /// Cloud instance type (AWS, GCP, Azure, ...) to emulate with limits.
    pub instance_type: String,
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
