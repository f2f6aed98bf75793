//! `DELETE /1.0/storage-pools/{name}`, and the undo of a pool that was not finished.

use lxd_auth::Permit;
use lxd_db::used_by::User;
use lxd_db::{nodes, storage_pools};
use lxd_types::names::PoolName;
use lxd_types::{Error, Result};

use crate::lifecycle::Lifecycle;
use crate::{Core, SharedCore};

/// Removes a pool that nothing uses.
///
/// # Errors
/// "Storage pool not found", "The storage pool is currently in use", or data without a row is left in it.
pub async fn delete(core: &SharedCore, permit: &Permit, name: &str) -> Result<()> {
    let (work, permit, name) = (core.clone(), permit.clone(), name.to_owned());
    core.run("delete storage pool", async move { run(&work, &permit, &name).await }).await
}

async fn run(core: &SharedCore, permit: &Permit, name: &str) -> Result<()> {
    let wanted = name.to_owned();
    // Pending in the same transaction that finds it unused: from here on nothing can be put into it.
    let row = core
        .db
        .write(move |tx| {
            let row = storage_pools::get(tx, &wanted, nodes::LONE)?;
            // Volumes of images are the pool's own: they go with it.
            let users = storage_pools::used_by(tx, row.id)?;
            if users.iter().any(|user| !matches!(user, User::Image { .. })) {
                return Err(Error::bad_request("The storage pool is currently in use"));
            }
            storage_pools::set_state(tx, row.id, nodes::LONE, storage_pools::PENDING)?;
            Ok(row)
        })
        .await?;
    let id = row.id;
    let removed = async {
        let pool = super::open::driver(core, &row)?;
        super::images::forget_all(core, &row, &*pool).await?;
        pool.delete_pool().await
    };
    if let Err(error) = removed.await {
        core.db.write(move |tx| storage_pools::set_state(tx, id, nodes::LONE, row.state)).await?;
        return Err(error);
    }
    core.db.write(move |tx| storage_pools::delete(tx, id)).await?;
    core.tell(permit.caller(), Lifecycle::new("storage-pool-deleted", super::url(name)));
    Ok(())
}

/// Removes what an unfinished create made. A pool that was finished, or never recorded, is left alone.
///
/// # Errors
/// Something is in the pool's directory.
pub async fn undo_create(core: &Core, name: &PoolName) -> Result<()> {
    let wanted = name.to_string();
    let row = core
        .db
        .read(move |tx| match storage_pools::find(tx, &wanted)? {
            Some(_) => storage_pools::get(tx, &wanted, nodes::LONE).map(Some),
            None => Ok(None),
        })
        .await?;
    let Some(row) = row.filter(|row| row.state == storage_pools::PENDING) else { return Ok(()) };
    super::open::driver(core, &row)?.delete_pool().await?;
    core.db.write(move |tx| storage_pools::delete(tx, row.id)).await
}
