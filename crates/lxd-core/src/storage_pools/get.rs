//! `GET /1.0/storage-pools`, `…/{name}`, `…/{name}/resources`.

use lxd_api::resources::{ResourcesStoragePool, ResourcesStoragePoolInodes, ResourcesStoragePoolSpace};
use lxd_api::storage_pool::StoragePool;
use lxd_auth::Caller;
use lxd_db::{Tx, nodes, storage_pools};
use lxd_types::Result;

use crate::Core;

/// The names of all pools, sorted.
///
/// # Errors
/// A failure of the database.
pub async fn names(core: &Core) -> Result<Vec<String>> {
    core.db.read(storage_pools::names).await
}

/// All pools as this caller may see them.
///
/// # Errors
/// A failure of the database.
pub async fn list(core: &Core, caller: &Caller) -> Result<Vec<StoragePool>> {
    let seer = caller.clone();
    let mut all: Vec<StoragePool> = core
        .db
        .read(move |tx| {
            storage_pools::list(tx, nodes::LONE)?.into_iter().map(|pool| view(tx, &seer, pool)).collect()
        })
        .await?;
    all.iter_mut().for_each(|pool| mark(core, pool));
    Ok(all)
}

/// One pool.
///
/// # Errors
/// "Storage pool not found".
pub async fn get(core: &Core, caller: &Caller, name: &str) -> Result<StoragePool> {
    let (seer, name) = (caller.clone(), name.to_owned());
    let mut pool =
        core.db.read(move |tx| view(tx, &seer, storage_pools::get(tx, &name, nodes::LONE)?)).await?;
    mark(core, &mut pool);
    Ok(pool)
}

/// Says of a finished pool that it cannot be used at present.
fn mark(core: &Core, pool: &mut StoragePool) {
    if core.unavailable_pools.contains(&pool.name) {
        "Unavailable".clone_into(&mut pool.status);
    }
}

/// The space of a pool.
///
/// # Errors
/// "Storage pool not found", or it does not answer.
pub async fn resources(core: &Core, name: &str) -> Result<ResourcesStoragePool> {
    let found = super::open(core, name).await?.resources().await?;
    Ok(ResourcesStoragePool {
        space: ResourcesStoragePoolSpace { used: found.space_used, total: found.space_total },
        inodes: ResourcesStoragePoolInodes { used: found.inodes_used, total: found.inodes_total },
    })
}

fn view(tx: &Tx<'_>, caller: &Caller, pool: storage_pools::Pool) -> Result<StoragePool> {
    let users = storage_pools::used_by(tx, pool.id)?;
    let mut config = pool.config;
    if !caller.is_admin() {
        // Paths of the host are not for clients that are limited to projects.
        config.remove("source");
        config.remove("volatile.initial_source");
    }
    Ok(StoragePool {
        config,
        description: pool.description,
        name: pool.name,
        driver: pool.driver,
        used_by: users.iter().filter(|user| caller.sees(user.project())).map(|user| user.url()).collect(),
        status: status(pool.state).to_owned(),
        locations: pool.locations,
    })
}

fn status(state: i64) -> &'static str {
    match state {
        storage_pools::PENDING => "Pending",
        storage_pools::CREATED => "Created",
        storage_pools::ERRORED => "Errored",
        _ => "Unknown",
    }
}
