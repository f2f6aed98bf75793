//! Wire structs of `operation` objects (`rest-api.yaml`).

use crate::StatusCode;
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Operation` represents a LXD background operation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Operation {
    /// UUID of the operation.
    pub id: String,
    /// Type of operation (task, token or websocket).
    pub class: String,
    /// Description of the operation.
    pub description: String,
    /// Operation creation time.
    pub created_at: Timestamp,
    /// Operation last change.
    pub updated_at: Timestamp,
    /// Status name.
    pub status: String,
    /// status_code.
    pub status_code: StatusCode,
    /// Affected resourcs.
    #[serde(serialize_with = "crate::wire::null_when_empty_map")]
    pub resources: BTreeMap<String, Vec<String>>,
    /// Operation specific metadata.
    #[serde(serialize_with = "crate::wire::null_when_empty_map")]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// Whether the operation can be canceled.
    pub may_cancel: bool,
    /// Operation error mesage.
    pub err: String,
    /// What cluster member this record was found on.
    pub location: String,
}
