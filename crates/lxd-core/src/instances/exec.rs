//! `POST /1.0/instances/{name}/exec`: runs a command in a running instance (manual 3.4.3).
//!
//! With `wait-for-websocket` the client brings one websocket for each stream (one for all with `interactive`) and one for
//! control messages; without, the command runs by itself, its output recorded to log files on demand.

mod control;
mod pump;
mod session;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use lxd_api::StatusCode;
use lxd_api::instance::InstanceExecPost;
use lxd_auth::Permit;
use lxd_container::exec::environment;
use lxd_container::{ExecSpec, Running};
use lxd_db::Db;
use lxd_instance::keys::volatile::{self, IDMAP_CURRENT};
use lxd_sys::Dir;
use lxd_sys::dir::{Mode, OFlags};
use lxd_task::OperationSpec;
use lxd_task::operation::{Class, OpHandle, Operation};
use lxd_types::error::Context;
use lxd_types::names::InstanceName;
use lxd_types::{Error, Result};
use serde_json::json;

use super::{InstanceKey, Model, RuntimeEntry, load, spec};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

pub(super) use control::{Control, listen, resize};
pub(super) use pump::{Pipe, receive, send};

/// A command that was checked: everything but its streams.
struct Plan {
    key: InstanceKey,
    running: Running,
    idmap: lxd_types::IdMap,
    request: InstanceExecPost,
    environment: BTreeMap<String, String>,
    cwd: String,
}

/// Starts the operation that runs a command.
///
/// # Errors
/// The instance does not exist, does not run, or is frozen.
pub async fn exec(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    request: InstanceExecPost,
) -> Result<Arc<Operation>> {
    let key = InstanceKey::new(permit.project(), name);
    let (model, entry) = running(&core.db, core, &key).await?;
    if request.command.is_empty() {
        return Err(Error::bad_request("No command was given"));
    }
    if let Some(name) = request.environment.keys().find(|name| name.is_empty() || name.contains('=')) {
        return Err(Error::bad_request(format!("Invalid environment variable name {name:?}")));
    }
    let plan = plan(model, entry, request).await?;
    let operation = OperationSpec::task("Executing command", key.project.as_str())
        .on("instances", key.url())
        .on("containers", format!("/1.0/containers/{}", key.name))
        .by(permit.caller().requestor());
    let (core, permit) = (core.clone(), permit.clone());
    let operations = core.operations.clone();
    if !plan.request.wait_for_websocket {
        return Ok(
            operations.spawn(operation, move |op| async move { alone(&core, &permit, op, plan).await })
        );
    }
    let operation = operation
        .class(Class::Websocket)
        .with("command", json!(plan.request.command))
        .with("environment", json!(plan.environment))
        .with("interactive", plan.request.interactive);
    let operation = operations.create(operation);
    let sockets = session::Sockets::open(&operation, plan.request.interactive);
    operations
        .start(&operation, move |op| async move { session::run(&core, &permit, &op, plan, sockets).await });
    Ok(operation)
}

/// The instance and its processes.
///
/// # Errors
/// Not found, not running, frozen.
pub(super) async fn running(db: &Db, core: &SharedCore, key: &InstanceKey) -> Result<(Model, RuntimeEntry)> {
    let wanted = key.clone();
    let model = db.read(move |tx| load(tx, &wanted)).await?;
    let entry = core.runtime.get(key).ok_or_else(|| Error::bad_request("Instance is not running"))?;
    if entry.status == StatusCode::FROZEN {
        return Err(Error::bad_request("Instance is frozen"));
    }
    Ok((model, entry))
}

async fn plan(model: Model, entry: RuntimeEntry, request: InstanceExecPost) -> Result<Plan> {
    let init = entry.running.init();
    let (snap, nixos) = tokio::task::spawn_blocking(move || (has(init, "snap"), has(init, "etc/NIXOS")))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?;
    let own = spec::environment(&model.config);
    let environment = environment(&own, &request.environment, request.user, snap, nixos);
    let home = || environment.get("HOME").filter(|home| !home.is_empty()).cloned();
    let cwd = Some(request.cwd.clone()).filter(|cwd| !cwd.is_empty()).or_else(home);
    Ok(Plan {
        cwd: cwd.unwrap_or_else(|| "/".to_owned()),
        idmap: volatile::read_idmap(&model.row.config, &IDMAP_CURRENT).unwrap_or_default(),
        key: model.key,
        running: entry.running,
        environment,
        request,
    })
}

/// Whether a path exists inside.
fn has(init: i32, path: &str) -> bool {
    let root = rustix::fs::open(
        format!("/proc/{init}/root"),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    root.is_ok_and(|root| Dir::from_fd(root).open_in_root(path, OFlags::PATH, 0).is_ok())
}

impl Plan {
    fn spec(&self, stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd) -> ExecSpec {
        ExecSpec {
            command: self.request.command.clone(),
            environment: self.environment.clone(),
            uid: self.request.user,
            gid: self.request.group,
            cwd: self.cwd.clone(),
            stdin,
            stdout,
            stderr,
            terminal: self.request.interactive && self.request.wait_for_websocket,
        }
    }

    /// Tells the readers of events.
    fn tell(&self, core: &SharedCore, permit: &Permit) {
        let event = Lifecycle::new("instance-exec", self.key.url())
            .in_project(&self.key.project)
            .with("command", json!(self.request.command));
        core.tell(permit.caller(), event);
    }
}

/// `/dev/null`.
fn null() -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// Runs a command without a client.
async fn alone(core: &SharedCore, permit: &Permit, op: OpHandle, plan: Plan) -> Result<()> {
    let id = op.operation().id;
    let names = [format!("exec_{id}.stdout"), format!("exec_{id}.stderr")];
    let record = plan.request.record_output;
    let logs = core.paths.logs().join(plan.key.storage_name());
    let files = names.clone();
    let (stdout, stderr) = tokio::task::spawn_blocking(move || {
        if !record {
            return Ok((null()?, null()?));
        }
        let logs = Dir::open(logs)?;
        let file = |name: &str| logs.create_new(name, 0o600).map(OwnedFd::from);
        Ok::<_, io::Error>((file(&files[0])?, file(&files[1])?))
    })
    .await
    .map_err(|panic| Error::internal(panic.to_string()))?
    .context("Failed to open the command's streams")?;
    let stdin = null().context("Failed to open the command's streams")?;
    let process = core.containers()?.exec(&plan.running, plan.spec(stdin, stdout, stderr)).await?;
    plan.tell(core, permit);
    let status = process.wait().await?;
    if record {
        let url = |name: &str| format!("{}/logs/{name}", plan.key.url());
        op.set("output", json!({"1": url(&names[0]), "2": url(&names[1])}));
    }
    ended(&op, status)
}

/// Records the exit status; by those of a command that could not be run the operation fails.
fn ended(op: &OpHandle, status: i32) -> Result<()> {
    op.set("return", status);
    match status {
        126 => Err(Error::bad_request("Command not executable")),
        127 => Err(Error::bad_request("Command not found")),
        _ => Ok(()),
    }
}
