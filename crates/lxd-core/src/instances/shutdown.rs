//! The host goes down: all instances are stopped cleanly, those that do not end in time are killed. Their recorded
//! power state stays, so that they start again with the host (manual 3.6.3).

use std::time::Duration;

use futures_util::{StreamExt, stream};
use lxd_db::instances;
use lxd_types::{Config, ConfigExt, Result};

use super::stop::{Stop, stop_quietly};
use super::{InstanceKey, load};
use crate::SharedCore;

/// What an instance gets when `boot.host_shutdown_timeout` is not set.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Instances that are stopped at once.
const WIDTH: usize = 16;

/// Stops all running instances; what fails is logged.
pub async fn stop_all(core: &SharedCore) {
    let running = core.runtime.all();
    stream::iter(running)
        .for_each_concurrent(WIDTH, |(key, _)| async move {
            if let Err(error) = stop_one(core, &key).await {
                tracing::error!(instance = %key, error = error.chain(), "Failed to stop an instance with the host");
            }
        })
        .await;
}

async fn stop_one(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let wanted = key.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    let _gate = core.gates.enter(key.to_string(), "stop")?;
    if stop_quietly(core, key, Stop::Clean(Some(timeout(&model.config)))).await.is_err() {
        stop_quietly(core, key, Stop::Force).await?;
    }
    let id = model.row.id;
    core.db.write(move |tx| instances::set_power(tx, id, "RUNNING")).await
}

fn timeout(config: &Config) -> Duration {
    config.value("boot.host_shutdown_timeout").parse().map_or(DEFAULT_TIMEOUT, Duration::from_secs)
}
