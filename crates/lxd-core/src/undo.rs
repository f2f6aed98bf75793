//! What an interrupted use case left to undo: one variant per kind of leftover, one idempotent `undo`.

use async_trait::async_trait;
use lxd_task::journal::Undoer;
use lxd_types::Result;
use serde::{Deserialize, Serialize};

use crate::Core;

/// One undo step, as it stands in the journal. Variants are never renamed: a newer release must be able to
/// undo what an older one left behind.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Undo {
    /// Removes a file below the data directory that was being written.
    RemoveFile {
        /// Path relative to the data directory.
        path: String,
    },
}

#[async_trait]
impl Undoer<Undo> for Core {
    async fn undo(&self, step: Undo) -> Result<()> {
        match step {
            Undo::RemoveFile { path } => self.remove_leftover(path).await,
        }
    }
}

impl Core {
    async fn remove_leftover(&self, path: String) -> Result<()> {
        let full = self.paths.root().join(path);
        match tokio::fs::remove_file(&full).await {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(lxd_types::Error::internal(format!("Failed to remove {}: {e}", full.display())))
            }
            _ => Ok(()),
        }
    }
}
