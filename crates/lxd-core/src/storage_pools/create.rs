//! `POST /1.0/storage-pools`.

use std::path::PathBuf;

use lxd_api::storage_pool::StoragePoolsPost;
use lxd_auth::Permit;
use lxd_db::{Config, nodes, storage_pools};
use lxd_storage::{PoolDriver, PoolSpec, config, driver_by_name, open_pool};
use lxd_types::names::PoolName;
use lxd_types::{ConfigExt, Error, Kind, Result};

use crate::journal::Log;
use crate::lifecycle::Lifecycle;
use crate::{Core, SharedCore, Undo};

/// What will be recorded and made.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    driver: PoolDriver,
    spec: PoolSpec,
    description: String,
    config: Config,
}

/// Makes a pool.
///
/// # Errors
/// Wrong name, driver, key or source; the name is taken.
pub async fn create(core: &SharedCore, permit: &Permit, post: StoragePoolsPost) -> Result<PoolName> {
    let plan = plan(core, post)?;
    let name = plan.spec.name.clone();
    let (work, permit) = (core.clone(), permit.clone());
    core.run("create storage pool", async move { run(&work, &permit, plan).await }).await?;
    Ok(name)
}

fn plan(core: &Core, post: StoragePoolsPost) -> Result<Plan> {
    if post.name.is_empty() {
        return Err(Error::bad_request("No name provided"));
    }
    if post.name.contains('/') {
        return Err(Error::bad_request("Storage pool names may not contain slashes"));
    }
    let driver = driver_by_name(&post.driver)?;
    if !core.storage_drivers.iter().any(|there| there.name == driver.as_str()) {
        return Err(Error::bad_request(format!(
            "Storage driver \"{}\" does not work here: the kernel or the program \"mkfs.{}\" lacks (package {}-progs)",
            post.driver, post.driver, post.driver
        )));
    }
    let name: PoolName = post.name.parse()?;
    // The reference answers 500 for wrong keys of a new pool, 400 for those of a change.
    config::check_pool(driver, &post.config).map_err(|error| error.with_kind(Kind::Internal))?;
    let config = driver.plan(core.paths.root(), &name, post.config)?;
    let source = PathBuf::from(config.value("source"));
    let spec = PoolSpec { name, lxd_dir: core.paths.root().to_owned(), source, config: config.clone() };
    Ok(Plan { driver, spec, description: post.description, config })
}

async fn run(core: &SharedCore, permit: &Permit, plan: Plan) -> Result<()> {
    let name = plan.spec.name.to_string();
    // One at a time, so that the undo of a failed one cannot hit the pool of another.
    let _gate = core.gates.enter(format!("storage-pools/{name}"), "create").map_err(|_| taken())?;
    core.undoable(async |undo: &mut Log| {
        let wanted = name.clone();
        if core.db.read(move |tx| storage_pools::find(tx, &wanted)).await?.is_some() {
            return Err(taken());
        }
        check_place(&plan.spec).await?;
        undo.push(Undo::ForgetStoragePool { name: plan.spec.name.clone() }).await?;
        let row = plan.clone();
        let id = core.db.write(move |tx| record(tx, &row)).await?;
        core.faults.point("storage pool recorded")?;
        let pool = open_pool(plan.driver, plan.spec.clone(), core.runner.clone(), core.pool_lanes.of(&name));
        pool.create_pool().await?;
        core.faults.point("storage pool made")?;
        core.db.write(move |tx| storage_pools::set_state(tx, id, nodes::LONE, storage_pools::CREATED)).await
    })
    .await?;
    core.tell(permit.caller(), Lifecycle::new("storage-pool-created", super::url(&name)));
    Ok(())
}

/// What lies at the pool's place without a row is not ours: it is neither used nor, by an undo, removed.
async fn check_place(spec: &PoolSpec) -> Result<()> {
    let place = spec.mount_path();
    match tokio::fs::symlink_metadata(&place).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::with_source(Kind::Internal, format!("Failed to look at {place:?}"), error)),
        Ok(_) => Err(Error::internal(format!(
            "Storage pool directory {place:?} already exists (see \"lxd recover\" if it holds data)"
        ))),
    }
}

/// The row of a pool that is being made; a name that was taken meanwhile is not ours to undo.
fn record(tx: &lxd_db::Tx<'_>, plan: &Plan) -> Result<i64> {
    let name = plan.spec.name.as_str();
    let state = storage_pools::PENDING;
    storage_pools::insert(tx, nodes::LONE, name, plan.driver.as_str(), &plan.description, &plan.config, state)
        .map_err(|error| if error.kind() == Kind::Conflict { taken() } else { error })
}

fn taken() -> Error {
    Error::conflict("The storage pool already exists: The record already exists")
}
