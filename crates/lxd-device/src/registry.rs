//! Which device has which type, and the checks that all types share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lxd_config::{KeyError, Live, Reason, changed};
use lxd_types::names::DeviceName;
use lxd_types::{ConfigExt, Device, DeviceExt, Devices, Error, Kind, Result};

use crate::context::{DeviceType, Facts, Level};
use crate::{NoDevice, later};

/// The device types of this server, by name: `disk`, `none`, `nic:bridged`, …
#[derive(Clone)]
pub struct Registry {
    types: HashMap<&'static str, Arc<dyn DeviceType>>,
}

/// What has to be done when the properties of a device change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Nothing changed.
    Same,
    /// The type applies the new values: [`DeviceType::update`].
    Live,
    /// The device is stopped and removed, and the new one is added and started.
    Replace,
}

impl Default for Registry {
    fn default() -> Self {
        Self { types: HashMap::from([("none", Arc::new(NoDevice) as Arc<dyn DeviceType>)]) }
    }
}

impl Registry {
    /// Adds a type under its name; interfaces and GPUs with their kind: `nic:bridged`.
    #[must_use]
    pub fn with(mut self, name: &'static str, device_type: Arc<dyn DeviceType>) -> Self {
        self.types.insert(name, device_type);
        self
    }

    /// Whether there is a device type of this name, in this version or a later one.
    pub fn knows(&self, kind: &str) -> bool {
        let is =
            |full: &str| full == kind || full.strip_prefix(kind).is_some_and(|rest| rest.starts_with(':'));
        !kind.is_empty() && (self.types.keys().any(|full| is(full)) || later::names().any(is))
    }

    /// The type of a device that passed validation.
    ///
    /// # Errors
    /// "not supported yet" for types of later versions; the text of an unknown one else.
    pub fn find(&self, name: &str, device: &Device, facts: &Facts) -> Result<&Arc<dyn DeviceType>> {
        match self.lookup(name, device, facts)? {
            Found::Type(found) => Ok(found),
            Found::Later(_) => Err(not_yet(device)),
        }
    }

    /// Checks the devices of a profile or an instance, in the order of their names.
    ///
    /// # Errors
    /// `Device validation failed for "NAME": …`
    pub fn validate(&self, devices: &Devices, level: Level, facts: &Facts) -> Result<()> {
        let failed =
            |name: &str, error: Error| error.context(format!("Device validation failed for {name:?}"));
        for (name, device) in devices {
            name.parse::<DeviceName>()?;
            self.validate_one(name, device, level, facts).map_err(|error| failed(name, error))?;
        }
        match same_path(devices) {
            Some((name, path)) => {
                let text = format!("More than one disk device uses the same path {path:?}");
                Err(failed(name, Error::bad_request(text)))
            }
            None => Ok(()),
        }
    }

    fn validate_one(&self, name: &str, device: &Device, level: Level, facts: &Facts) -> Result<()> {
        let found = match (self.lookup(name, device, facts)?, level) {
            (Found::Type(found), _) => found,
            (Found::Later(later), Level::Profile) => return later.validate(device),
            (Found::Later(_), Level::Instance(_)) => return Err(not_yet(device)),
        };
        if let Level::Instance(kind) = level
            && !found.supports(kind)
        {
            return Err(Error::bad_request("Unsupported device type"));
        }
        found.table().check(device).map_err(|error| option_error(&error))?;
        found.validate(device, level, facts)
    }

    /// How a device becomes another of the same name while the instance runs.
    ///
    /// # Errors
    /// As [`Registry::find`], for the old device.
    pub fn change(&self, name: &str, old: &Device, new: &Device, facts: &Facts) -> Result<Change> {
        let found = self.find(name, old, facts)?;
        let keys = changed(old, new);
        let live = |key: &str| found.table().find(key).is_some_and(|known| known.meta().live == Live::Yes);
        Ok(match keys.is_empty() {
            true => Change::Same,
            false if keys.iter().all(|(key, _)| live(key)) => Change::Live,
            false => Change::Replace,
        })
    }

    fn lookup(&self, name: &str, device: &Device, facts: &Facts) -> Result<Found<'_>> {
        let failed = |error: Error| error.context(format!("Failed loading device {name:?}"));
        let kind = device.kind();
        if kind.is_empty() {
            return Err(failed(Error::bad_request("Missing device type in config")));
        }
        let nic = if kind == "nic" { nic_kind(device, facts).map_err(failed)? } else { String::new() };
        let full = match kind {
            "nic" => format!("nic:{nic}"),
            "gpu" => format!("gpu:{}", device.set("gputype").unwrap_or("physical")),
            kind => kind.to_owned(),
        };
        match self.types.get(full.as_str()) {
            Some(found) => Ok(Found::Type(found)),
            None => later::find(device, &nic)
                .map(Found::Later)
                .ok_or_else(|| failed(Error::bad_request("Unsupported device type"))),
        }
    }
}

