//! Status codes of operations and instances (`status-codes.tsv`).

use serde::{Deserialize, Serialize};

/// A numeric state as it stands in `status_code`. The names are what `status` prints.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct StatusCode(pub u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl StatusCode {
            $($(#[$doc])* pub const $name: StatusCode = StatusCode($code);)*

            /// The text that stands beside the number in `status`; empty for an unknown number.
            pub fn text(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "",
                }
            }
        }
    };
}

codes! {
    /// The operation was created.
    OPERATION_CREATED = 100, "Operation created";
    /// Started.
    STARTED = 101, "Started";
    /// The instance is stopped.
    STOPPED = 102, "Stopped";
    /// The operation or instance is running.
    RUNNING = 103, "Running";
    /// The operation is being cancelled.
    CANCELLING = 104, "Cancelling";
    /// The operation waits for its start.
    PENDING = 105, "Pending";
    /// The instance is starting.
    STARTING = 106, "Starting";
    /// The instance is stopping.
    STOPPING = 107, "Stopping";
    /// The instance is being ended by force.
    ABORTING = 108, "Aborting";
    /// The instance is being frozen.
    FREEZING = 109, "Freezing";
    /// The instance is frozen.
    FROZEN = 110, "Frozen";
    /// The instance was thawed.
    THAWED = 111, "Thawed";
    /// The instance's state cannot be told.
    ERROR = 112, "Error";
    /// The operation succeeded.
    SUCCESS = 200, "Success";
    /// The operation failed.
    FAILURE = 400, "Failure";
    /// The operation was cancelled.
    CANCELLED = 401, "Cancelled";
}

impl StatusCode {
    /// True when an operation with this status will not change any more.
    pub fn is_final(self) -> bool {
        self.0 >= 200
    }
}
