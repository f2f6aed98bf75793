//! Snapshots by schedule (`snapshots.schedule`), and those of each start of the server (`@startup`).

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Local, TimeDelta, TimeZone};
use lxd_api::instance::InstanceSnapshotsPost;
use lxd_auth::Permit;
use lxd_db::warnings::Subject;
use lxd_db::{Tx, instances};
use lxd_types::{Config, ConfigExt, Flag, Result, Schedule};

use super::super::{InstanceKey, models};
use super::{create, enter};
use crate::SharedCore;
use crate::warnings::WarningType;

/// Minutes that are made up for when the server had no time; older ones are left out.
const CATCH_UP: i64 = 10;

/// The minute up to which schedules were looked at.
#[derive(Debug, Default)]
pub struct Seen(AtomicI64);

/// Takes the snapshots of the minutes since the last run, on a task of its own.
///
/// # Errors
/// The database cannot be read.
pub async fn run(core: &SharedCore) -> Result<()> {
    let now = Local::now().timestamp() / 60;
    let last = core.schedule_seen.0.swap(now, Ordering::AcqRel);
    if last == 0 {
        return take(core, due(core, |schedule, _| schedule.at_startup()).await?);
    }
    let minutes: Vec<DateTime<Local>> = (last.max(now - CATCH_UP) + 1..=now).filter_map(minute).collect();
    if minutes.is_empty() {
        return Ok(());
    }
    take(core, due(core, |schedule, _| minutes.iter().any(|minute| schedule.is_due(minute))).await?)
}

fn minute(number: i64) -> Option<DateTime<Local>> {
    Local.timestamp_opt(TimeDelta::minutes(number).num_seconds(), 0).single()
}

/// The instances whose schedule says so.
async fn due(core: &SharedCore, is_due: impl Fn(&Schedule, &Config) -> bool) -> Result<Vec<InstanceKey>> {
    let read = |tx: &Tx<'_>| match instances::any_has_key(tx, "snapshots.schedule")? {
        true => models(tx, instances::Filter::default()),
        false => Ok(Vec::new()),
    };
    let all = core.db.read(read).await?;
    let wanted = all.into_iter().filter(|model| {
        let text = model.config.value("snapshots.schedule");
        let schedule = text.parse::<Schedule>();
        !text.is_empty()
            && schedule.is_ok_and(|schedule| is_due(&schedule, &model.config))
            && (core.runtime.is_running(&model.key)
                || model.config.flag("snapshots.schedule.stopped", Flag::DefaultFalse))
    });
    Ok(wanted.map(|model| model.key).collect())
}

fn take(core: &SharedCore, keys: Vec<InstanceKey>) -> Result<()> {
    if !keys.is_empty() {
        let core = core.clone();
        tokio::spawn(async move {
            for key in keys {
                one(&core, &key).await;
            }
        });
    }
    Ok(())
}

async fn one(core: &SharedCore, key: &InstanceKey) {
    let permit = Permit::daemon(key.project.clone());
    let taken = async {
        let _gate = enter(core, key, "snapshot")?;
        create::take_held(core, &permit, key, InstanceSnapshotsPost::default()).await
    };
    let subject = Subject {
        type_code: WarningType::ScheduleFailed as i64,
        node_id: Some(lxd_db::nodes::LONE),
        ..Subject::default()
    };
    match taken.await {
        Ok(_) => core.warning_resolved(subject).await,
        Err(error) => {
            core.warn_about(subject, &format!("Instance {key}: {}", error.chain())).await;
        }
    }
}