/// The second of two disks that shall be at the same path.
fn same_path(devices: &Devices) -> Option<(&str, &str)> {
    let mut paths = HashSet::new();
    let disks = devices.iter().filter(|(_, device)| device.kind() == "disk");
    disks
        .filter_map(|(name, device)| Some((name.as_str(), device.set("path")?)))
        .find(|(_, path)| !paths.insert(*path))
}

enum Found<'a> {
    Type(&'a Arc<dyn DeviceType>),
    Later(&'static later::Later),
}

/// The `nictype` of an interface: its own, or the one that fits its network.
fn nic_kind(device: &Device, facts: &Facts) -> Result<String> {
    let Some(network) = device.set("network") else { return Ok(device.value("nictype").to_owned()) };
    let found = facts.networks.get(network).ok_or_else(|| {
        let text = format!("Failed to load network {network:?} for project {:?}", facts.project);
        Error::not_found("Network not found").context(text)
    })?;
    // A "nictype" beside "network" is refused by the type itself.
    match found.kind.as_str() {
        "bridge" => Ok("bridged".to_owned()),
        kind @ ("macvlan" | "sriov" | "ovn") => Ok(kind.to_owned()),
        _ => Err(Error::bad_request(format!("Unrecognised NIC network type for network {network:?}"))),
    }
}

fn not_yet(device: &Device) -> Error {
    let mut what = device.kind().to_owned();
    if let Some(nic) = device.set("nictype") {
        what = format!("{what} (nictype={nic})");
    }
    Error::new(Kind::BadRequest, format!("not supported yet: devices of type {what}"))
}

/// The error of a property, in the words of devices.
fn option_error(error: &KeyError) -> Error {
    Error::bad_request(match &error.reason {
        Reason::Unknown => format!("Invalid device option {:?}", error.key),
        Reason::Invalid(why) => format!("Invalid value for device option {:?}: {why}", error.key),
        Reason::NotYet => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_types::InstanceKind;

    const CONTAINER: Level = Level::Instance(InstanceKind::Container);

    fn devices(properties: &[(&str, &str)]) -> Devices {
        let device = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        [("d1".to_owned(), device)].into()
    }

    fn text(properties: &[(&str, &str)], level: Level) -> String {
        let facts = Facts { project: "default".to_owned(), ..Facts::default() };
        Registry::default().validate(&devices(properties), level, &facts).unwrap_err().chain()
    }

    #[test]
    fn refusals_are_those_of_servers() {
        let unsupported =
            "Device validation failed for \"d1\": Failed loading device \"d1\": Unsupported device type";
        assert_eq!(text(&[("type", "nosuch")], CONTAINER), unsupported);
        assert_eq!(text(&[("type", "nic")], Level::Profile), unsupported);
        assert_eq!(
            text(&[], CONTAINER),
            "Device validation failed for \"d1\": Failed loading device \"d1\": Missing device type in config"
        );
        assert_eq!(
            text(&[("type", "none"), ("x", "y")], Level::Profile),
            "Device validation failed for \"d1\": Invalid device option \"x\""
        );
        assert_eq!(
            text(&[("type", "nic"), ("network", "nosuch")], Level::Profile),
            "Device validation failed for \"d1\": Failed loading device \"d1\": Failed to load network \"nosuch\" for \
             project \"default\": Network not found"
        );
    }

    #[test]
    fn profiles_may_have_what_instances_cannot_yet() {
        let tpm = [("type", "tpm"), ("path", "/dev/tpm0")];
        assert!(Registry::default().validate(&devices(&tpm), Level::Profile, &Facts::default()).is_ok());
        assert_eq!(
            text(&tpm, CONTAINER),
            "Device validation failed for \"d1\": not supported yet: devices of type tpm"
        );
        assert!(text(&[("type", "pci")], Level::Profile).ends_with("\"address\": Required value"));
    }

    #[test]
    fn names_of_types_are_known() {
        let registry = Registry::default();
        for known in ["none", "nic", "gpu", "tpm"] {
            assert!(registry.knows(known), "{known}");
        }
        assert!(!registry.knows("nosuch") && !registry.knows("") && !registry.knows("ni"));
    }

    #[test]
    fn free_keys_change_live() {
        let registry = Registry::default();
        let old = devices(&[("type", "none")]).remove("d1").unwrap();
        let mut new = old.clone();
        assert_eq!(registry.change("d1", &old, &new, &Facts::default()).unwrap(), Change::Same);
        new.insert("user.a".to_owned(), "b".to_owned());
        assert_eq!(registry.change("d1", &old, &new, &Facts::default()).unwrap(), Change::Live);
        new.insert("type".to_owned(), "disk".to_owned());
        assert_eq!(registry.change("d1", &old, &new, &Facts::default()).unwrap(), Change::Replace);
    }
}
