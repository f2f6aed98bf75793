//! Rules of profiles.

use lxd_db::{Tx, projects};
use lxd_device::{Level, Registry};
use lxd_instance::keys;
use lxd_types::names::ProjectName;
use lxd_types::{Config, DeviceExt, Devices, Error, Kind, Result};

use crate::instances::device_facts;

/// Configuration and devices of a profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// Its keys.
    pub config: Config,
    /// Its devices.
    pub devices: Devices,
}

/// What is stored of a request: keys with an empty value are not set.
pub fn clean(config: Config, devices: Devices) -> Fields {
    let filled = |(_, value): &(String, String)| !value.is_empty();
    let devices = devices
        .into_iter()
        .map(|(name, device)| (name, device.into_iter().filter(filled).collect()))
        .collect();
    Fields { config: config.into_iter().filter(filled).collect(), devices }
}

/// Checks a profile's keys and devices. Keys and types of both kinds of instances are accepted, and what is not there
/// may be named.
///
/// # Errors
/// The first key or device that is refused.
pub fn check(tx: &Tx<'_>, registry: &Registry, project: &ProjectName, fields: &Fields) -> Result<()> {
    keys::validate(&fields.config, Level::Profile)?;
    let project = projects::get(tx, project.as_str())?;
    registry.validate(&fields.devices, Level::Profile, &device_facts(tx, &project)?)
}

/// Checks what a change of a profile makes of the devices of an instance that has it.
///
/// # Errors
/// The instance would have no root disk any more, or two, or one in another pool.
pub fn check_user(old: &Devices, new: &Devices) -> Result<()> {
    // The reference answers 500 here.
    let refuse = |text: &str| Err(Error::new(Kind::Internal, text));
    let pools = |devices: &Devices| -> Vec<String> {
        let roots = devices.values().filter(|device| device.is_root_disk());
        roots.filter_map(|root| root.get("pool").cloned()).collect()
    };
    match (pools(old).as_slice(), pools(new).as_slice()) {
        ([], _) => Ok(()),
        (_, [_, _, ..]) => refuse("More than one root device found"),
        ([old, ..], [new]) if old == new => Ok(()),
        _ => refuse("At least one instance relies on this profile's root disk device"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(pool: &str) -> Devices {
        let disk = [("type", "disk"), ("path", "/"), ("pool", pool)];
        [("root".to_owned(), disk.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())].into()
    }

    #[test]
    fn empty_values_are_not_set() {
        let config = [("user.a".to_owned(), String::new()), ("user.b".to_owned(), "c".to_owned())].into();
        let fields = clean(config, Devices::new());
        assert_eq!(fields.config.keys().collect::<Vec<_>>(), ["user.b"]);
    }

    #[test]
    fn instances_keep_their_root_disk() {
        assert!(check_user(&root("a"), &root("a")).is_ok());
        assert!(check_user(&Devices::new(), &root("a")).is_ok());
        for gone in [Devices::new(), root("b")] {
            let refused = check_user(&root("a"), &gone).unwrap_err();
            assert_eq!(refused.chain(), "At least one instance relies on this profile's root disk device");
        }
    }
}
