//! Wire structs of `event` objects (`rest-api.yaml`).

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// `Event` represents an event entry (over websocket).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Event {
    /// Event type (one of operation, logging or lifecycle).
    #[serde(rename = "type")]
    pub kind: String,
    /// Time at which the event was sent.
    pub timestamp: Timestamp,
    /// JSON encoded metadata (see EventLogging, EventLifecycle or Operation).
    pub metadata: serde_json::Value,
    /// Originating cluster member.
    pub location: String,
    /// Project the event belongs to; left out for log lines.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
}

/// Metadata of an event of type `lifecycle` (manual 3.5.5).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct EventLifecycle {
    /// What happened, e.g. `instance-created` (`lifecycle-events.tsv`).
    pub action: String,
    /// URL of the object.
    pub source: String,
    /// Further facts about this action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<serde_json::Map<String, serde_json::Value>>,
    /// Who asked for it; nobody for what the server does by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requestor: Option<EventRequestor>,
}

/// Who caused a lifecycle event.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct EventRequestor {
    /// User name, or fingerprint of the certificate.
    pub username: String,
    /// `unix`, `tls`, `candid`, …
    pub protocol: String,
    /// Address of the client, or `@` on the unix socket.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// Metadata of an event of type `logging`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct EventLogging {
    /// The text.
    pub message: String,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// Named values of the line.
    pub context: std::collections::BTreeMap<String, String>,
}
