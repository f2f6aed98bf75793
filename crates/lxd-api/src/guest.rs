//! The API inside instances, `/dev/lxd/sock` (manual 3.5.4).

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// `GET /1.0`
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct GuestInfo {
    /// What the guest reported of itself; empty in this version of the API.
    pub state: String,
    /// `1.0`
    pub api_version: String,
    /// `container` or `virtual-machine`
    pub instance_type: String,
    /// The cluster member; `none` on a lone server.
    pub location: String,
}

/// One of `/1.0/events`
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct GuestEvent {
    /// `config` or `device`
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What changed.
    pub metadata: serde_json::Value,
}
