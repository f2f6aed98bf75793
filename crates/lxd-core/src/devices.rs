//! The device types of this server, wired to what they need.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use lxd_db::{projects, storage_pools, storage_volumes};
use lxd_device::Registry;
use lxd_device::disk::{CustomVolume, CustomVolumes, Disk, MountedVolume};
use lxd_device::nic::{
    BridgedNic, Functions, IpvlanNic, Limiter, MacvlanNic, P2pNic, PhysicalNic, RoutedNic, SriovNic,
};
use lxd_device::nodes::{NodesDevice, NodesKind};
use lxd_device::proxy::ProxyDevice;
use lxd_storage::config::SECURITY_UNMAPPED;
use lxd_storage::{Pool, VolumeKind, VolumeRef};
use lxd_types::names::ProjectName;
use lxd_types::{Config, Error, Kind, Result};

use crate::{Core, SharedCore};

/// All device types.
pub fn registry(core: &SharedCore) -> Registry {
    let volumes = PoolVolumes { core: Arc::downgrade(core) };
    let disk = Disk::new(Arc::new(volumes));
    let proxy = ProxyDevice::new(
        core.helper.clone(),
        core.bridges.firewall().clone(),
        core.bridges.netlink().clone(),
    );
    let registry = Registry::default().with("disk", Arc::new(disk)).with("proxy", Arc::new(proxy));
    nodes(interfaces(core, registry))
}

fn interfaces(core: &SharedCore, registry: Registry) -> Registry {
    let netlink = core.bridges.netlink().clone();
    let limiter = Limiter::new(core.runner.clone(), netlink.clone());
    let firewall = core.bridges.firewall().clone();
    let bridged = BridgedNic::new(core.bridges.clone(), limiter.clone(), firewall.clone());
    registry
        .with("nic:bridged", Arc::new(bridged))
        .with("nic:p2p", Arc::new(P2pNic::new(netlink.clone(), limiter.clone())))
        .with("nic:routed", Arc::new(RoutedNic::new(netlink.clone(), limiter, firewall)))
        .with("nic:macvlan", Arc::new(MacvlanNic::new(netlink.clone())))
        .with("nic:ipvlan", Arc::new(IpvlanNic::new(netlink.clone())))
        .with("nic:sriov", Arc::new(SriovNic::new(netlink.clone(), Functions::new("/sys"))))
        .with("nic:physical", Arc::new(PhysicalNic::new(netlink)))
}

fn nodes(registry: Registry) -> Registry {
    let kind = |kind| Arc::new(NodesDevice::new(kind));
    registry
        .with("unix-char", kind(NodesKind::UnixChar))
        .with("unix-block", kind(NodesKind::UnixBlock))
        .with("unix-hotplug", kind(NodesKind::UnixHotplug))
        .with("usb", kind(NodesKind::Usb))
        .with("gpu:physical", kind(NodesKind::Gpu))
}

/// Custom volumes of the recorded pools. Held by the core's own registry, so it must not hold the core.
struct PoolVolumes {
    core: Weak<Core>,
}

#[async_trait]
impl CustomVolumes for PoolVolumes {
    async fn check(&self, volume: &CustomVolume) -> Result<()> {
        self.find(volume).await.map(drop)
    }

    async fn mount(&self, volume: &CustomVolume) -> Result<MountedVolume> {
        let (pool, volume, config) = self.find(volume).await?;
        let mapped = !SECURITY_UNMAPPED.is_on(&config);
        Ok(MountedVolume { dir: pool.mount(&volume).await?.dir, mapped })
    }

    async fn unmount(&self, volume: &CustomVolume) -> Result<()> {
        let (pool, volume, _) = self.find(volume).await?;
        pool.unmount(&volume).await
    }
}

impl PoolVolumes {
    /// Pool, volume and its keys, as recorded.
    async fn find(&self, wanted: &CustomVolume) -> Result<(Arc<dyn Pool>, VolumeRef, Config)> {
        let core = self.core.upgrade().ok_or_else(|| Error::unavailable("The server is stopping"))?;
        let volume = wanted.clone();
        let row = core
            .db
            .read(move |tx| {
                let pool = storage_pools::require(tx, volume.pool.as_str()).map_err(|error| {
                    error.context(format!("Failed to get storage pool {:?}", volume.pool.as_str()))
                })?;
                let owner = projects::owner_of(tx, volume.project.as_str(), "storage.volumes")?;
                let kind = VolumeKind::Custom.number();
                storage_volumes::get(tx, pool, owner, kind, volume.volume.as_str())
                    .map_err(|error| match error.kind() {
                        Kind::NotFound => Error::not_found("Storage volume not found"),
                        _ => error,
                    })
                    .map_err(|error| error.context("Failed loading custom volume"))
            })
            .await?;
        if crate::server::stores::is_used(&core.server.config(), &row) {
            // Who is root in the instance could put anything into everybody's images.
            return Err(Error::bad_request("Storage volume is used by LXD itself and cannot be attached"));
        }
        let (project, config) = (row.project, row.config);
        let project: ProjectName = project.parse()?;
        let pool = crate::storage_pools::open(&core, wanted.pool.as_str()).await?;
        Ok((pool, VolumeRef::custom(&project, &wanted.volume), config))
    }
}
