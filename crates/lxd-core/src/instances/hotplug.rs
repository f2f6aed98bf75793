//! Devices of a running instance: what was taken out is unplugged, what is new is plugged in, what can change does.

use std::collections::BTreeMap;

use lxd_container::{HotMount, HotNic, Running};
use lxd_db::instances;
use lxd_device::{Attach, CgroupRule, Change, Facts, MountEntry, MountKind, NicEntry, Registry, Started};
use lxd_host::netlink::Netlink;
use lxd_instance::keys::volatile::{self, IDMAP_CURRENT};
use lxd_types::error::{Context as _, Many};
use lxd_types::{Config, ConfigExt, Device, DeviceExt, Error, IdMap, Result};

use super::{Model, devices};
use crate::SharedCore;

/// Makes the devices of a running instance those of its new state. All are tried; what fails is told and holds from the
/// next start on.
///
/// # Errors
/// The devices that could not follow.
pub async fn changed(core: &SharedCore, running: &Running, old: &Model, new: &Model) -> Result<()> {
    if old.devices == new.devices {
        return Ok(());
    }
    let plug = Plug::new(core, running, new).await?;
    let mut failed = Many::new();
    let mut keys = Config::new();
    for (name, device) in &old.devices {
        let change = plug.change(name, device, new.devices.get(name));
        match failed.keep(change) {
            Some(Change::Replace) => {
                keys.extend(failed.keep(plug.take_out(old, new, name).await).unwrap_or_default())
            }
            Some(Change::Live) => {
                keys.extend(failed.keep(plug.update(old, new, name).await).unwrap_or_default())
            }
            Some(Change::Same) | None => {}
        }
    }
    for (name, device) in &new.devices {
        let change = old.devices.get(name).map(|present| plug.change(name, present, Some(device)));
        if matches!(change, None | Some(Ok(Change::Replace))) {
            keys.extend(failed.keep(plug.put_in(new, name, device).await).unwrap_or_default());
        }
    }
    failed.keep(remember(core, new, keys).await);
    super::nodes::nudge(core, new);
    failed.into_plain_result("Failed to update devices")
}

/// Gives a running instance what these devices mean on the host now.
///
/// # Errors
/// The devices that could not follow.
pub async fn renew(core: &SharedCore, running: &Running, model: &Model, names: &[String]) -> Result<()> {
    let plug = Plug::new(core, running, model).await?;
    let mut failed = Many::new();
    let mut keys = Config::new();
    for name in names {
        let Some(device) = model.devices.get(name) else { continue };
        keys.extend(failed.keep(plug.renew(model, name, device).await).unwrap_or_default());
    }
    failed.keep(remember(core, model, keys).await);
    failed.into_result("Failed to renew devices")
}

struct Plug<'a> {
    core: &'a SharedCore,
    running: &'a Running,
    idmap: IdMap,
    facts: Facts,
    registry: Registry,
}

impl<'a> Plug<'a> {
    async fn new(core: &'a SharedCore, running: &'a Running, model: &Model) -> Result<Self> {
        let idmap = volatile::read_idmap(&model.row.config, &IDMAP_CURRENT).unwrap_or_default();
        let facts = devices::load_facts(core, &model.key).await?;
        Ok(Self { core, running, idmap, facts, registry: core.device_registry() })
    }

    /// How a device becomes the new one of its name.
    fn change(&self, name: &str, device: &Device, new: Option<&Device>) -> Result<Change> {
        match new {
            // The root disk stays while the instance runs; its properties hold from the next start on.
            Some(new) if device.is_root_disk() && new.is_root_disk() => Ok(Change::Same),
            Some(new) => self.registry.change(name, device, new, &self.facts),
            None => Ok(Change::Replace),
        }
    }

    /// Takes a device out; answers what is to be remembered.
    async fn take_out(&self, old: &Model, new: &Model, name: &str) -> Result<Config> {
        let failed = |error: Error| error.context(format!("Failed to stop device {name:?}"));
        let Some(device) = old.devices.get(name) else { return Ok(Config::new()) };
        let kind = self.registry.find(name, device, &self.facts)?;
        let mut context = devices::context(self.core, old, name, &self.idmap, &self.facts)?;
        if let Some(target) = device.get("path").filter(|_| device.kind() == "disk" && !device.is_root_disk())
        {
            let containers = self.core.containers()?;
            containers.unplug_mount(self.running, &self.idmap, &inside(target)).await.map_err(failed)?;
        }
        for place in kind.mounted(&context) {
            let containers = self.core.containers()?;
            let place = inside(&place.to_string_lossy());
            containers.unplug_mount(self.running, &self.idmap, &place).await.map_err(failed)?;
        }
        if device.kind() == "nic" {
            self.fetch_back(&context, device).await.map_err(failed)?;
        }
        context.shares_parent = devices::shares_parent(self.core, old, name, &context, &self.facts).await?;
        let changes = kind.stop(&context, device).await.map_err(failed)?;
        if new.devices.get(name).is_none_or(|next| is_another(device, next)) {
            kind.remove(&context, device).await.map_err(failed)?;
        }
        Ok(volatile::for_instance(&changes, name))
    }

