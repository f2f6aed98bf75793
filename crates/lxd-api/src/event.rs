//! Wire structs of `event` objects (`rest-api.yaml`).

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// `Event` represents an event entry (over websocket).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Event {
    /// Originating cluster member.
    pub location: String,
    /// JSON encoded metadata (see EventLogging, EventLifecycle or Operation).
    pub metadata: serde_json::Value,
    /// Time at which the event was sent.
    pub timestamp: Timestamp,
    /// Event type (one of operation, logging or lifecycle).
    #[serde(rename = "type")]
    pub kind: String,
    /// Project the event belongs to.
    pub project: String,
}
