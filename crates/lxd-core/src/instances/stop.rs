//! Stopping, freezing and thawing an instance.

use std::time::Duration;

use lxd_api::StatusCode;
use lxd_auth::Permit;
use lxd_types::{Error, Result};

use super::runtime::RuntimeEntry;
use super::{InstanceKey, devices, ended, load};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// How to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// Init is killed.
    Force,
    /// Init is asked to end, and has so long (for ever when there is no limit).
    Clean(Option<Duration>),
}

/// Stops a running instance; the caller holds its gate. Returns when everything of the run is cleaned up.
///
/// # Errors
/// It does not run, or init does not end in time.
pub(super) async fn stop_held(
    core: &SharedCore,
    permit: &Permit,
    key: &InstanceKey,
    how: Stop,
) -> Result<()> {
    stop_quietly(core, key, how).await?;
    let action = match how {
        Stop::Force => "instance-stopped",
        Stop::Clean(_) => "instance-shutdown",
    };
    core.tell(permit.caller(), Lifecycle::new(action, key.url()).in_project(&key.project));
    ended::delete_if_ephemeral(core, permit, key).await
}

/// [`stop_held`] without events and without deletion, for restarts.
pub(super) async fn stop_quietly(core: &SharedCore, key: &InstanceKey, how: Stop) -> Result<()> {
    let entry = running(core, key)?;
    entry.set_stopping(true);
    let containers = core.containers()?;
    let stopped = async {
        match how {
            Stop::Force => containers.stop(&entry.running).await,
            Stop::Clean(timeout) => containers.shutdown(&entry.running, timeout).await,
        }
    };
    let mut stopped = std::pin::pin!(stopped);
    let stopped = tokio::select! {
        stopped = &mut stopped => stopped,
        () = let_go(core, key, &entry) => stopped.await,
    };
    if let Err(error) = stopped {
        entry.set_stopping(false);
        if !entry.running.gone() {
            return Err(error);
        }
    }
    core.faults.point("container stopped").unwrap_or_else(|error| {
        // What has ended cannot be made to run again: the stop goes on.
        tracing::error!(instance = %key, error = error.chain(), "After the end of the container");
    });
    ended::clean_up(core, key, &entry).await
}

/// Devices begin with their end while the container's monitor is still at work. What fails here is done, and told, by the
/// clean-up.
async fn let_go(core: &SharedCore, key: &InstanceKey, entry: &RuntimeEntry) {
    let wanted = key.clone();
    let Ok(model) = core.db.read(move |tx| load(tx, &wanted)).await else { return };
    let Ok(watch) = entry.running.watch_init() else { return };
    devices::let_go(core, &model, watch.ended()).await;
}

/// Freezes or thaws a running instance; the caller holds its gate.
///
/// # Errors
/// It does not run, is in that state already, or liblxc fails.
pub(super) async fn freeze_held(
    core: &SharedCore,
    permit: &Permit,
    key: &InstanceKey,
    freeze: Freeze,
) -> Result<()> {
    let entry = running(core, key)?;
    let frozen = entry.status == StatusCode::FROZEN;
    let containers = core.containers()?;
    let (status, action) = match freeze {
        Freeze::Freeze if frozen => return Err(Error::bad_request("The instance is already frozen")),
        Freeze::Thaw if !frozen => return Err(Error::bad_request("The instance is already running")),
        Freeze::Freeze => {
            containers.freeze(&entry.running).await?;
            (StatusCode::FROZEN, "instance-paused")
        }
        Freeze::Thaw => {
            containers.unfreeze(&entry.running).await?;
            (StatusCode::RUNNING, "instance-resumed")
        }
    };
    core.runtime.set_status(key, status);
    core.tell(permit.caller(), Lifecycle::new(action, key.url()).in_project(&key.project));
    Ok(())
}

/// Which way to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Freeze {
    /// All processes stand still.
    Freeze,
    /// They go on.
    Thaw,
}

fn running(core: &SharedCore, key: &InstanceKey) -> Result<RuntimeEntry> {
    core.runtime.get(key).ok_or_else(|| Error::bad_request("The instance is already stopped"))
}
