//! Wire structs of `warning` objects (`rest-api.yaml`).

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// `Warning` represents a warning entry.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Warning {
    /// Status of the warning (new, acknowledged, or resolved).
    pub status: String,
    /// UUID of the warning.
    pub uuid: String,
    /// What cluster member this warning occurred on.
    pub location: String,
    /// The project the warning occurred in.
    pub project: String,
    /// Type type of warning.
    #[serde(rename = "type")]
    pub kind: String,
    /// The number of times this warning occurred.
    pub count: i64,
    /// The first time this warning occurred.
    pub first_seen_at: Timestamp,
    /// The last time this warning occurred.
    pub last_seen_at: Timestamp,
    /// The warning message.
    pub last_message: String,
    /// The severity of this warning.
    pub severity: String,
    /// The entity affected by this warning.
    pub entity_url: String,
}

/// `WarningPut` represents the modifiable fields of a warning.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct WarningPut {
    /// Status of the warning (new, acknowledged, or resolved).
    pub status: String,
}
