//! What goes on inside (architecture section 11): for `GET /internal/debug`, the debug pages and the log.

use std::time::{Duration, Instant};

use chrono::Utc;
use lxd_api::Timestamp;
use lxd_task::background::Seen;
use lxd_types::Result;
use serde::Serialize;

use crate::Core;

/// A step that takes longer is named in the log.
const SLOW: Duration = Duration::from_secs(10);

/// Everything that runs or waits; ages in milliseconds.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Operations, the oldest first.
    pub operations: Vec<RunningOperation>,
    /// Taken gates.
    pub gates: Vec<TakenGate>,
    /// Lanes in use, or not answering.
    pub lanes: Vec<BusyLane>,
    /// Background tasks.
    pub background: Vec<BackgroundTask>,
    /// Open steps of the undo journal.
    pub journal: Vec<JournalStep>,
    /// Transactions and how long they waited.
    pub database: Database,
}

/// An operation.
#[derive(Debug, Serialize)]
pub struct RunningOperation {
    /// Its id.
    pub id: String,
    /// What it does.
    pub description: String,
    /// Its project.
    pub project: String,
    /// What it works on.
    pub resources: std::collections::BTreeMap<String, Vec<String>>,
    /// Its status.
    pub status: String,
    /// The step that runs now.
    pub step: &'static str,
    /// Age of the operation.
    pub age_ms: u64,
    /// Time since its last change.
    pub step_ms: u64,
}

/// A taken gate.
#[derive(Debug, Serialize)]
pub struct TakenGate {
    /// What it guards.
    pub key: String,
    /// What the holder does.
    pub action: &'static str,
    /// For how long.
    pub age_ms: u64,
}

/// A lane that is in use.
#[derive(Debug, Serialize)]
pub struct BusyLane {
    /// The object.
    pub object: String,
    /// Calls under way.
    pub calls: usize,
    /// For how long it has not answered; absent when it does.
    pub late_ms: Option<u64>,
}

/// A background task.
#[derive(Debug, Serialize)]
pub struct BackgroundTask {
    /// Its name.
    pub name: &'static str,
    /// How often it ran.
    pub runs: u64,
    /// Runs at this moment.
    pub running: bool,
    /// Time since the begin of its last run.
    pub age_ms: Option<u64>,
    /// How long the last finished run took.
    pub took_ms: Option<u64>,
}

/// A step of the undo journal.
#[derive(Debug, Serialize)]
pub struct JournalStep {
    /// The operation that wrote it.
    pub operation: String,
    /// Its number in the operation.
    pub sequence: i64,
    /// The step.
    pub step: String,
}

/// Transactions.
#[derive(Debug, Serialize)]
pub struct Database {
    /// Transactions that changed the global database.
    pub global_commits: u64,
    /// Transactions that changed the local database.
    pub local_commits: u64,
    /// Waiting for a reader of the global database.
    pub reads: Waits,
    /// Waiting for the writer of the global database.
    pub writes: Waits,
    /// Waiting for the local database.
    pub local: Waits,
}

/// How long transactions waited.
#[derive(Debug, Serialize)]
pub struct Waits {
    /// How many there were.
    pub jobs: u64,
    /// Waiting times together, in microseconds.
    pub total_us: u64,
    /// The longest one.
    pub longest_us: u64,
}