    /// Plugs a device in; answers what is to be remembered.
    async fn put_in(&self, new: &Model, name: &str, device: &Device) -> Result<Config> {
        let failed = |error: Error| error.context(format!("Failed to start device {name:?}"));
        let kind = self.registry.find(name, device, &self.facts)?;
        let context = devices::context(self.core, new, name, &self.idmap, &self.facts)?;
        let started = kind.start(&context, device).await.map_err(failed)?;
        let changes = volatile::for_instance(&started.volatile, name);
        let plugged = async {
            self.plug(&started).await?;
            let inside = Attach { init: self.running.init_fd(), volatile: &changes };
            kind.attach(&context, device, inside).await
        };
        if let Err(error) = plugged.await {
            // The first failure is what the user has to know.
            let _ = kind.stop(&context, device).await;
            return Err(failed(error));
        }
        Ok(changes)
    }

    /// Lets a device apply its new values.
    async fn update(&self, old: &Model, new: &Model, name: &str) -> Result<Config> {
        let failed = |error: Error| error.context(format!("Failed to update device {name:?}"));
        let (Some(before), Some(after)) = (old.devices.get(name), new.devices.get(name)) else {
            return Ok(Config::new());
        };
        let kind = self.registry.find(name, after, &self.facts)?;
        let context = devices::context(self.core, new, name, &self.idmap, &self.facts)?;
        let started = kind.update(&context, before, after).await.map_err(failed)?;
        Ok(volatile::for_instance(&started.volatile, name))
    }

    /// An interface that is wholly inside comes back to the host; of a pair one end is still there.
    async fn fetch_back(&self, context: &lxd_device::Context, device: &Device) -> Result<()> {
        let (Some(host), Some(name)) =
            (context.volatile.set("host_name"), device.set("name").or_else(|| context.volatile.set("name")))
        else {
            return Ok(());
        };
        let netlink = self.core.bridges.netlink();
        if netlink.link(host).await?.is_some() {
            return Ok(());
        }
        self.core.containers()?.unplug_nic(self.running, name, host).await
    }

    /// Lets a privileged container use another device node.
    fn allow(&self, rule: &CgroupRule) -> Result<()> {
        let CgroupRule::AllowDevice(node) = rule;
        let cgroups = self.core.containers()?.cgroups(self.running);
        if !cgroups.is_v1("devices") {
            return Err(Error::not_implemented(
                "This host's control groups cannot allow further devices to a running privileged instance: restart it",
            ));
        }
        let rule = super::spec::device_rule(node);
        cgroups.write("devices", "devices.allow", "", &rule).context("Failed to allow a device")
    }

    /// Takes a device out and puts it in again when what it means on the host is not what it was.
    async fn renew(&self, model: &Model, name: &str, device: &Device) -> Result<Config> {
        let kind = self.registry.find(name, device, &self.facts)?;
        let context = devices::context(self.core, model, name, &self.idmap, &self.facts)?;
        if kind.is_current(&context, device).await? {
            return Ok(Config::new());
        }
        let mut keys = self.take_out(model, model, name).await?;
        keys.extend(self.put_in(model, name, device).await?);
        Ok(keys)
    }

    async fn plug(&self, started: &Started) -> Result<()> {
        let containers = self.core.containers()?;
        for rule in started.cgroup.iter().filter(|_| self.idmap.is_empty()) {
            self.allow(rule)?;
        }
        for entry in &started.mounts {
            containers.plug_mount(self.running, &self.idmap, &hot_mount(entry)).await?;
        }
        for entry in &started.nics {
            containers.plug_nic(self.running, &Netlink::open()?, &hot_nic(entry)).await?;
        }
        Ok(())
    }
}

/// Whether what took a device's name has nothing of it: another type, or on another network.
fn is_another(device: &Device, next: &Device) -> bool {
    ["type", "nictype", "network", "parent"].iter().any(|key| device.get(*key) != next.get(*key))
}

/// Records the changed volatile keys, when there are any.
async fn remember(core: &SharedCore, model: &Model, keys: Config) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let id = model.row.id;
    let keys: BTreeMap<String, Option<String>> =
        keys.into_iter().map(|(key, value)| (key, Some(value).filter(|value| !value.is_empty()))).collect();
    core.db.write(move |tx| instances::set_keys(tx, id, &keys)).await
}

fn hot_mount(entry: &MountEntry) -> HotMount {
    HotMount {
        source: entry.source.clone(),
        target: entry.target.clone(),
        directory: entry.kind == MountKind::Directory,
        recursive: entry.recursive,
        locked: false,
    }
}

fn hot_nic(entry: &NicEntry) -> HotNic {
    HotNic {
        link: entry.link.clone(),
        name: entry.name.clone(),
        hwaddr: entry.hwaddr,
        mtu: entry.mtu,
        addresses: entry.addresses.clone(),
        gateways: entry.gateways.clone(),
    }
}

/// A path inside, relative to the root and plain.
fn inside(path: &str) -> std::path::PathBuf {
    let parts = std::path::Path::new(path).components();
    parts.filter(|part| matches!(part, std::path::Component::Normal(_))).collect()
}
