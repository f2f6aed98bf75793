//! The driver `btrfs`: a subvolume per volume, snapshots and copies share everything until they are changed.
//!
//! The file system is in a loop file below `LXD_DIR/disks`, on a block device, or is one that the host has mounted. Sizes
//! are limits of quota groups, which are turned on when the first size is asked for.

mod place;
mod snapshots;
mod streams;
mod tree;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lxd_host::runner::Runner;
use lxd_sys::Dir;
use lxd_task::lane::Lane;
use lxd_types::Result;

use crate::blocking::{blocking, io_error};
use crate::driver::{Pool, PoolResources, PoolSpec, Streams};
use crate::folder;

pub use place::plan;

/// How long a pool may take to tell its free space.
const ANSWER: Duration = Duration::from_secs(5);

/// A pool on btrfs.
#[derive(Clone)]
pub struct BtrfsPool {
    spec: Arc<PoolSpec>,
    lane: Lane,
    runner: Arc<dyn Runner>,
}

impl BtrfsPool {
    /// The pool of this description; touches nothing.
    pub fn new(spec: PoolSpec, runner: Arc<dyn Runner>, lane: Lane) -> Self {
        Self { spec: Arc::new(spec), lane, runner }
    }

    /// The pool's directory; an empty directory where nothing is mounted is no pool.
    fn root(spec: &PoolSpec) -> Result<Dir> {
        let root = folder::root(spec)?;
        match lxd_sys::btrfs::is_btrfs(&root) {
            Ok(true) => Ok(root),
            Ok(false) => Err(folder::unavailable(spec, std::io::Error::other("it is not mounted"))),
            Err(error) => Err(folder::unavailable(spec, error)),
        }
    }
}

#[async_trait]
impl Pool for BtrfsPool {
    fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    fn keeps_images(&self) -> bool {
        true
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    async fn create_pool(&self) -> Result<()> {
        place::create(&self.spec, &self.runner).await
    }

    async fn delete_pool(&self) -> Result<()> {
        let spec = self.spec.clone();
        blocking(move || place::delete(&spec)).await
    }

    async fn mount_pool(&self) -> Result<()> {
        let spec = self.spec.clone();
        self.lane.run(ANSWER * 6, move || place::mount(&spec)).await?
    }

    async fn resize_pool(&self, size: u64) -> Result<()> {
        let spec = self.spec.clone();
        blocking(move || place::grow(&spec, size)).await
    }

    async fn adopt_pool(&self) -> Result<bool> {
        let spec = self.spec.clone();
        self.lane.run(ANSWER * 6, move || place::adopt(&spec)).await?
    }

    async fn unmount_pool(&self) -> Result<()> {
        let spec = self.spec.clone();
        blocking(move || place::leave(&spec)).await
    }

    async fn check(&self) -> Result<()> {
        let spec = self.spec.clone();
        self.lane.run(ANSWER, move || Self::root(&spec).map(drop)).await?
    }

    async fn remount(&self) -> Result<()> {
        let spec = self.spec.clone();
        self.lane.run(ANSWER * 6, move || place::remount(&spec)).await?
    }

    async fn resources(&self) -> Result<PoolResources> {
        let spec = self.spec.clone();
        let space = self.lane.run(ANSWER, move || {
            Self::root(&spec)?
                .space()
                .map_err(|error| io_error(error, "Failed to read the space of the storage pool"))
        });
        let space = space.await??;
        // Inodes are made as needed.
        Ok(PoolResources {
            space_used: space.total.saturating_sub(space.free),
            space_total: space.total,
            ..PoolResources::default()
        })
    }
}