impl Core {
    /// What runs and waits right now.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn report(&self) -> Result<Report> {
        let journal = self.journal.all().await?;
        let stats = self.db.stats();
        Ok(Report {
            operations: self.running_operations(),
            gates: self.gates.holders().into_iter().map(taken).collect(),
            lanes: self.busy_lanes(),
            background: self.background.seen().into_iter().map(background).collect(),
            journal: journal
                .into_iter()
                .map(|entry| JournalStep {
                    operation: entry.operation,
                    sequence: entry.sequence,
                    step: entry.step,
                })
                .collect(),
            database: Database {
                global_commits: stats.global_commits,
                local_commits: stats.local_commits,
                reads: waits(stats.reads),
                writes: waits(stats.writes),
                local: waits(stats.local),
            },
        })
    }

    fn running_operations(&self) -> Vec<RunningOperation> {
        let now = Utc::now();
        let since = |time: Timestamp| {
            let age = now.signed_duration_since(time.0);
            u64::try_from(age.num_milliseconds()).unwrap_or(0)
        };
        let all = self.operations.list(|operation| !operation.status().is_final());
        all.into_iter()
            .map(|operation| {
                let (view, (step, changed)) = (operation.view(false), operation.step());
                RunningOperation {
                    id: view.id,
                    description: view.description,
                    project: operation.project().to_owned(),
                    resources: view.resources,
                    status: view.status,
                    step,
                    age_ms: since(view.created_at),
                    step_ms: since(changed),
                }
            })
            .collect()
    }

    fn busy_lanes(&self) -> Vec<BusyLane> {
        let mut busy: Vec<BusyLane> = self
            .all_lanes()
            .into_iter()
            .map(|lane| BusyLane {
                object: lane.name().to_owned(),
                calls: lane.calls(),
                late_ms: lane.late_since().map(age),
            })
            .filter(|lane| lane.calls > 0 || lane.late_ms.is_some())
            .collect();
        busy.sort_by(|a, b| a.object.cmp(&b.object));
        busy
    }

    /// Names in the log what has been at one step for long: operations, lanes and gates. Called again and again,
    /// every `period`, so that each step is named once, and again each time that its age has doubled.
    pub fn log_slow_steps(&self, period: Duration) {
        let due = |age_ms: u64| is_due(Duration::from_millis(age_ms), period);
        for operation in self.running_operations().into_iter().filter(|operation| due(operation.step_ms)) {
            tracing::warn!(
                operation = operation.id,
                project = operation.project,
                description = operation.description,
                step = operation.step,
                seconds = operation.step_ms / 1000,
                object = operation.resources.into_values().flatten().collect::<Vec<_>>().join(" "),
                "An operation takes long"
            );
        }
        for lane in self.busy_lanes() {
            if let Some(late) = lane.late_ms.filter(|late| due(*late)) {
                tracing::warn!(
                    object = lane.object,
                    seconds = late / 1000,
                    "Waiting for an answer of the host"
                );
            }
        }
        for gate in self.gates.holders().into_iter().map(taken).filter(|gate| due(gate.age_ms)) {
            tracing::warn!(
                object = gate.key,
                action = gate.action,
                seconds = gate.age_ms / 1000,
                "An action takes long"
            );
        }
    }
}

/// True at the first look after 10 s, 20 s, 40 s … when somebody looks every `period`.
fn is_due(age: Duration, period: Duration) -> bool {
    let mut mark = SLOW;
    while mark + period <= age {
        mark *= 2;
    }
    age >= mark
}

fn age(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn taken((key, holder): (String, lxd_task::gate::Holder)) -> TakenGate {
    TakenGate { key, action: holder.action, age_ms: age(holder.since) }
}

fn background((name, seen): (&'static str, Seen)) -> BackgroundTask {
    BackgroundTask {
        name,
        runs: seen.runs,
        running: seen.running,
        age_ms: seen.begin.map(age),
        took_ms: seen.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn waits(stats: lxd_db::WaitStats) -> Waits {
    Waits { jobs: stats.jobs, total_us: stats.total_us, longest_us: stats.longest_us }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_step_is_named_when_its_age_has_doubled() {
        let period = Duration::from_secs(5);
        let named: Vec<u64> =
            (0..100).step_by(5).filter(|age| is_due(Duration::from_secs(*age), period)).collect();
        assert_eq!(named, [10, 20, 40, 80]);
        // Looks come a little late.
        let late: Vec<u64> =
            (2..100).step_by(5).filter(|age| is_due(Duration::from_secs(*age), period)).collect();
        assert_eq!(late, [12, 22, 42, 82]);
    }
}
