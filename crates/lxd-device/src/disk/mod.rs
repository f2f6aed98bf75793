//! Type `disk` (manual 3.2.2): the root disk, directories and files of the host, custom volumes of a pool.
//!
//! The root disk itself is mounted by the instance's driver, and limits are written by the core, which knows the pools. Every
//! other disk becomes a
//! mount below the instance's devices directory, with all attributes on it, and a [`MountEntry`](crate::MountEntry)
//! that says where the driver shall show it inside.

mod blocks;
mod check;
mod filesystem;
mod keys;
mod mount;

use std::sync::Arc;

use async_trait::async_trait;
use lxd_config::Table;
use lxd_types::names::{InstanceName, PoolName, ProjectName, VolumeName};
use lxd_types::{ConfigExt, Device, Error, InstanceKind, Result};

use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::{Started, Volatile};

pub use blocks::{DiskNumber, disks_of};
pub use check::DiskSource;
pub use keys::{DISK, LIMITS_MAX, LIMITS_READ, LIMITS_WRITE, SIZE, limits};

/// Custom volumes of the pools, as the disk needs them. The core implements it with the pool drivers.
#[async_trait]
pub trait CustomVolumes: Send + Sync {
    /// Refuses when the pool or the volume does not exist, or cannot be used by this instance.
    ///
    /// # Errors
    /// Texts of the reference: `Failed to get storage pool "p": Storage pool not found`, …
    async fn check(&self, volume: &CustomVolume) -> Result<()>;

    /// Makes the volume's content reachable.
    ///
    /// # Errors
    /// As [`CustomVolumes::check`], and what the pool's driver answers.
    async fn mount(&self, volume: &CustomVolume) -> Result<MountedVolume>;

    /// Ends what [`CustomVolumes::mount`] began.
    ///
    /// # Errors
    /// What the pool's driver answers.
    async fn unmount(&self, volume: &CustomVolume) -> Result<()>;
}

/// A custom volume that can be used.
pub struct MountedVolume {
    /// Its directory.
    pub dir: Arc<lxd_sys::Dir>,
    /// Instances see its owners as those of their own files (not with `security.unmapped`).
    pub mapped: bool,
}

/// A custom volume and who wants it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CustomVolume {
    /// The pool.
    pub pool: PoolName,
    /// The volume.
    pub volume: VolumeName,
    /// The instance's project; the volume's own follows from its features.
    pub project: ProjectName,
    /// The instance.
    pub instance: InstanceName,
}

/// The type `disk`.
pub struct Disk {
    volumes: Arc<dyn CustomVolumes>,
}

impl Disk {
    /// A type that finds custom volumes here.
    pub fn new(volumes: Arc<dyn CustomVolumes>) -> Self {
        Self { volumes }
    }
}

#[async_trait]
impl DeviceType for Disk {
    fn table(&self) -> &'static Table {
        &DISK
    }

    fn supports(&self, _kind: InstanceKind) -> bool {
        true
    }

    fn validate(&self, device: &Device, level: Level, _facts: &Facts) -> Result<()> {
        check::validate(device, level)
    }

    async fn check_host(&self, context: &Context, device: &Device) -> Result<()> {
        match DiskSource::of(device)? {
            DiskSource::Root => Ok(()),
            DiskSource::Volume { pool, volume } => self.volumes.check(&custom(context, pool, volume)).await,
            DiskSource::Host(path) => mount::check_source(context, path, device).await,
            DiskSource::Later(what) => Err(not_yet(&what)),
        }
    }

    async fn start(&self, context: &Context, device: &Device) -> Result<Started> {
        let mut started = Started::default();
        let prepared = match DiskSource::of(device)? {
            DiskSource::Root => None,
            DiskSource::Host(path) => mount::host_path(context, device, path).await?,
            DiskSource::Volume { pool, volume } => {
                let volume = custom(context, pool, volume);
                let mounted = self.volumes.mount(&volume).await?;
                match mount::volume(context, device, mounted.dir, mounted.mapped).await {
                    Ok(entry) => Some(entry),
                    Err(error) => {
                        // The first failure is what the user has to know.
                        let _ = self.volumes.unmount(&volume).await;
                        return Err(error);
                    }
                }
            }
            DiskSource::Later(what) => return Err(not_yet(&what)),
        };
        started.mounts.extend(prepared);
        Ok(started)
    }

    async fn stop(&self, context: &Context, device: &Device) -> Result<Volatile> {
        mount::release(context).await?;
        if let DiskSource::Volume { pool, volume } = DiskSource::of(device)? {
            self.volumes.unmount(&custom(context, pool, volume)).await?;
        }
        Ok(Volatile::new())
    }
}

fn custom(context: &Context, pool: PoolName, volume: VolumeName) -> CustomVolume {
    CustomVolume { pool, volume, project: context.project.clone(), instance: context.instance.clone() }
}

fn not_yet(what: &str) -> Error {
    Error::bad_request(format!("not supported yet: {what}"))
}

/// The pool of a root disk.
///
/// # Errors
/// `Root disk entry must have a "pool" property set`, or a name that no pool can have.
pub fn root_pool(device: &Device) -> Result<PoolName> {
    let pool = device
        .set("pool")
        .ok_or_else(|| Error::bad_request("Root disk entry must have a \"pool\" property set"))?;
    Ok(pool.parse()?)
}
