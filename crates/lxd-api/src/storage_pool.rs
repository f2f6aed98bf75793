//! Wire structs of `storage pool` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `StoragePool` represents the fields of a LXD storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StoragePool {
    /// Storage pool configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the storage pool.
    pub description: String,
    /// Storage pool name.
    pub name: String,
    /// Storage pool driver (btrfs, ceph, cephfs, dir, lvm or zfs).
    pub driver: String,
    /// List of URLs of objects using this storage pool.
    #[serde(serialize_with = "crate::wire::null_when_empty")]
    pub used_by: Vec<String>,
    /// Pool status (Pending, Created, Errored or Unknown).
    pub status: String,
    /// Cluster members on which the storage pool has been defined.
    pub locations: Vec<String>,
}

/// `StoragePoolPut` represents the modifiable fields of a LXD storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StoragePoolPut {
    /// Storage pool configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the storage pool.
    pub description: String,
}

/// `StoragePoolsPost` represents the fields of a new LXD storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StoragePoolsPost {
    /// Storage pool configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the storage pool.
    pub description: String,
    /// Storage pool name.
    pub name: String,
    /// Storage pool driver (btrfs, ceph, cephfs, dir, lvm or zfs).
    pub driver: String,
}
