//! What the DHCP and DNS services of networks are told of an instance that does not run (a running one's interfaces
//! come and go by `hotplug`), and the interfaces inside a running one.

use std::collections::BTreeMap;

use lxd_api::instance_state::InstanceStateNetwork;
use lxd_db::instances;
use lxd_device::{Change, Facts, Registry};
use lxd_network::bridge::BridgeSpec;
use lxd_types::error::{Context, Many};
use lxd_types::{ConfigExt, Device, DeviceExt, Devices, IdMap, Result};

use super::{InstanceKey, Model, NicNames, devices, load, models};
use crate::SharedCore;

/// Tells the networks the difference of two recorded states of a stopped instance. Everything is tried.
///
/// # Errors
/// A network could not be told; the next start tells it again.
pub(super) async fn changed(core: &SharedCore, old: &Model, new: &Model) -> Result<()> {
    let nics = |model: &Model| -> Devices {
        let all = model.devices.iter().filter(|(_, device)| device.kind() == "nic");
        all.map(|(name, device)| (name.clone(), device.clone())).collect()
    };
    let (before, after) = (nics(old), nics(new));
    if before == after {
        return Ok(());
    }
    let (registry, facts) = (core.device_registry(), devices::load_facts(core, &new.key).await?);
    let tell = Tell { core, registry, facts };
    let mut failed = Many::new();
    for (name, device) in &before {
        let kept = after.get(name).is_some_and(|after| tell.is_live(name, device, after));
        if !kept {
            failed.keep(tell.forget(old, name, device).await);
        }
    }
    for (name, device) in after.iter().filter(|(name, device)| before.get(*name) != Some(*device)) {
        failed.keep(tell.learn(new, name, device).await);
    }
    failed.into_result("Failed to tell the networks of an instance")
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

/// Makes the interfaces of running instances on a bridge that are no ports its ports again. Everything is tried.
///
/// # Errors
/// An interface could not be joined.
pub(crate) async fn rejoin(core: &SharedCore, bridge: &BridgeSpec) -> Result<()> {
    let alone = core.bridges.unconnected(bridge).await?;
    let network = bridge.name.as_str();
    let running = core.db.read(|tx| models(tx, instances::Filter::default())).await?;
    let mut failed = Many::new();
    for model in running.iter().filter(|model| core.runtime.is_running(&model.key)) {
        let on_bridge = |device: &&Device| {
            let parent = device.set("network").or_else(|| device.set("parent"));
            device.kind() == "nic" && parent == Some(network)
        };
        let is_alone = |name: &str| {
            let host = model.row.config.set(&format!("volatile.{name}.host_name"));
            host.is_some_and(|host| alone.contains(host))
        };
        let cut_off = model.devices.iter().filter(|(name, device)| on_bridge(device) && is_alone(name));
        for (name, device) in cut_off {
            failed.keep(rejoin_one(core, model, name, device).await);
        }
    }
    failed.into_result(format!("Failed to connect instances with network {network:?}"))
}

async fn rejoin_one(core: &SharedCore, model: &Model, name: &str, device: &Device) -> Result<()> {
    let facts = devices::load_facts(core, &model.key).await?;
    let registry = core.device_registry();
    let kind = registry.find(name, device, &facts)?;
    let context = devices::context(core, model, name, &IdMap::default(), &facts)?;
    kind.rejoin(&context, device).await.context(format!("Failed to connect device {name:?}"))
}

/// The interfaces inside a running instance, by name. Empty when they cannot be read: it may just be ending.
pub(super) async fn interfaces(
    pid: i32,
    key: &InstanceKey,
    nics: &[NicNames],
) -> BTreeMap<String, InstanceStateNetwork> {
    let mut found = match lxd_network::instance_interfaces(pid).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(instance = %key, error = error.chain(), "The interfaces of an instance cannot be read");
            return BTreeMap::new();
        }
    };
    NicNames::add(nics, &mut found);
    found
}

struct Tell<'a> {
    core: &'a SharedCore,
    registry: Registry,
    facts: Facts,
}

impl Tell<'_> {
    fn is_live(&self, name: &str, old: &Device, new: &Device) -> bool {
        self.registry.change(name, old, new, &self.facts).is_ok_and(|change| change != Change::Replace)
    }

    async fn forget(&self, model: &Model, name: &str, device: &Device) -> Result<()> {
        let kind = self.registry.find(name, device, &self.facts)?;
        let context = devices::context(self.core, model, name, &IdMap::default(), &self.facts)?;
        kind.remove(&context, device).await.context(format!("Failed to remove device {name:?}"))
    }

    async fn learn(&self, model: &Model, name: &str, device: &Device) -> Result<()> {
        let kind = self.registry.find(name, device, &self.facts)?;
        let context = devices::context(self.core, model, name, &IdMap::default(), &self.facts)?;
        let told = kind.update(&context, device, device).await;
        told.map(drop).context(format!("Failed to add device {name:?}"))
    }
}
