//! Wire structs of `storage volume` objects (`rest-api.yaml`).

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `StoragePoolVolumeBackup` represents a LXD volume backup.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StoragePoolVolumeBackup {
    /// When the backup was cerated.
    pub created_at: Timestamp,
    /// When the backup expires (gets auto-deleted).
    pub expires_at: Timestamp,
    /// Backup name.
    pub name: String,
    /// Whether to use a pool-optimized binary format (instead of plain tarball).
    pub optimized_storage: bool,
    /// Whether to ignore snapshots.
    pub volume_only: bool,
}

/// `StoragePoolVolumeBackupPost` represents the fields available for the renaming of a volume
/// backup.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StoragePoolVolumeBackupPost {
    /// New backup name.
    pub name: String,
}

/// `StoragePoolVolumeBackupsPost` represents the fields available for a new LXD volume backup.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StoragePoolVolumeBackupsPost {
    /// What compression algorithm to use.
    pub compression_algorithm: String,
    /// When the backup expires (gets auto-deleted).
    pub expires_at: Timestamp,
    /// Backup name.
    pub name: String,
    /// Whether to use a pool-optimized binary format (instead of plain tarball).
    pub optimized_storage: bool,
    /// Whether to ignore snapshots.
    pub volume_only: bool,
}

/// `StorageVolume` represents the fields of a LXD storage volume.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolume {
    /// Storage volume configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the storage volume.
    pub description: String,
    /// Name of a snapshot to restore.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restore: String,
    /// Volume name.
    pub name: String,
    /// Volume type.
    #[serde(rename = "type")]
    pub kind: String,
    /// List of URLs of objects using this storage volume.
    pub used_by: Vec<String>,
    /// What cluster member this record was found on.
    pub location: String,
    /// Volume content type (filesystem or block).
    pub content_type: String,
    /// Project of the volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// When the volume was made; zero when unknown.
    pub created_at: Timestamp,
}

/// `StorageVolumePost` represents the fields required to rename a LXD storage pool volume.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumePost {
    /// Initiate volume migration.
    pub migration: bool,
    /// New volume name.
    pub name: String,
    /// New storage pool.
    pub pool: String,
    /// New project.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// target.
    pub target: StorageVolumePostTarget,
    /// Whether snapshots should be discarded (migration only).
    pub volume_only: bool,
}

/// `StorageVolumePostTarget` represents the migration target host and operation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumePostTarget {
    /// The certificate of the migration target.
    pub certificate: String,
    /// Remote operation URL (for migration).
    pub operation: String,
    /// Migration websockets credentials.
    pub secrets: BTreeMap<String, String>,
}

/// `StorageVolumePut` represents the modifiable fields of a LXD storage volume.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumePut {
    /// Storage volume configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the storage volume.
    pub description: String,
    /// Name of a snapshot to restore.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restore: String,
}

/// `StorageVolumeSnapshot` represents a LXD storage volume snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumeSnapshot {
    /// Description of the storage volume.
    pub description: String,
    /// When the snapshot expires (gets auto-deleted).
    pub expires_at: Timestamp,
    /// Snapshot name.
    pub name: String,
    /// Storage volume configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// The content type (filesystem or block).
    pub content_type: String,
    /// When the snapshot was made; zero when unknown.
    pub created_at: Timestamp,
}

/// `StorageVolumeSnapshotPost` represents the fields required to rename/move a LXD storage volume
/// snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumeSnapshotPost {
    /// New snapshot name.
    pub name: String,
}

/// `StorageVolumeSnapshotPut` represents the modifiable fields of a LXD storage volume.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumeSnapshotPut {
    /// Description of the storage volume.
    pub description: String,
    /// When the snapshot expires (gets auto-deleted).
    pub expires_at: Timestamp,
}

/// `StorageVolumeSnapshotsPost` represents the fields available for a new LXD storage volume
/// snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumeSnapshotsPost {
    /// When the snapshot expires (gets auto-deleted); zero time: never; not given: as the volume says.
    pub expires_at: Option<Timestamp>,
    /// Snapshot name.
    pub name: String,
}

/// `StorageVolumeSource` represents the creation source for a new storage volume.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumeSource {
    /// Certificate (for migration).
    pub certificate: String,
    /// Whether to use pull or push mode (for migration).
    pub mode: String,
    /// Source volume name (for copy).
    pub name: String,
    /// Remote operation URL (for migration).
    pub operation: String,
    /// Source storage pool (for copy).
    pub pool: String,
    /// Source project name.
    pub project: String,
    /// Whether existing destination volume should be refreshed.
    pub refresh: bool,
    /// Map of migration websockets (for migration).
    pub secrets: BTreeMap<String, String>,
    /// Source type (copy or migration).
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether snapshots should be discarded (for migration).
    pub volume_only: bool,
}

/// `StorageVolumeState` represents the live state of the volume.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumeState {
    /// usage.
    pub usage: Option<StorageVolumeStateUsage>,
}

/// `StorageVolumeStateUsage` represents the disk usage of a volume.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumeStateUsage {
    /// Used space in bytes.
    pub used: u64,
    /// Size of the volume in bytes; 0 when it has no limit.
    pub total: i64,
}

/// `StorageVolumesPost` represents the fields of a new LXD storage pool volume.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StorageVolumesPost {
    /// Storage volume configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the storage volume.
    pub description: String,
    /// Name of a snapshot to restore.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restore: String,
    /// Volume name.
    pub name: String,
    /// Volume type (container, custom, image or virtual-machine).
    #[serde(rename = "type")]
    pub kind: String,
    /// source.
    pub source: StorageVolumeSource,
    /// Volume content type (filesystem or block).
    pub content_type: String,
}
