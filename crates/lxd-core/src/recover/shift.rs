//! Files of found instances whose owners an earlier server shifted on disk get the owners of the inside, before the instances are
//! recorded: here the mounts shift. Each tree has a plan beside it until the instance's `backup.yaml` tells of the new owners,
//! so that an interrupted recovery is finished by the next one.

use std::os::fd::AsFd;
use std::sync::Arc;

use lxd_instance::backup_yaml::{BackupYaml, FILE_MODE, FILE_NAME};
use lxd_storage::{Filler, Pool, VolumeRef, fill_with};
use lxd_sys::Dir;
use lxd_types::error::Context;
use lxd_types::helper::{SHIFT_PLAN, Shift, Shifted};
use lxd_types::names::SnapshotName;
use lxd_types::{Config, ConfigExt, Error, Flag, IdMap, Result};

use super::scan::{Scan, Unknown};
use crate::SharedCore;
use crate::instances::container_ref;

/// The key that holds the map by which owners are shifted on disk.
pub const OWNERS: &str = "volatile.last_state.idmap";

/// The map by which owners are shifted.
///
/// # Errors
/// It cannot be read.
pub fn map(config: &Config) -> Result<IdMap> {
    match config.value(OWNERS) {
        "" => Ok(IdMap::default()),
        text => serde_json::from_str(text)
            .map_err(|error| Error::bad_request(format!("Invalid {OWNERS}: {error}"))),
    }
}

/// Shifts what has to be shifted.
///
/// # Errors
/// An instance runs or is protected; I/O errors. What was done stays.
pub async fn settle(core: &SharedCore, scan: &Scan) -> Result<()> {
    for looked in &scan.pools {
        for unknown in looked.volumes.iter().filter(|unknown| is_shifted(unknown)) {
            let what = unknown.volume.to_string();
            let done = one(core, looked.pool(), unknown).await;
            done.map_err(|error| error.context(format!("Failed to shift the owners of volume {what:?}")))?;
        }
    }
    Ok(())
}

fn maps(file: &BackupYaml) -> impl Iterator<Item = &Config> {
    let snapshots = file.snapshots.iter().map(|snapshot| &snapshot.config);
    file.container.iter().map(|instance| &instance.config).chain(snapshots)
}

fn is_shifted(unknown: &Unknown) -> bool {
    let file = unknown.instance.as_ref().map(|instance| &instance.file);
    file.is_some_and(|file| maps(file).any(|config| map(config).is_ok_and(|map| !map.is_empty())))
}

async fn one(core: &SharedCore, pool: &Arc<dyn Pool>, unknown: &Unknown) -> Result<()> {
    let Some(described) = &unknown.instance else { return Ok(()) };
    let Some(instance) = &described.file.container else { return Ok(()) };
    if instance.expanded_config.flag("security.protection.shift", Flag::DefaultFalse) {
        return Err(Error::bad_request("Container is protected against filesystem shifting"));
    }
    if let Ok(containers) = core.containers()
        && containers.find(&container_ref(core, &described.key)).await?.is_some()
    {
        return Err(Error::bad_request("The container runs: stop it first"));
    }
    let mut snapshots: Vec<SnapshotName> = Vec::new();
    for snapshot in &described.file.snapshots {
        let map = map(&snapshot.config)?;
        if !map.is_empty() {
            let name: SnapshotName = snapshot.name.parse()?;
            pool.change_snapshot(&unknown.volume.snapshot(&name), shifter(core, map)).await?;
            core.faults.point("owners of a snapshot shifted")?;
            snapshots.push(name);
        }
    }
    let map = map(&instance.config)?;
    let root = pool.mount(&unknown.volume).await?.dir;
    if !map.is_empty() {
        shift(core, &root, map).await?;
    }
    core.faults.point("owners shifted")?;
    let text = unshifted(described.file.clone()).render()?;
    blocking(move || {
        root.write_atomic(FILE_NAME, text.as_bytes(), FILE_MODE)?;
        forget(&root)
    })
    .await?;
    forget_all(pool, &unknown.volume, &snapshots).await
}

async fn forget_all(pool: &Arc<dyn Pool>, volume: &VolumeRef, snapshots: &[SnapshotName]) -> Result<()> {
    for name in snapshots {
        let filler = fill_with(move |dir: Arc<Dir>| async move { blocking(move || forget(&dir)).await });
        pool.change_snapshot(&volume.snapshot(name), filler).await?;
    }
    Ok(())
}

fn forget(dir: &Dir) -> std::io::Result<()> {
    match dir.remove_file(SHIFT_PLAN) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking(work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<()> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|panic| Error::internal(panic.to_string()))?;
    done.context("Failed to note that owners were shifted")
}

fn shifter(core: &SharedCore, map: IdMap) -> Filler {
    let core = core.clone();
    fill_with(move |dir: Arc<Dir>| async move { shift(&core, &dir, map).await })
}

async fn shift(core: &SharedCore, volume: &Dir, owners: IdMap) -> Result<()> {
    let mut helper = core.helper()?.start("shift", &Shift { owners }, &[volume.as_fd()], None).await?;
    helper.answer::<Shifted>().await.map(drop)
}

/// The file as it is after the shift.
pub fn unshifted(mut file: BackupYaml) -> BackupYaml {
    let snapshots = file.snapshots.iter_mut().map(|snapshot| &mut snapshot.config);
    for config in file.container.iter_mut().map(|instance| &mut instance.config).chain(snapshots) {
        config.insert(OWNERS.to_owned(), "[]".to_owned());
    }
    file
}
