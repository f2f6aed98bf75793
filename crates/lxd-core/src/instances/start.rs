//! Starting an instance: devices, storage, the container, one transaction.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::Utc;
use lxd_api::StatusCode;
use lxd_auth::Permit;
use lxd_container::{Running, Spec};
use lxd_db::{Tx, instances};
use lxd_device::Attach;
use lxd_instance::keys::volatile::{self, IDMAP_NEXT};
use lxd_storage::{Mounted, Pool, VolumeRef};
use lxd_sys::Dir;
use lxd_types::error::Context;
use lxd_types::{Config, Error, IdMap, Result};

use super::devices::{self, AllStarted};
use super::runtime::RuntimeEntry;
use super::{InstanceKey, Model, cpus, ended, files, load, modules, requirements, spec};
use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{SharedCore, Undo};

/// Starts a stopped instance; the caller holds its gate.
///
/// # Errors
/// It runs already, a device or the storage fails, or liblxc does; everything is undone then.
pub(super) async fn start_held(core: &SharedCore, permit: &Permit, key: &InstanceKey) -> Result<()> {
    start_quietly(core, key).await?;
    core.tell(permit.caller(), Lifecycle::new("instance-started", key.url()).in_project(&key.project));
    Ok(())
}

/// [`start_held`] without the lifecycle event, for restarts.
pub(super) async fn start_quietly(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    if core.runtime.is_running(key) {
        return Err(Error::bad_request("The instance is already running"));
    }
    let wanted = key.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    requirements::check(&model.config, core.containers()?.has_cgroup2_only())?;
    let running = core
        .undoable(async |undo: &mut Log| {
            undo.push(Undo::StartInstance { project: key.project.clone(), name: key.name.clone() }).await?;
            bring_up(core, &model).await
        })
        .await;
    let running = match running {
        Ok(running) => running,
        Err(error) => {
            core.runtime.placed.lock().await.remove(key);
            return Err(error);
        }
    };
    let entry = RuntimeEntry::new(running, StatusCode::RUNNING);
    super::nodes::nudge(core, &model);
    entry.set_taken(model);
    cpus::settle(core, key, &entry).await;
    ended::watch(core, key, entry.clone());
    super::apply::catch_up(core, key, &entry).await;
    cpus::balance(core, None).await
}

/// Everything between the gate and a running init. When the record fails, the container is stopped again.
async fn bring_up(core: &SharedCore, model: &Model) -> Result<Running> {
    modules::load(core, &model.config).await?;
    files::prepare_directories(core, &model.key).await?;
    core.faults.point("directories made")?;
    let idmap = next_idmap(model)?;
    let (_pool, root) = mount_root(core, model).await?;
    let devices = devices::start_all(core, model, &idmap).await?;
    let started = async {
        core.faults.point("devices started")?;
        run_container(core, model, &idmap, &root, &devices).await
    };
    let running = match started.await {
        Ok(running) => running,
        Err(error) => {
            devices::stop_all(core, model, &idmap).await;
            return Err(error);
        }
    };
    let recorded = async {
        core.faults.point("container started")?;
        super::apply::at_start(core, model, &running).await?;
        let inside = Attach { init: running.init_fd(), volatile: &devices.volatile };
        devices::attach_all(core, model, &idmap, inside).await?;
        record(core, model, &idmap, &devices).await?;
        core.faults.point("start recorded")
    };
    if let Err(error) = recorded.await {
        core.containers()?.stop(&running).await.unwrap_or_else(|stop| {
            tracing::error!(instance = %model.key, error = stop.chain(), "A container whose start failed still runs");
        });
        devices::stop_all(core, model, &idmap).await;
        return Err(error);
    }
    Ok(running)
}

/// The map that holds from this start on.
fn next_idmap(model: &Model) -> Result<IdMap> {
    match volatile::read_idmap(&model.row.config, &IDMAP_NEXT) {
        Some(map) => Ok(map),
        None => Err(Error::internal("The instance has no id map; set a key of it to have one assigned")),
    }
}

pub(super) async fn mount_root(core: &SharedCore, model: &Model) -> Result<(Arc<dyn Pool>, Mounted)> {
    let name = super::pool_name(core, &model.key).await?;
    let name = name.ok_or_else(|| Error::not_found("The instance's root volume is not recorded"))?;
    let pool = crate::storage_pools::open(core, &name).await?;
    let root = pool.mount(&VolumeRef::container(&model.key.project, &model.key.name)).await?;
    Ok((pool, root))
}

