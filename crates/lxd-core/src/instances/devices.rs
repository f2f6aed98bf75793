//! Starting and stopping the devices of an instance: all or none.

use lxd_db::instances;
use lxd_device::nic::parent_name;
use lxd_device::{Attach, Context, Facts, NetworkFacts, Registry, Started};
use lxd_instance::keys::volatile;
use lxd_types::error::Many;
use lxd_types::{Config, ConfigExt, Device, DeviceExt, Devices, Error, IdMap, InstanceKind, Result};

use super::{InstanceKey, Model, facts, models};
use crate::SharedCore;

/// What came of starting all devices.
#[derive(Clone, Debug, Default)]
pub struct AllStarted {
    /// Mounts, interfaces and limits, in the order of the devices.
    pub started: Vec<(String, Started)>,
    /// Changes of the instance's volatile keys; an empty value removes one.
    pub volatile: Config,
}

/// The surroundings of one device.
pub fn context(
    core: &SharedCore,
    model: &Model,
    name: &str,
    idmap: &IdMap,
    facts: &Facts,
) -> Result<Context> {
    let device = model.devices.get(name);
    let context = Owner::from(model).context(core, name, idmap)?;
    let siblings = match device.map(Device::kind) {
        Some("proxy" | "nic") => model.devices.clone(),
        _ => Devices::new(),
    };
    let network = device.and_then(|device| network(device, facts));
    Ok(Context { siblings, network, disk_paths: facts.disk_paths.clone(), ..context })
}

/// The managed network that a device names.
fn network(device: &Device, facts: &Facts) -> Option<NetworkFacts> {
    facts.networks.get(device.set("network")?).cloned()
}

/// The instance that devices belong to, recorded or not yet.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Project and name.
    pub key: &'a InstanceKey,
    /// Container or virtual machine.
    pub kind: InstanceKind,
    /// Its own keys.
    pub own: &'a Config,
    /// All keys that hold.
    pub config: &'a Config,
}

impl<'a> From<&'a Model> for Owner<'a> {
    fn from(model: &'a Model) -> Self {
        Self { key: &model.key, kind: model.kind(), own: &model.row.config, config: &model.config }
    }
}

impl Owner<'_> {
    fn context(&self, core: &SharedCore, name: &str, idmap: &IdMap) -> Result<Context> {
        Ok(Context {
            project: self.key.project.clone(),
            instance: self.key.name.clone(),
            kind: self.kind,
            device: name.parse()?,
            volatile: volatile::of_device(self.own, name),
            devices_dir: core.paths.devices().join(self.key.storage_name()),
            idmap: idmap.clone(),
            config: self.config.clone(),
            siblings: Devices::new(),
            network: None,
            shares_parent: false,
            starts: false,
            disk_paths: None,
        })
    }
}

/// Asks the host about devices that an instance has not had so far: does the source exist, is there such a parent?
///
/// # Errors
/// `Failed add validation for device "NAME": …`
pub async fn check_added(core: &SharedCore, owner: Owner<'_>, old: &Devices, new: &Devices) -> Result<()> {
    let facts = load_facts(core, owner.key).await?;
    let registry = core.device_registry();
    let added = new.iter().filter(|(name, device)| old.get(*name) != Some(*device));
    for (name, device) in added {
        let checked = async {
            let kind = registry.find(name, device, &facts)?;
            let context = owner.context(core, name, &IdMap::default())?;
            let disk_paths = facts.disk_paths.clone();
            let context = Context { network: network(device, &facts), disk_paths, ..context };
            kind.check_host(&context, device).await
        };
        let failed = |error: Error| error.context(format!("Failed add validation for device {name:?}"));
        checked.await.map_err(failed)?;
    }
    Ok(())
}

/// Starts all devices; when one fails, those that were started are stopped again.
///
/// # Errors
/// What the first failing device answers, under its name.
pub async fn start_all(core: &SharedCore, model: &Model, idmap: &IdMap) -> Result<AllStarted> {
    let facts = load_facts(core, &model.key).await?;
    let registry = core.device_registry();
    let mut all = AllStarted::default();
    for (name, device) in &model.devices {
        let started = async {
            core.faults.point("before a device")?;
            start_one(core, &registry, model, name, device, idmap, &facts).await
        };
        match started.await {
            Ok(started) => {
                all.volatile.extend(volatile::for_instance(&started.volatile, name));
                all.started.push((name.clone(), started));
            }
            Err(error) => {
                let done: Vec<String> = all.started.iter().map(|(name, _)| name.clone()).collect();
                let stopped = stop_some(core, model, &done, idmap).await;
                log_failure(&model.key, stopped.1);
                return Err(error.context(format!("Failed to start device {name:?}")));
            }
        }
    }
    Ok(all)
}

/// Starts one device.
async fn start_one(
    core: &SharedCore,
    registry: &Registry,
    model: &Model,
    name: &str,
    device: &Device,
    idmap: &IdMap,
    facts: &Facts,
) -> Result<Started> {
    let kind = registry.find(name, device, facts)?;
    let context = Context { starts: true, ..context(core, model, name, idmap, facts)? };
    kind.start(&context, device).await
}

