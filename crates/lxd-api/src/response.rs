//! The envelope of every answer (manual 3.4.5).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StatusCode;

/// `type` of an answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseType {
    /// The answer is complete.
    #[default]
    Sync,
    /// An operation was started; its URL is in `operation`.
    Async,
    /// The request failed.
    Error,
}

/// An answer as a client reads it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, bound(deserialize = "M: Default + Deserialize<'de>"))]
pub struct Response<M = Value> {
    /// Whether this is a result, an operation or an error.
    #[serde(rename = "type")]
    pub kind: ResponseType,
    /// Text of `status_code`.
    pub status: String,
    /// 200 for a result, 100 for an operation, 0 for an error.
    pub status_code: StatusCode,
    /// URL of the operation, else empty.
    pub operation: String,
    /// HTTP status of an error, else 0.
    pub error_code: u16,
    /// Text of an error, else empty.
    pub error: String,
    /// The result.
    pub metadata: M,
}