async fn run_container(
    core: &SharedCore,
    model: &Model,
    idmap: &IdMap,
    root: &Mounted,
    devices: &AllStarted,
) -> Result<Running> {
    let idmapped = prepare_root(core, root, idmap).await?;
    super::templates::apply_at_start(root, model).await?;
    let processors = cpus::place(core, model).await?;
    let mut spec = spec::container_spec(core, model, idmap, root, idmapped, devices)?;
    spec.cgroup.extend(processors);
    add_seccomp(core, model, &mut spec).await?;
    core.faults.point("container prepared")?;
    let started = core.containers()?.start(&spec).await;
    started.map_err(|error| match closed_folder(core.paths.root()) {
        Some(folder) if !idmap.is_empty() => error.context(format!(
            "Root of an unprivileged instance may not enter {folder:?}, in which the daemon's directory is (chmod o+x it, or set \
             LXD_DIR to another place)"
        )),
        _ => error,
    })
}

/// The first folder above the daemon's directory that only its owner may enter.
fn closed_folder(root: &Path) -> Option<&Path> {
    let above: Vec<&Path> = root.ancestors().skip(1).collect();
    above
        .into_iter()
        .rev()
        .find(|folder| std::fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 == 0))
}

/// Makes the root file system ready for the map: on kernels that can, the mount shifts the ids. Returns whether.
async fn prepare_root(core: &SharedCore, root: &Mounted, idmap: &IdMap) -> Result<bool> {
    if idmap.is_empty() {
        return Ok(false);
    }
    if core.switches.no_idmapped_mounts {
        return Err(Error::not_implemented(
            "Mounts that shift ids are switched off (LXD_IDMAPPED_MOUNTS_DISABLE); unprivileged instances need them \
             (or set security.privileged)",
        ));
    }
    let failed = |error: std::io::Error| Error::internal(format!("Failed to look at the root: {error}"));
    let device = root.dir.stat(".").map_err(failed)?.st_dev;
    if core.idmapped.holds(device) {
        return Ok(true);
    }
    let dir = root.dir.clone();
    let supported = tokio::task::spawn_blocking(move || lxd_sys::mount::idmap_supported(&dir))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?;
    if !supported {
        return Err(Error::not_implemented(
            "This file system cannot shift ids by its mounts; unprivileged instances need that (or set security.privileged)",
        ));
    }
    core.idmapped.add(device);
    Ok(true)
}

/// File systems, by device number, that were seen to shift ids by their mounts: finding out takes a process.
#[derive(Default)]
pub struct Idmapped(Mutex<HashSet<u64>>);

impl Idmapped {
    fn holds(&self, device: u64) -> bool {
        self.lock().contains(&device)
    }

    fn add(&self, device: u64) {
        self.lock().insert(device);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.0.lock().expect("no panic happens while the lock is held")
    }
}

async fn add_seccomp(core: &SharedCore, model: &Model, spec: &mut Spec) -> Result<()> {
    let intercept = super::intercept::wanted(&model.config, &spec.idmap);
    if intercept.any() {
        super::intercept::require(core, &model.config).await?;
        spec.seccomp_notify = Some((core.paths.seccomp_socket(), model.key.to_string()));
    }
    let profile = spec::seccomp_profile(&model.config, model.row.architecture, intercept)?;
    let Some(text) = profile else { return Ok(()) };
    let (folder, name) = (core.paths.security_seccomp(), spec.name.clone());
    spec.seccomp_profile = Some(folder.join(&name));
    tokio::task::spawn_blocking(move || Dir::open(folder)?.write_replace(name, text.as_bytes(), 0o600))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        .context("Failed to write the seccomp profile")
}

/// The one transaction of a start.
async fn record(core: &SharedCore, model: &Model, idmap: &IdMap, devices: &AllStarted) -> Result<()> {
    let id = model.row.id;
    let mut keys: BTreeMap<String, Option<String>> =
        devices.volatile.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    let text = volatile::idmap_text(idmap);
    keys.insert("volatile.idmap.current".to_owned(), Some(text));
    keys.insert("volatile.last_state.power".to_owned(), Some("RUNNING".to_owned()));
    keys.insert("volatile.apply_template".to_owned(), None);
    core.db
        .write(move |tx: &Tx<'_>| {
            instances::set_keys(tx, id, &keys)?;
            instances::set_last_used(tx, id, Utc::now())
        })
        .await
}

/// Removes the keys that only a running instance has, and records that it is stopped.
pub(super) fn stopped_keys(volatile: Config) -> BTreeMap<String, Option<String>> {
    let mut keys: BTreeMap<String, Option<String>> =
        volatile.into_iter().map(|(key, value)| (key, Some(value))).collect();
    keys.insert("volatile.last_state.power".to_owned(), Some("STOPPED".to_owned()));
    keys
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn folders_that_nobody_may_enter_are_found() {
        let place = tempfile::tempdir().unwrap();
        let closed = place.path().join("closed");
        let root = closed.join("between/lxd");
        std::fs::create_dir_all(&root).unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mode(place.path(), 0o711);
        mode(&root, 0o700);
        assert_eq!(closed_folder(&root), None, "the daemon's own directory has a mode of its own");
        mode(&closed, 0o700);
        assert_eq!(closed_folder(&root), Some(&*closed));
    }
}
