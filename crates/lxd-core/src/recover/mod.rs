//! `lxd recover` (manual 3.4.1): what lies in the pools and is not recorded is taken over. First all is looked at and
//! checked, and nothing is written; then one transaction records everything.

mod record;
mod scan;
mod shift;

use lxd_api::recover::{RecoverFound, UnknownVolume};
use lxd_api::storage_pool::StoragePoolsPost;
use lxd_storage::VolumeKind;
use lxd_types::{Error, Result};

use self::scan::Scan;
pub use self::scan::leave;
use crate::SharedCore;
use crate::instances::{InstanceKey, reconcile, take_over};
use crate::journal::Log;

/// Says what would be taken over, and what is missing for it. Pools that were not in use before are not afterwards.
///
/// # Errors
/// A pool cannot be opened, or a volume and what it says of itself do not agree.
pub async fn validate(core: &SharedCore, pools: Vec<StoragePoolsPost>) -> Result<RecoverFound> {
    let work = core.clone();
    core.run("validate recovery", async move { look(&work, pools).await }).await
}

async fn look(core: &SharedCore, pools: Vec<StoragePoolsPost>) -> Result<RecoverFound> {
    core.undoable(async |undo: &mut Log| {
        let scan = Scan::of(core, undo, pools).await?;
        core.faults.point("pools looked at")?;
        let checked = check(core, &scan).await;
        scan.close().await;
        Ok(RecoverFound { dependency_errors: checked?, unknown_volumes: listed(&scan) })
    })
    .await
}

/// Takes everything over.
///
/// # Errors
/// As [`validate`]; something is missing, or a project forbids it. Nothing is recorded then.
pub async fn import(core: &SharedCore, pools: Vec<StoragePoolsPost>) -> Result<()> {
    let work = core.clone();
    core.run("recover", async move { run(&work, pools).await }).await
}

async fn run(core: &SharedCore, pools: Vec<StoragePoolsPost>) -> Result<()> {
    core.undoable(async |undo: &mut Log| take(core, undo, pools).await).await
}

/// Takes over what the pools have. Once that is recorded their journal entries mean nothing any more.
async fn take(core: &SharedCore, undo: &mut Log, pools: Vec<StoragePoolsPost>) -> Result<()> {
    let scan = Scan::of(core, undo, pools).await?;
    let recorded = async {
        let missing = check(core, &scan).await?;
        if !missing.is_empty() {
            return Err(Error::bad_request(format!("Missing: {}", missing.join(", "))));
        }
        core.faults.point("unknown volumes found")?;
        scan.lay_out().await?;
        shift::settle(core, &scan).await?;
        record::all(core, &scan).await
    };
    if let Err(error) = recorded.await {
        scan.close().await;
        return Err(error);
    }
    // What follows is made again by the next start where it lacks.
    core.faults.point("unknown volumes recorded")?;
    for key in instances(&scan) {
        take_over(core, &key).await?;
        reconcile::find_again(core, &key).await?;
    }
    Ok(())
}

async fn check(core: &SharedCore, scan: &Scan) -> Result<Vec<String>> {
    let rules = record::Rules::of(core, scan);
    core.db.read(move |tx| record::missing(tx, &rules)).await
}

fn instances(scan: &Scan) -> impl Iterator<Item = InstanceKey> + '_ {
    let volumes = scan.pools.iter().flat_map(|pool| &pool.volumes);
    volumes.filter_map(|volume| Some(volume.instance.as_ref()?.key.clone()))
}

fn listed(scan: &Scan) -> Vec<UnknownVolume> {
    let mut all = Vec::new();
    for pool in &scan.pools {
        all.extend(pool.volumes.iter().map(|unknown| UnknownVolume {
            name: unknown.volume.name.to_string(),
            kind: if unknown.volume.kind == VolumeKind::Custom { "volume" } else { "container" }.to_owned(),
            snapshot_count: unknown.snapshots.len() as u64,
            project: unknown.volume.project.to_string(),
            pool: pool.name().to_owned(),
        }));
    }
    all
}
