//! The driver `dir`: volumes are plain directories of a file system that the host has already.
//!
//! No quotas (the manual's project quotas of ext4 and XFS are not used yet: a size is recorded and said to be
//! without effect), no clones: an image is unpacked for each instance.

mod place;
mod snapshots;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lxd_sys::Dir;
use lxd_task::lane::Lane;
use lxd_types::Result;

use crate::blocking::{blocking, io_error};
use crate::driver::{Pool, PoolResources, PoolSpec};
use crate::folder;

/// How long a pool may take to tell its free space (the source can be on a network file system).
const ANSWER: Duration = Duration::from_secs(5);

/// A pool of plain directories.
#[derive(Clone)]
pub struct DirPool {
    spec: Arc<PoolSpec>,
    lane: Lane,
}

impl DirPool {
    /// The pool of this description; touches nothing.
    pub fn new(spec: PoolSpec, lane: Lane) -> Self {
        Self { spec: Arc::new(spec), lane }
    }

    /// The pool's directory.
    fn root(spec: &PoolSpec) -> Result<Dir> {
        folder::root(spec)
    }
}

#[async_trait]
impl Pool for DirPool {
    fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    async fn create_pool(&self) -> Result<()> {
        let spec = self.spec.clone();
        blocking(move || place::create(&spec)).await
    }

    async fn delete_pool(&self) -> Result<()> {
        let spec = self.spec.clone();
        blocking(move || place::delete(&spec)).await
    }

    async fn mount_pool(&self) -> Result<()> {
        let spec = self.spec.clone();
        self.lane.run(ANSWER, move || place::mount(&spec)).await?
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

    async fn resources(&self) -> Result<PoolResources> {
        let spec = self.spec.clone();
        let space = self.lane.run(ANSWER, move || {
            Self::root(&spec)?
                .space()
                .map_err(|error| io_error(error, "Failed to read the space of the storage pool"))
        });
        let space = space.await??;
        Ok(PoolResources {
            space_used: space.total.saturating_sub(space.free),
            space_total: space.total,
            inodes_used: space.inodes_total.saturating_sub(space.inodes_free),
            inodes_total: space.inodes_total,
        })
    }
}
