//! What an instance is told about itself through `/dev/lxd/sock` (manual 3.5.4).

use std::path::PathBuf;
use std::sync::Arc;

use lxd_api::guest::{GuestEvent, GuestInfo};
use lxd_container::{HotMount, Running};
use lxd_instance::keys::volatile::{self, IDMAP_CURRENT};
use lxd_types::{Config, ConfigExt, Devices, Error, Flag, Kind, Result};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{InstanceKey, Model, load};
use crate::images::{self, Export, View};
use crate::{Core, SharedCore};

/// Events that one reader may be behind; more means that it is too slow.
const QUEUE: usize = 256;

/// Where the directory of the socket is inside.
const TARGET: &str = "dev/lxd";

/// One run of an instance: the next run has another monitor.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Guest {
    /// Project and name.
    pub key: InstanceKey,
    monitor: i32,
}

/// The instance that a process belongs to, by the pid namespaces that it is in, its own first. What the process says of
/// itself plays no part.
pub fn identify(core: &Core, namespaces: &[u64]) -> Option<Guest> {
    let running = core.runtime.all();
    namespaces.iter().find_map(|space| {
        let (key, entry) = running.iter().find(|(_, entry)| entry.running.pid_namespace() == *space)?;
        Some(Guest { key: key.clone(), monitor: entry.running.monitor() })
    })
}

/// The instance as it is now.
///
/// # Errors
/// That run has ended, or the instance may not use this interface (any more).
pub async fn model(core: &SharedCore, guest: &Guest) -> Result<Model> {
    let entry = core.runtime.get(&guest.key);
    if entry.is_none_or(|entry| entry.running.monitor() != guest.monitor) {
        return Err(Error::internal("pid not in container?"));
    }
    let key = guest.key.clone();
    let model = core.db.read(move |tx| load(tx, &key)).await?;
    if is_on(&model.config) { Ok(model) } else { Err(refused()) }
}

/// `GET /1.0`
pub fn info(model: &Model) -> GuestInfo {
    GuestInfo {
        state: String::new(),
        api_version: "1.0".to_owned(),
        instance_type: model.kind().name().to_owned(),
        location: "none".to_owned(),
    }
}

/// The names of the keys that the instance may read.
pub fn keys(model: &Model) -> Vec<String> {
    model.config.keys().filter(|key| is_told(key)).map(|key| format!("/1.0/config/{key}")).collect()
}

/// The value of a key.
///
/// # Errors
/// It is not the guest's to read, or not set.
pub fn value<'a>(model: &'a Model, key: &str) -> Result<&'a str> {
    if !is_told(key) {
        return Err(refused());
    }
    model.config.set(key).ok_or_else(|| Error::not_found("not found"))
}

/// `GET /1.0/meta-data`, for cloud-init.
pub fn meta_data(model: &Model) -> String {
    let id = model.row.config.set("volatile.cloud-init.instance-id").unwrap_or(model.key.name.as_str());
    let name = &model.key.name;
    let more = model.config.value("user.meta-data");
    format!("#cloud-config\ninstance-id: {id}\nlocal-hostname: {name}\n{more}")
}

/// The files of a public or cached image, for nested servers.
///
/// # Errors
/// The instance may not read images, or there is none.
pub async fn image(core: &SharedCore, model: &Model, prefix: &str) -> Result<Export> {
    if !model.config.flag("security.devlxd.images", Flag::DefaultFalse) {
        return Err(refused());
    }
    let missing = || Error::not_found("Image not found");
    let view = || View { project: model.key.project.clone(), public_only: false };
    let row = images::find(core, view(), prefix).await.map_err(|error| match error.kind() {
        Kind::NotFound => missing(),
        _ => error,
    })?;
    if !row.public && !row.cached {
        return Err(missing());
    }
    images::export(core, &lxd_auth::Caller::daemon(), view(), &row.fingerprint).await
}

/// Whether the instance gets the interface.
pub(super) fn is_on(config: &Config) -> bool {
    config.flag("security.devlxd", Flag::DefaultTrue)
}

fn is_told(key: &str) -> bool {
    key.starts_with("user.") || key.starts_with("cloud-init.")
}

fn refused() -> Error {
    Error::forbidden("not authorized")
}

/// The events of all instances; each reader picks those of its own.
pub struct GuestEvents {
    sender: broadcast::Sender<(InstanceKey, &'static str, Arc<str>)>,
}

impl Default for GuestEvents {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(QUEUE) }
    }
}

