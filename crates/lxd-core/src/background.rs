//! Work that comes back: a table of tasks (architecture section 5).

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use lxd_db::{nodes, warnings};
use lxd_task::background::{Nudge, Task, spawn};
use lxd_types::{Error, Result};

use crate::Core;
use crate::instances::snapshots::{expire, schedule};
use crate::quiet;
use crate::storage_volumes::snapshots;

/// One hour.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// One minute.
const MINUTE: Duration = Duration::from_secs(60);

/// How long a `backup.yaml` may be older than the database.
const BACKUP_YAML: Duration = Duration::from_secs(5);

/// How often slow steps are looked for.
const SLOW_STEPS: Duration = Duration::from_secs(5);
/// How often things are looked for that were kept for a next request which did not come.
const KEPT: Duration = Duration::from_secs(5);

/// How long a warning whose cause is gone can be read.
const RESOLVED_WARNINGS: chrono::Duration = chrono::Duration::days(1);

/// The tasks. All run once at the start and then on their timers.
const TASKS: &[Task<Core>] = &[
    Task { name: "daily copy of the database", every: HOUR, run: |core| Box::pin(daily_copy(core)) },
    Task {
        name: "renewal of backup.yaml",
        every: BACKUP_YAML,
        run: |core| Box::pin(renew_backup_yaml(core)),
    },
    Task { name: "expired backups", every: MINUTE, run: |core| Box::pin(expire_backups(core)) },
    Task { name: "scheduled snapshots", every: MINUTE, run: |core| Box::pin(instance_snapshots(core)) },
    Task { name: "slow steps to the log", every: SLOW_STEPS, run: |core| Box::pin(log_slow_steps(core)) },
    Task { name: "end of what is kept for the next request", every: KEPT, run: |core| Box::pin(sweep(core)) },
    Task { name: "newer images", every: HOUR, run: |core| Box::pin(crate::images::update_all(core)) },
    Task { name: "unused images", every: HOUR, run: |core| Box::pin(crate::images::expire_cached(core)) },
    Task {
        name: "space of the pools",
        every: MINUTE,
        run: |core| Box::pin(crate::storage_pools::look_at_space(core)),
    },
    Task { name: "inventory of the pools", every: HOUR, run: |core| Box::pin(check_inventory(core)) },
    Task { name: "removal of resolved warnings", every: HOUR, run: |core| Box::pin(prune_warnings(core)) },
    Task {
        name: "expired volume snapshots",
        every: MINUTE,
        run: |core| Box::pin(expire_volume_snapshots(core)),
    },
];

/// Starts all tasks; they end with the daemon.
pub fn start(core: &Arc<Core>) {
    for task in TASKS {
        let now = Nudge::default();
        now.nudge();
        spawn(core.clone(), task, now, core.background.clone(), core.end.clone());
    }
    tokio::spawn(volume_snapshots(core.clone()));
    tokio::spawn(rest_when_quiet(core.clone()));
}

/// Runs a task that looks at the clock, as if it were so much later; for the tests.
///
/// # Errors
/// The daemon was not started for tests, or there is no such task.
pub async fn run_ahead(core: &Arc<Core>, name: &str, ahead: Duration) -> Result<()> {
    core.faults.require()?;
    match name {
        "newer-images" => crate::images::update_all_ahead(core.clone(), ahead).await,
        "unused-images" => crate::images::expire_cached_ahead(core.clone(), ahead).await,
        _ => return Err(Error::not_found(format!("No task {name:?}"))),
    }
    Ok(())
}

/// Gives memory back whenever nothing was asked for a while.
async fn rest_when_quiet(core: Arc<Core>) {
    let rest = || async {
        if tokio::task::spawn_blocking(lxd_sys::memory::rest).await.is_err() {
            tracing::warn!("Giving memory back panicked");
        }
    };
    core.quiet.watch(&core.end, quiet::SPAN, rest).await;
}

/// Makes the scheduled snapshots of volumes: those of the start, then at the beginning of every minute.
async fn volume_snapshots(core: Arc<Core>) {
    snapshots::at_startup(&core).await;
    loop {
        let now = Utc::now();
        let wait = 60_000 - (now.timestamp_millis().rem_euclid(60_000));
        tokio::select! {
            () = core.end.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(wait.unsigned_abs() + 1)) => {}
        }
        snapshots::take_scheduled(&core).await;
    }
}

async fn expire_volume_snapshots(core: Arc<Core>) {
    snapshots::remove_expired(&core).await;
}

/// Notes in the database what this program can do; written only when it changed.
///
/// # Errors
/// A failure of the database.
pub async fn record_versions(core: &Core) -> Result<()> {
    let extensions = i64::try_from(lxd_api::extensions::SUPPORTED.len()).unwrap_or(i64::MAX);
    core.db.write(move |tx| nodes::set_versions(tx, nodes::LONE, extensions)).await
}

async fn log_slow_steps(core: Arc<Core>) {
    core.log_slow_steps(SLOW_STEPS);
}

async fn daily_copy(core: Arc<Core>) {
    core.db.keep_reserve().await;
    if let Err(error) = core.db.keep_daily_copy(Utc::now()).await {
        tracing::error!(error = error.chain(), "Failed to keep a copy of the database");
    }
}

async fn prune_warnings(core: Arc<Core>) {
    let limit = Utc::now() - RESOLVED_WARNINGS;
    if let Err(error) = core.db.write(move |tx| warnings::delete_resolved(tx, limit)).await {
        tracing::error!(error = error.chain(), "Failed to remove resolved warnings");
    }
}

async fn sweep(core: Arc<Core>) {
    core.file_sessions.sweep();
    core.lists.sweep();
}

async fn check_inventory(core: Arc<Core>) {
    if let Err(error) = crate::inventory::check(&core).await {
        tracing::error!(error = error.chain(), "Failed to compare the pools with the database");
    }
}

async fn renew_backup_yaml(core: Arc<Core>) {
    if let Err(error) = crate::instances::backup_yaml::renew(&core).await {
        tracing::error!(error = error.chain(), "Failed to renew backup.yaml");
    }
}

async fn expire_backups(core: Arc<Core>) {
    if let Err(error) = crate::backups::expire(&core).await {
        tracing::error!(error = error.chain(), "Failed to look for expired backups");
    }
}

async fn instance_snapshots(core: Arc<Core>) {
    let (taken, removed) = (schedule::run(&core).await, expire::run(&core).await);
    if let Err(error) = taken.and(removed) {
        tracing::error!(error = error.chain(), "Failed to look for scheduled and expired snapshots");
    }
}