/// Connects all devices with an instance whose init runs.
///
/// # Errors
/// What the first failing device answers, under its name; all devices are to be stopped then.
pub async fn attach_all(core: &SharedCore, model: &Model, idmap: &IdMap, instance: Attach<'_>) -> Result<()> {
    let facts = load_facts(core, &model.key).await?;
    let registry = core.device_registry();
    for (name, device) in &model.devices {
        let kind = registry.find(name, device, &facts)?;
        let context = context(core, model, name, idmap, &facts)?;
        let failed = |error: Error| error.context(format!("Failed to start device {name:?}"));
        kind.attach(&context, device, instance).await.map_err(failed)?;
    }
    Ok(())
}

/// Lets the devices of an instance begin with their end as soon as `ended` says that nothing runs in it any more.
pub async fn let_go(core: &SharedCore, model: &Model, ended: impl Future<Output = ()>) {
    let Ok(facts) = load_facts(core, &model.key).await else { return };
    ended.await;
    let registry = core.device_registry();
    for (name, device) in &model.devices {
        let found = registry.find(name, device, &facts);
        if let (Ok(kind), Ok(context)) = (found, context(core, model, name, &IdMap::default(), &facts)) {
            kind.let_go(&context, device).await;
        }
    }
}

/// Takes over the devices that an earlier daemon started; what fails is logged, the others are taken over.
pub async fn adopt_all(core: &SharedCore, model: &Model, idmap: &IdMap) {
    let facts = match load_facts(core, &model.key).await {
        Ok(facts) => facts,
        Err(error) => return log_failure(&model.key, Err(error)),
    };
    let registry = core.device_registry();
    for (name, device) in &model.devices {
        let adopted = async {
            let kind = registry.find(name, device, &facts)?;
            kind.adopt(&context(core, model, name, idmap, &facts)?, device).await
        };
        log_failure(&model.key, adopted.await);
    }
}

/// Stops all devices, last first; every one is tried. Returns the changes of volatile keys.
pub async fn stop_all(core: &SharedCore, model: &Model, idmap: &IdMap) -> Config {
    let names: Vec<String> = model.devices.keys().cloned().collect();
    let (volatile, result) = stop_some(core, model, &names, idmap).await;
    log_failure(&model.key, result);
    volatile
}

async fn stop_some(
    core: &SharedCore,
    model: &Model,
    names: &[String],
    idmap: &IdMap,
) -> (Config, Result<()>) {
    let mut failed = Many::new();
    let mut changes = Config::new();
    let Some(facts) = failed.keep(load_facts(core, &model.key).await) else {
        return (changes, failed.into_result("Failed to stop devices"));
    };
    let registry = core.device_registry();
    for name in names.iter().rev() {
        let Some(device) = model.devices.get(name) else { continue };
        let stopped = async {
            let kind = registry.find(name, device, &facts)?;
            let mut context = context(core, model, name, idmap, &facts)?;
            context.shares_parent = shares_parent(core, model, name, &context, &facts).await?;
            kind.stop(&context, device).await
        };
        if let Some(volatile) = failed.keep(stopped.await) {
            changes.extend(volatile::for_instance(&volatile, name));
        }
    }
    (changes, failed.into_result("Failed to stop devices"))
}

/// Whether a running device of another uses the VLAN that was made for this one. Asked only of devices for which one was
/// made.
pub(super) async fn shares_parent(
    core: &SharedCore,
    model: &Model,
    name: &str,
    context: &Context,
    facts: &Facts,
) -> Result<bool> {
    if context.volatile.value("last_state.created") != "true" {
        return Ok(false);
    }
    let parent = |device: &Device| match network(device, facts) {
        Some(network) => parent_name(&network.config),
        None => parent_name(device),
    };
    let Some(own) = model.devices.get(name).map(parent) else { return Ok(false) };
    let all = core.db.read(|tx| models(tx, instances::Filter::default())).await?;
    Ok(all.iter().filter(|other| core.runtime.is_running(&other.key)).any(|other| {
        let nics = other.devices.iter().filter(|(_, device)| device.kind() == "nic");
        let mut others = nics.filter(|(device, _)| other.key != model.key || *device != name);
        others.any(|(_, device)| parent(device) == own)
    }))
}

/// Lets all devices forget an instance that is deleted.
pub async fn remove_all(core: &SharedCore, model: &Model) {
    let mut failed = Many::new();
    let Some(facts) = failed.keep(load_facts(core, &model.key).await) else { return };
    let registry = core.device_registry();
    for (name, device) in &model.devices {
        let removed = async {
            let kind = registry.find(name, device, &facts)?;
            kind.remove(&context(core, model, name, &IdMap::default(), &facts)?, device).await
        };
        failed.keep(removed.await);
    }
    log_failure(&model.key, failed.into_result("Failed to remove devices"));
}

fn log_failure(key: &InstanceKey, result: Result<()>) {
    if let Err(error) = result {
        tracing::error!(project = %key.project, instance = %key.name, error = error.chain(), "Devices are left over");
    }
}

/// What the checks of devices need to know, as it is now.
pub(super) async fn load_facts(core: &SharedCore, key: &InstanceKey) -> Result<Facts> {
    let project = key.project.to_string();
    core.db.read(move |tx| facts::device_facts(tx, &lxd_db::projects::get(tx, &project)?)).await
}