/// A reader of an instance's events.
pub struct GuestReader {
    key: InstanceKey,
    kinds: Option<Vec<String>>,
    events: broadcast::Receiver<(InstanceKey, &'static str, Arc<str>)>,
}

impl GuestEvents {
    /// The events of an instance from now on: all, or those of some types.
    pub fn subscribe(&self, guest: &Guest, kinds: Option<Vec<String>>) -> GuestReader {
        GuestReader { key: guest.key.clone(), kinds, events: self.sender.subscribe() }
    }

    /// Tells an instance what changed of it.
    pub(super) fn tell(&self, old: &Model, new: &Model) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let config = config_changes(&old.config, &new.config).into_iter().map(|event| ("config", event));
        let devices = device_changes(&old.devices, &new.devices).into_iter().map(|event| ("device", event));
        for (kind, metadata) in config.chain(devices) {
            let event = GuestEvent { kind: kind.to_owned(), timestamp: lxd_api::Timestamp::now(), metadata };
            let Ok(text) = serde_json::to_string(&event) else { continue };
            // Nobody reads any more: fine.
            let _ = self.sender.send((new.key.clone(), kind, Arc::from(text)));
        }
    }
}

impl GuestReader {
    /// The next event; `None` when the reader was too slow.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        loop {
            let (key, kind, text) = self.events.recv().await.ok()?;
            let wanted = self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|name| name == kind));
            if wanted && key == self.key {
                return Some(text);
            }
        }
    }
}

fn config_changes(old: &Config, new: &Config) -> Vec<Value> {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).filter(|key| is_told(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let changed = keys.into_iter().filter(|key| old.value(key) != new.value(key));
    changed.map(|key| json!({"key": key, "old_value": old.value(key), "value": new.value(key)})).collect()
}

/// A device that changed is told as taken out and put in again, as the reference does.
fn device_changes(old: &Devices, new: &Devices) -> Vec<Value> {
    let other = |a: &Devices, b: &Devices, action: &str| -> Vec<Value> {
        let differs = a.iter().filter(|(name, device)| b.get(*name) != Some(*device));
        differs.map(|(name, device)| json!({"action": action, "config": device, "name": name})).collect()
    };
    let mut all = other(old, new, "removed");
    all.extend(other(new, old, "added"));
    all
}

/// Gives the interface to a running instance, or takes it away, when its key changed.
///
/// # Errors
/// The mount cannot be changed.
pub(super) async fn follow(core: &SharedCore, running: &Running, old: &Model, new: &Model) -> Result<()> {
    if is_on(&old.config) == is_on(&new.config) {
        return Ok(());
    }
    let idmap = volatile::read_idmap(&new.row.config, &IDMAP_CURRENT).unwrap_or_default();
    let containers = core.containers()?;
    if !is_on(&new.config) {
        return containers.unplug_mount(running, &idmap, TARGET.as_ref()).await;
    }
    let mount = HotMount {
        source: core.paths.devlxd(),
        target: PathBuf::from(TARGET),
        directory: true,
        recursive: false,
        locked: true,
    };
    containers.plug_mount(running, &idmap, &mount).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn only_what_is_the_guest_s_is_told() {
        let old = config(&[("user.a", "1"), ("limits.cpu", "1"), ("user.gone", "x")]);
        let new = config(&[("user.a", "2"), ("limits.cpu", "2"), ("cloud-init.user-data", "y")]);
        let changes = config_changes(&old, &new);
        let keys: Vec<&str> = changes.iter().filter_map(|change| change["key"].as_str()).collect();
        assert_eq!(keys, ["cloud-init.user-data", "user.a", "user.gone"]);
        assert_eq!(changes[1], json!({"key": "user.a", "old_value": "1", "value": "2"}));
        assert_eq!(changes[2]["value"], "");
    }

    #[test]
    fn a_changed_device_goes_and_comes() {
        let disk = |source: &str| config(&[("type", "disk"), ("source", source)]);
        let old: Devices = [("a".to_owned(), disk("/x")), ("same".to_owned(), disk("/s"))].into();
        let new: Devices = [("a".to_owned(), disk("/y")), ("same".to_owned(), disk("/s"))].into();
        let changes = device_changes(&old, &new);
        let actions: Vec<&str> = changes.iter().filter_map(|change| change["action"].as_str()).collect();
        assert_eq!(actions, ["removed", "added"]);
        assert_eq!(changes[1]["config"]["source"], "/y");
    }
}
