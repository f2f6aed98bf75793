//! Undoing and finishing of interrupted use cases about instances. Every function may run again.

use lxd_db::{instances, projects, storage_volumes};
use lxd_storage::VolumeKind;
use lxd_types::{ConfigExt, IdMap, Kind, Result};

use super::{InstanceKey, delete as deletion, devices, load, rename as renaming};
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

/// Makes disk and database agree after an interrupted renaming.
pub(crate) async fn rename(core: &SharedCore, old: &InstanceKey, new: &InstanceKey) -> Result<()> {
    renaming::settle(core, old, new).await
}

/// Stops the devices of an instance that does not run.
pub(crate) async fn start(core: &SharedCore, key: &InstanceKey) -> Result<()> {
    let wanted = key.clone();
    let model = match core.db.read(move |tx| load(tx, &wanted)).await {
        Ok(model) => model,
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !core.runtime.is_running(key) {
        devices::stop_all(core, &model, &IdMap::default()).await;
    }
    Ok(())
}
