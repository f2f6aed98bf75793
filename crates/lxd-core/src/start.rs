//! Start and end of the daemon's work: what exists is compared with what is recorded, entity by entity
//! (architecture section 5). A broken entity is a warning, never a failed start.

use std::sync::Arc;

use crate::{Core, instances};

impl Core {
    /// Everything that may take its time; the API answers meanwhile.
    pub async fn start(self: &Arc<Self>) {
        if let Err(error) = crate::background::record_versions(self).await {
            tracing::error!(error = error.chain(), "Failed to record the versions of this server");
        }
        if let Err(error) = crate::storage_pools::mount_all(self).await {
            tracing::error!(error = error.chain(), "The storage pools cannot be listed");
        }
        if let Err(error) = crate::networks::start_all(self).await {
            tracing::error!(error = error.chain(), "The networks cannot be listed");
        }
        if let Err(error) = self.recover().await {
            tracing::error!(error = error.chain(), "The journal cannot be read");
        }
        self.ready.send_replace(true);
        crate::background::start(self);
        self.check_host().await;
        if let Err(error) = instances::reconcile::autostart(self).await {
            tracing::error!(error = error.chain(), "Failed to start instances with the server");
        }
    }

    /// Stops all instances because the host goes down; their recorded power state stays (manual 3.6.3).
    pub async fn shutdown_instances(self: &Arc<Self>) {
        instances::shutdown::stop_all(self).await;
    }
}
