//! Undoing and finishing of interrupted use cases about instances. Every function may run again.

use lxd_db::{instances, projects, storage_volumes};
use lxd_instance::keys::volatile::{self, IDMAP_CURRENT};
use lxd_storage::VolumeKind;
use lxd_types::{ConfigExt, Kind, Result};

use super::relocate::{self, Place};
use super::{InstanceKey, delete as deletion, devices, load};
use crate::SharedCore;

/// Removes what an interrupted creation left. The volume goes before its row: the row names its pool. Where nothing
/// was recorded nothing was made, and an instance with another id was made by somebody else.
pub(crate) async fn create(core: &SharedCore, key: &InstanceKey, uuid: &str) -> Result<()> {
    let wanted = key.clone();
    match core.db.read(move |tx| load(tx, &wanted)).await {
        Ok(model) if model.row.config.value("volatile.uuid") == uuid => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let pool = super::pool_name(core, key).await?;
    deletion::remove_files(core, key, pool.as_deref()).await?;
    let key = key.clone();
    core.db
        .write(move |tx| {
            let Some(project) = projects::find(tx, key.project.as_str())? else { return Ok(()) };
            let kind = VolumeKind::Container.number();
            for volume in storage_volumes::anywhere(tx, project, kind, key.name.as_str())? {
                storage_volumes::delete(tx, volume.id)?;
            }
            match instances::find(tx, project, key.name.as_str())? {
                Some(id) => instances::delete(tx, id),
                None => Ok(()),
            }
        })
        .await
}

/// Finishes a deletion when its rows are gone.
pub(crate) async fn delete(core: &SharedCore, key: &InstanceKey, pool: Option<&str>) -> Result<()> {
    let wanted = key.clone();
    match core.db.read(move |tx| load(tx, &wanted)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Kind::NotFound => deletion::remove_files(core, key, pool).await,
        Err(error) => Err(error),
    }
}

/// Makes disk and database agree after a renaming that an earlier release began.
pub(crate) async fn rename(core: &SharedCore, old: InstanceKey, new: InstanceKey) -> Result<()> {
    let recorded = match super::pool_name(core, &old).await? {
        None => super::pool_name(core, &new).await?,
        found => found,
    };
    let Some(pool) = recorded else { return Ok(()) };
    let place = |key: InstanceKey| Place { key, pool: pool.clone() };
    relocate::settle(core, place(old), place(new)).await
}

/// Ends a start that was not committed: the container (unless it was found and taken over when the daemon started),
/// its devices, and what was recorded of its run.
pub(crate) async fn start(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let wanted = key.clone();
    let model = match core.db.read(move |tx| load(tx, &wanted)).await {
        Ok(model) => model,
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if core.runtime.is_running(key) {
        return Ok(());
    }
    if let Ok(containers) = core.containers()
        && let Some(running) = containers.find(&super::container_ref(core, key)).await?
    {
        containers.stop(&running).await?;
    }
    let idmap = volatile::read_idmap(&model.row.config, &IDMAP_CURRENT).unwrap_or_default();
    let changes = devices::stop_all(core, &model, &idmap).await;
    let (id, keys) = (model.row.id, super::start::stopped_keys(changes));
    core.db.write(move |tx| instances::set_keys(tx, id, &keys)).await
}
