//! `GET /1.0/resources`: what the host has.

use std::path::Path;

use lxd_api::resources::Resources;
use lxd_types::{Error, Kind, Result};

use crate::Core;

impl Core {
    /// Processors, memory, cards and disks of the host. Looked at anew each time: all of it can change.
    ///
    /// # Errors
    /// The look failed altogether; what the kernel does not tell is left empty.
    pub async fn resources(&self) -> Result<Resources> {
        tokio::task::spawn_blocking(|| lxd_host::resources::collect(Path::new("/")))
            .await
            .map_err(|panic| Error::with_source(Kind::Internal, "Failed to look at the host", panic))
    }
}
