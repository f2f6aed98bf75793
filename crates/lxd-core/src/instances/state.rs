//! `/1.0/instances/{name}/state`: the run-time state, and its changes.

use std::sync::Arc;
use std::time::Duration;

use lxd_api::StatusCode;
use lxd_api::instance_state::{InstanceState, InstanceStateCpu, InstanceStateMemory, InstanceStatePut};
use lxd_auth::Permit;
use lxd_task::OperationSpec;
use lxd_task::operation::Operation;
use lxd_types::names::InstanceName;
use lxd_types::{Error, Result};

use super::stop::{Freeze, Stop};
use super::{InstanceKey, NicNames, list_cache, load, start, stop};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// A change of state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Start a stopped instance, or thaw a frozen one.
    Start,
    /// Stop it.
    Stop(Stop),
    /// Stop it and start it again.
    Restart(Stop),
    /// Freeze it.
    Freeze,
    /// Thaw it.
    Unfreeze,
}

impl Action {
    /// The change that a request asks for.
    ///
    /// # Errors
    /// There is no such action, or it needs what this server lacks.
    pub fn parse(put: &InstanceStatePut) -> Result<Self> {
        if put.stateful {
            return Err(Error::not_implemented("Stateful stop and start are not supported yet"));
        }
        let how = if put.force {
            Stop::Force
        } else {
            Stop::Clean(u64::try_from(put.timeout).ok().filter(|s| *s > 0).map(Duration::from_secs))
        };
        match put.action.as_str() {
            "start" => Ok(Self::Start),
            "stop" => Ok(Self::Stop(how)),
            "restart" => Ok(Self::Restart(how)),
            "freeze" => Ok(Self::Freeze),
            "unfreeze" => Ok(Self::Unfreeze),
            other => Err(Error::bad_request(format!("Unknown action: '{other}'"))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop(_) => "stop",
            Self::Restart(_) => "restart",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Start => "Starting instance",
            Self::Stop(_) => "Stopping instance",
            Self::Restart(_) => "Restarting instance",
            Self::Freeze => "Freezing instance",
            Self::Unfreeze => "Unfreezing instance",
        }
    }
}

/// Starts a change of state; the answer is its operation.
///
/// # Errors
/// There is no such instance, or the action is unknown.
pub async fn put(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    put: InstanceStatePut,
) -> Result<Arc<Operation>> {
    let key = InstanceKey::new(permit.project(), name);
    let wanted = key.clone();
    core.db.read(move |tx| load(tx, &wanted)).await?;
    let action = Action::parse(&put)?;
    let spec = OperationSpec::task(action.description(), key.project.as_str())
        .on("instances", key.url())
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    Ok(core
        .operations
        .clone()
        .spawn(spec, move |_| async move { change(&core, &permit, &key, action).await }))
}

/// Changes the state inside the instance's gate.
///
/// # Errors
/// Another action holds the gate, or the change fails.
pub async fn change(core: &SharedCore, permit: &Permit, key: &InstanceKey, action: Action) -> Result<()> {
    let _gate = core.gates.enter(key.to_string(), action.name()).map_err(|taken| {
        Error::from(taken).context(format!("Failed to create instance {} operation", action.name()))
    })?;
    match action {
        Action::Start if core.runtime.status(key) == StatusCode::FROZEN => {
            stop::freeze_held(core, permit, key, Freeze::Thaw).await
        }
        Action::Start => start::start_held(core, permit, key).await,
        Action::Stop(how) => stop::stop_held(core, permit, key, how).await,
        Action::Restart(how) => restart(core, permit, key, how).await,
        Action::Freeze => stop::freeze_held(core, permit, key, Freeze::Freeze).await,
        Action::Unfreeze => stop::freeze_held(core, permit, key, Freeze::Thaw).await,
    }
}

async fn restart(core: &SharedCore, permit: &Permit, key: &InstanceKey, how: Stop) -> Result<()> {
    stop::stop_quietly(core, key, how).await?;
    start::start_quietly(core, key).await?;
    core.tell(permit.caller(), Lifecycle::new("instance-restarted", key.url()).in_project(&key.project));
    Ok(())
}

/// The run-time state of an instance.
///
/// # Errors
/// Not found.
pub async fn get(core: &SharedCore, permit: &Permit, name: &InstanceName) -> Result<InstanceState> {
    let key = InstanceKey::new(permit.project(), name);
    let single = list_cache::single(core, &key).await?;
    of(core, &key, single.listed.at(0).nics()).await
}

/// The run-time state of an instance with these NICs. Reads counters of the kernel; starts no process.
///
/// # Errors
/// The container does not answer.
pub(super) async fn of(core: &SharedCore, key: &InstanceKey, nics: &[NicNames]) -> Result<InstanceState> {
    let Some(entry) = core.runtime.get(key) else {
        return Ok(InstanceState {
            status: StatusCode::STOPPED.text().to_owned(),
            status_code: StatusCode::STOPPED,
            ..InstanceState::default()
        });
    };
    let containers = core.containers()?.clone();
    let running = entry.running.clone();
    let usage = tokio::task::spawn_blocking(move || containers.cgroups(&running).usage())
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?;
    let number = |value: Option<u64>| value.and_then(|n| i64::try_from(n).ok()).unwrap_or(0);
    Ok(InstanceState {
        status: entry.status.text().to_owned(),
        status_code: entry.status,
        memory: InstanceStateMemory {
            usage: number(usage.memory),
            usage_peak: number(usage.memory_peak),
            swap_usage: number(usage.swap),
            swap_usage_peak: number(usage.swap_peak),
        },
        network: super::nics::interfaces(entry.running.init(), key, nics).await,
        pid: i64::from(entry.running.init()),
        processes: number(usage.processes),
        cpu: InstanceStateCpu { usage: number(usage.cpu) },
        ..InstanceState::default()
    })
}
