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

/// Stops all running instances: by priority, the highest first, those of one priority at once. What fails is logged.
pub async fn stop_all(core: &SharedCore) {
    let mut running: Vec<(i64, InstanceKey)> = Vec::new();
    for (key, _) in core.runtime.all() {
        let wanted = key.clone();
        // One that cannot be read is stopped with those that have no priority.
        let model = core.db.read(move |tx| load(tx, &wanted)).await;
        running.push((model.map_or(0, |model| priority(&model.config)), key));
    }
    running.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    for group in running.chunk_by(|a, b| a.0 == b.0) {
        stream::iter(group)
            .for_each_concurrent(WIDTH, |(_, key)| async move {
                match stop_one(core, key).await {
                    Ok(()) => tracing::info!(instance = %key, "Stopped an instance with the host"),
                    Err(error) => {
                        tracing::error!(instance = %key, error = error.chain(), "Failed to stop an instance with the host");
                    }
                }
            })
            .await;
    }
}

fn priority(config: &Config) -> i64 {
    config.value("boot.stop.priority").parse().unwrap_or(0)
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
