//! The trait of a device type, and what it gets to know.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use async_trait::async_trait;
use lxd_config::Table;
use lxd_types::names::{DeviceName, InstanceName, ProjectName};
use lxd_types::{Config, Device, Devices, IdMap, InstanceKind, Result};

use crate::started::{Started, Volatile};

/// A type of device. Implementations hold handles to the host and no state of instances.
#[async_trait]
pub trait DeviceType: Send + Sync {
    /// The properties of the type.
    fn table(&self) -> &'static Table;

    /// Whether instances of this kind can have it.
    fn supports(&self, kind: InstanceKind) -> bool;

    /// Checks how properties go together. Names and values were checked against the table before. Pure.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn validate(&self, device: &Device, level: Level, facts: &Facts) -> Result<()>;

    /// Checks the host before the device is added to an instance: does the source exist, is there such a parent?
    ///
    /// # Errors
    /// What is missing.
    async fn check_host(&self, _context: &Context, _device: &Device) -> Result<()> {
        Ok(())
    }

    /// Prepares the device for an instance that is starting or running.
    ///
    /// # Errors
    /// Nothing is left on the host then.
    async fn start(&self, context: &Context, device: &Device) -> Result<Started>;

    /// Connects a started device with the instance, once its init runs.
    ///
    /// # Errors
    /// The device does not work; it is stopped then.
    async fn attach(&self, _context: &Context, _device: &Device, _instance: Attach<'_>) -> Result<()> {
        Ok(())
    }

    /// Begins what takes its time at the end of a device, once nothing runs in the instance any more; [`DeviceType::stop`]
    /// follows whatever comes of it.
    async fn let_go(&self, _context: &Context, _device: &Device) {}

    /// Takes over what an earlier daemon started of a device of a running instance, where this one has to look after it.
    ///
    /// # Errors
    /// The device cannot be looked after.
    async fn adopt(&self, _context: &Context, _device: &Device) -> Result<()> {
        Ok(())
    }

    /// Applies new values of properties that can change live.
    ///
    /// # Errors
    /// The value cannot be applied.
    async fn update(&self, _context: &Context, _old: &Device, _new: &Device) -> Result<Started> {
        Ok(Started::default())
    }

    /// Connects what was started with its parent on the host again, which was taken away and made anew.
    ///
    /// # Errors
    /// The host refuses.
    async fn rejoin(&self, _context: &Context, _device: &Device) -> Result<()> {
        Ok(())
    }

    /// Ends what start began, after the instance let go of it. Succeeds when nothing is there any more.
    ///
    /// # Errors
    /// Something could not be removed from the host.
    async fn stop(&self, _context: &Context, _device: &Device) -> Result<Volatile> {
        Ok(Volatile::new())
    }

    /// Whether what was started is what the device means on the host now.
    ///
    /// # Errors
    /// The host cannot be asked.
    async fn is_current(&self, _context: &Context, _device: &Device) -> Result<bool> {
        Ok(true)
    }

    /// The places inside a running instance where mounts of the device are, absolute paths.
    fn mounted(&self, _context: &Context) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Forgets the device after it was taken from the instance for good, or the instance was deleted.
    ///
    /// # Errors
    /// Something could not be removed from the host.
    async fn remove(&self, _context: &Context, _device: &Device) -> Result<()> {
        Ok(())
    }
}

/// A running instance, as devices may reach into it.
#[derive(Clone, Copy, Debug)]
pub struct Attach<'a> {
    /// Pidfd of its init.
    pub init: BorrowedFd<'a>,
    /// What its devices want to be remembered, as keys of the instance.
    pub volatile: &'a Config,
}

/// Whose device is checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// A profile's: it may name what is not there, and what only the other kind of instance has.
    Profile,
    /// An instance's.
    Instance(InstanceKind),
}

/// What pure checks need to know of the rest of the server.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The managed networks that the project sees, by name.
    pub networks: BTreeMap<String, NetworkFacts>,
    /// The names of the storage pools.
    pub pools: BTreeSet<String>,
    /// The project, for error texts.
    pub project: String,
    /// The only directories of the host that disks may show; none when all may be shown.
    pub disk_paths: Option<Vec<PathBuf>>,
}

/// What a device needs to know of a managed network.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NetworkFacts {
    /// Its type: `bridge`, `macvlan`, …
    pub kind: String,
    /// Its configuration.
    pub config: Config,
}

/// The instance that a device belongs to.
#[derive(Clone, Debug)]
pub struct Context {
    /// Project of the instance.
    pub project: ProjectName,
    /// Name of the instance.
    pub instance: InstanceName,
    /// Its kind.
    pub kind: InstanceKind,
    /// Name of the device.
    pub device: DeviceName,
    /// The device's volatile keys, without the beginning `volatile.<device>.`.
    pub volatile: Volatile,
    /// The instance's own directory for devices, below `LXD_DIR/devices`; it exists.
    pub devices_dir: PathBuf,
    /// The instance's id map; empty when it is privileged.
    pub idmap: IdMap,
    /// The effective configuration of the instance.
    pub config: Config,
    /// All devices of the instance; empty for types that do not look at others.
    pub siblings: Devices,
    /// The managed network that the device names.
    pub network: Option<NetworkFacts>,
    /// Whether a running device of somebody else uses the same VLAN of the same interface of the host.
    pub shares_parent: bool,
    /// Whether the instance is about to start: its driver can then make interfaces inside, which takes the kernel less than
    /// moving them there.
    pub starts: bool,
    /// The only directories of the host that a disk may show; none when all may be shown.
    pub disk_paths: Option<Vec<PathBuf>>,
}
