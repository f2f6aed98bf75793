//! Images as volumes: on pools that can clone, an image is unpacked once, and instances are copies of that.

use lxd_db::{projects, storage_pools, storage_volumes};
use lxd_storage::{Content, Filler, Pool, Quota, VolumeKind, VolumeRef};
use lxd_types::names::{Fingerprint, PoolName};
use lxd_types::{Error, Kind, Result};

use crate::journal::Log;
use crate::{Core, SharedCore, Undo};

/// Makes the root volume of an instance from an image; `fill` unpacks that.
///
/// # Errors
/// The volume is there, the image is damaged, no space.
pub async fn create_from_image(
    core: &SharedCore,
    name: &PoolName,
    fingerprint: &Fingerprint,
    volume: &VolumeRef,
    size: Option<u64>,
    fill: Filler,
) -> Result<()> {
    let pool = super::open(core, name.as_str()).await?;
    if !pool.keeps_images() {
        return pool.create(volume, size, Some(fill)).await;
    }
    // However many want it, one makes it; and it does not go while it is copied.
    let _turn = core.turns.wait(&turn(fingerprint)).await;
    let image = VolumeRef::image(fingerprint);
    make(core, name, &*pool, &image, fill).await?;
    pool.copy(&(&image).into(), volume, &[]).await?;
    let Some(size) = size else { return Ok(()) };
    let limited = pool.resize(volume, Some(size)).await;
    if limited.is_err() {
        pool.delete(volume).await?;
    }
    if limited? == Quota::NotEnforced {
        tracing::warn!(%volume, "The size is recorded, but this storage pool cannot enforce it");
    }
    Ok(())
}

fn turn(fingerprint: &Fingerprint) -> String {
    format!("image volume {fingerprint}")
}

/// Makes the image's volume where it is not there yet.
async fn make(
    core: &SharedCore,
    name: &PoolName,
    pool: &dyn Pool,
    image: &VolumeRef,
    fill: Filler,
) -> Result<()> {
    let (pool_name, wanted) = (name.to_string(), image.name.to_string());
    let (pool_id, row) = core
        .db
        .read(move |tx| {
            let pool = storage_pools::require(tx, &pool_name)?;
            let kind = VolumeKind::Image.number();
            Ok((pool, storage_volumes::find(tx, pool, projects::DEFAULT, kind, &wanted)?))
        })
        .await?;
    match (row, pool.exists(image).await?) {
        (Some(_), true) => return Ok(()),
        (None, true) => {
            return Err(Error::conflict(format!(
                "Storage pool \"{name}\" has a volume of image \"{}\" that the database does not know: \
                 remove it (see \"lxd recover\")",
                image.name
            )));
        }
        // Somebody removed it by hand: it is made anew.
        (Some(id), false) => core.db.write(move |tx| storage_volumes::delete(tx, id)).await?,
        (None, false) => {}
    }
    core.undoable(async |undo: &mut Log| {
        undo.push(Undo::ForgetVolume { pool: name.clone(), volume: image.clone() }).await?;
        let row = storage_volumes::NewVolume {
            name: image.name.to_string(),
            pool_id,
            kind: VolumeKind::Image.number(),
            content: Content::Filesystem.number(),
            ..storage_volumes::NewVolume::here(projects::DEFAULT)
        };
        core.db.write(move |tx| storage_volumes::insert(tx, &row).map(drop)).await?;
        pool.create(image, None, Some(fill)).await
    })
    .await
}

/// Removes the volumes of an image that is gone from every pool. A pool that is not there keeps its volume, with its row.
///
/// # Errors
/// A failure of the database.
pub async fn forget_image(core: &Core, fingerprint: &Fingerprint) -> Result<()> {
    let _turn = core.turns.wait(&turn(fingerprint)).await;
    let wanted = fingerprint.to_string();
    let kind = VolumeKind::Image.number();
    let rows =
        core.db.read(move |tx| storage_volumes::anywhere(tx, projects::DEFAULT, kind, &wanted)).await?;
    for row in rows {
        let removed = async {
            remove(&*super::open(core, &row.pool).await?, &VolumeRef::image(fingerprint)).await?;
            core.db.write(move |tx| storage_volumes::delete(tx, row.id)).await
        };
        if let Err(error) = removed.await {
            tracing::error!(pool = row.pool, %fingerprint, error = error.chain(), "Failed to remove a volume of an image");
        }
    }
    Ok(())
}

/// Removes the volumes of all images from a pool that goes.
///
/// # Errors
/// A volume cannot be removed.
pub(super) async fn forget_all(core: &Core, row: &storage_pools::Pool, pool: &dyn Pool) -> Result<()> {
    let filter = storage_volumes::Filter {
        pool_id: Some(row.id),
        kind: Some(VolumeKind::Image.number()),
        ..storage_volumes::Filter::default()
    };
    for volume in core.db.read(move |tx| storage_volumes::list(tx, filter)).await? {
        let fingerprint: Fingerprint = volume.name.parse()?;
        let _turn = core.turns.wait(&turn(&fingerprint)).await;
        remove(pool, &VolumeRef::image(&fingerprint)).await?;
        core.db.write(move |tx| storage_volumes::delete(tx, volume.id)).await?;
    }
    Ok(())
}

async fn remove(pool: &dyn Pool, image: &VolumeRef) -> Result<()> {
    match pool.delete(image).await {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    }
}
