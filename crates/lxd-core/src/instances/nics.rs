//! Network interfaces of an instance whose devices change: of a running one they come and go, and the DHCP service
//! of their network is told in any case.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use lxd_db::instances as rows;
use lxd_device::{Change, Facts, NicEntry, Registry, Started, Volatile};
use lxd_host::netlink::Netlink;
use lxd_instance::keys::volatile;
use lxd_types::error::{Context, Many};
use lxd_types::{Device, DeviceExt, Devices, Error, IdMap, Result};

use super::{InstanceKey, Model, devices, load};
use crate::SharedCore;

/// Makes the host follow the difference of two recorded states. Everything is tried.
///
/// # Errors
/// An interface could not be added, changed or removed; what is recorded stays and holds from the next start on.
pub(super) async fn changed(core: &SharedCore, old: &Model, new: &Model) -> Result<()> {
    let is_nic = |device: Option<&Device>| device.is_some_and(|device| device.kind() == "nic");
    let mut names: Vec<&String> = old.devices.keys().chain(new.devices.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| {
        let (before, after) = (old.devices.get(*name), new.devices.get(*name));
        before != after && (is_nic(before) || is_nic(after))
    });
    if names.is_empty() {
        return Ok(());
    }
    let work = Work {
        core,
        registry: core.device_registry(),
        facts: devices::load_facts(core, &new.key).await?,
        pid: core.runtime.get(&new.key).map(|entry| entry.running.init()),
        old,
        new,
    };
    let mut failed = Many::new();
    for name in names {
        failed.keep(work.one(name).await.context(format!("Failed to change device {name:?}")));
    }
    failed.into_result("Failed to apply the changed devices")
}

struct Work<'a> {
    core: &'a SharedCore,
    registry: Registry,
    facts: Facts,
    /// The first process of the running instance.
    pid: Option<i32>,
    old: &'a Model,
    new: &'a Model,
}

impl Work<'_> {
    async fn one(&self, name: &str) -> Result<()> {
        let (old, new) = (self.old.devices.get(name), self.new.devices.get(name));
        let nic = |device: Option<&Device>| device.filter(|device| device.kind() == "nic").cloned();
        match (nic(old), nic(new)) {
            (Some(old), Some(new)) => match self.registry.change(name, &old, &new, &self.facts)? {
                Change::Same => Ok(()),
                Change::Live => self.update(name, &old, &new).await,
                Change::Replace => {
                    self.take_out(name, &old).await?;
                    self.put_in(name, &new).await
                }
            },
            (Some(old), None) => self.take_out(name, &old).await,
            (None, Some(new)) => self.put_in(name, &new).await,
            (None, None) => Ok(()),
        }
    }

    async fn update(&self, name: &str, old: &Device, new: &Device) -> Result<()> {
        let kind = self.registry.find(name, new, &self.facts)?;
        let context = devices::context(self.core, self.new, name, &IdMap::default())?;
        kind.update(&context, old, new).await.map(drop)
    }

    /// Ends an interface with the old properties, and lets its network forget it.
    async fn take_out(&self, name: &str, device: &Device) -> Result<()> {
        let kind = self.registry.find(name, device, &self.facts)?;
        let context = devices::context(self.core, self.old, name, &IdMap::default())?;
        if self.pid.is_some() {
            // The end on the host takes the one inside with it.
            let volatile = kind.stop(&context, device).await?;
            if self.new.devices.contains_key(name) {
                self.remember(name, &volatile).await?;
            }
        }
        kind.remove(&context, device).await
    }

    /// Starts an interface when the instance runs; else only its network learns of it.
    async fn put_in(&self, name: &str, device: &Device) -> Result<()> {
        let Some(pid) = self.pid else { return self.update(name, device, device).await };
        let kind = self.registry.find(name, device, &self.facts)?;
        let context = devices::context(self.core, self.new, name, &IdMap::default())?;
        let started = kind.start(&context, device).await?;
        if let Err(error) = self.attach_all(pid, &started).await {
            let context = lxd_device::Context { volatile: started.volatile, ..context };
            if let Err(left) = kind.stop(&context, device).await {
                tracing::error!(device = name, error = left.chain(), "An interface is left over");
            }
            return Err(error);
        }
        self.remember(name, &started.volatile).await
    }

    async fn attach_all(&self, pid: i32, started: &Started) -> Result<()> {
        for nic in &started.nics {
            attach(self.core.bridges.netlink(), pid, nic).await?;
        }
        Ok(())
    }

    async fn remember(&self, name: &str, values: &Volatile) -> Result<()> {
        let keys: BTreeMap<String, Option<String>> = volatile::for_instance(values, name)
            .into_iter()
            .map(|(key, value)| (key, Some(value).filter(|value| !value.is_empty())))
            .collect();
        let id = self.new.row.id;
        self.core.db.write(move |tx| rows::set_keys(tx, id, &keys)).await
    }
}

/// Moves an interface of the host into a running instance.
async fn attach(host: &Netlink, pid: i32, nic: &NicEntry) -> Result<()> {
    let path = format!("/proc/{pid}/ns/net");
    let opened = tokio::task::spawn_blocking(move || std::fs::File::open(path)).await;
    let namespace = opened
        .map_err(|panic| Error::internal(panic.to_string()))?
        .context("Failed to open the network namespace of the instance")?;
    let name = nic.name.as_deref().unwrap_or(&nic.link);
    host.move_to(&nic.link, namespace.as_fd(), name).await?;
    let inside = Netlink::open_in(namespace.as_fd())?;
    if let Some(mac) = nic.hwaddr {
        inside.set_mac(name, mac).await?;
    }
    if let Some(mtu) = nic.mtu {
        inside.set_mtu(name, mtu).await?;
    }
    // As at the start, the interface is up and the instance sets the rest.
    Ok(inside.set_up(name).await?)
}

/// Tells the networks of a new instance its name and fixed addresses, before it starts for the first time. A failure is
/// logged: the start tells them again.
pub(super) async fn announce(core: &SharedCore, key: &InstanceKey) {
    let wanted = key.clone();
    let told = async {
        let model = core.db.read(move |tx| load(tx, &wanted)).await?;
        let without = Model { devices: Devices::new(), ..model.clone() };
        changed(core, &without, &model).await
    };
    if let Err(error) = told.await {
        tracing::warn!(instance = %key, error = error.chain(), "A network did not learn of a new instance");
    }
}
