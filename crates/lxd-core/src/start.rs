//! Start and end of the daemon's work: what exists is compared with what is recorded, entity by entity
//! (architecture section 5). A broken entity is a warning, never a failed start.

use std::sync::Arc;
use std::time::Duration;

use lxd_config::server::CORE_SHUTDOWN_TIMEOUT;
use lxd_task::operation::Class;
use lxd_types::{Error, Result};
use tokio::time::{Instant, timeout_at};

use crate::{Core, instances};

/// Sessions of users: they end with the instance and nobody waits for them.
const SESSIONS: &[&str] = &["Executing command", "Showing console"];

/// Puts firewall rules back that others remove, until the daemon ends.
async fn watch_firewall(core: Arc<Core>) {
    tokio::select! {
        () = core.end.cancelled() => {}
        () = core.bridges.firewall().watch() => {}
    }
}

impl Core {
    /// Everything that may take its time; the API answers meanwhile.
    pub async fn start(self: &Arc<Self>) {
        if let Err(error) = crate::background::record_versions(self).await {
            tracing::error!(error = error.chain(), "Failed to record the versions of this server");
        }
        if let Err(error) = crate::moved::settle(self).await {
            tracing::error!(error = error.chain(), "The place of the data directory cannot be settled");
        }
        let (pools, networks) =
            tokio::join!(crate::storage_pools::mount_all(self), crate::networks::start_all(self));
        if let Err(error) = pools {
            tracing::error!(error = error.chain(), "The storage pools cannot be listed");
        }
        if let Err(error) = networks {
            tracing::error!(error = error.chain(), "The networks cannot be listed");
        }
        if let Err(error) = self.recover().await {
            tracing::error!(error = error.chain(), "The journal cannot be written");
        }
        if let Err(error) = instances::reconcile::settle_devices(self).await {
            tracing::error!(error = error.chain(), "The instances cannot be listed");
        }
        tokio::spawn(watch_firewall(self.clone()));
        self.ready.send_replace(true);
        crate::background::start(self);
        tokio::spawn(instances::nodes::watch(self.clone()));
        tokio::spawn(crate::networks::watch(self.clone()));
        tokio::spawn(crate::networks::watch_clashes(self.clone()));
        self.check_host().await;
        if let Err(error) = instances::reconcile::autostart(self).await {
            tracing::error!(error = error.chain(), "Failed to start instances with the server");
        }
    }

    /// Waits for running operations before a shutdown, for as long as `core.shutdown_timeout` allows. Tokens and
    /// the sessions of users are not waited for.
    ///
    /// # Errors
    /// The stored time makes no sense.
    pub async fn wait_for_operations(&self) -> Result<()> {
        let minutes = CORE_SHUTDOWN_TIMEOUT
            .read(&self.server.config())
            .map_err(|error| Error::internal(error.to_string()))?
            .unwrap_or_default();
        let minutes = u64::try_from(minutes).unwrap_or(0);
        let end = Instant::now() + Duration::from_secs(minutes * 60);
        let running = self.operations.list(|operation| {
            let session = SESSIONS.contains(&operation.description());
            !operation.status().is_final() && operation.class() != Class::Token && !session
        });
        for operation in running {
            if timeout_at(end, operation.wait(None)).await.is_err() {
                tracing::warn!(operation = %operation.id, minutes, "An operation is cut short by the shutdown");
            }
        }
        Ok(())
    }

    /// Stops all instances because the host goes down; their recorded power state stays (manual 3.6.3).
    pub async fn shutdown_instances(self: &Arc<Self>) {
        instances::shutdown::stop_all(self).await;
    }
}
