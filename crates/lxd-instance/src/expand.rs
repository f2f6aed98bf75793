//! What holds for an instance: the keys and devices of its profiles, in their order, then its own (manual 3.2.5).

use std::collections::BTreeMap;

/// Keys to values.
pub type Config = BTreeMap<String, String>;

/// Device names to their keys.
pub type Devices = BTreeMap<String, Config>;

/// The keys that hold: a later profile overrides an earlier one, the instance overrides all.
pub fn expand_config<'a>(profiles: impl IntoIterator<Item = &'a Config>, own: &Config) -> Config {
    let mut expanded = Config::new();
    for config in profiles {
        expanded.extend(config.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    expanded.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    expanded
}

/// The devices that hold: one of the same name replaces the earlier one wholly; type `none` masks it.
pub fn expand_devices<'a>(profiles: impl IntoIterator<Item = &'a Devices>, own: &Devices) -> Devices {
    let mut expanded = Devices::new();
    for devices in profiles {
        expanded.extend(devices.iter().map(|(name, device)| (name.clone(), device.clone())));
    }
    expanded.extend(own.iter().map(|(name, device)| (name.clone(), device.clone())));
    expanded
}

/// Name and keys of the root disk: the disk whose `path` is `/` and that has a pool.
pub fn root_disk(devices: &Devices) -> Option<(&String, &Config)> {
    devices.iter().find(|(_, device)| is_root_disk(device))
}

/// Whether a device is a root disk.
pub fn is_root_disk(device: &Config) -> bool {
    let value = |key: &str| device.get(key).map(String::as_str).unwrap_or_default();
    value("type") == "disk" && value("path") == "/" && !value("pool").is_empty() && value("source").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn later_profiles_and_the_instance_override() {
        let (a, b) = (config(&[("x", "1"), ("y", "1")]), config(&[("y", "2"), ("z", "2")]));
        let expanded = expand_config([&a, &b], &config(&[("z", "3")]));
        assert_eq!(expanded, config(&[("x", "1"), ("y", "2"), ("z", "3")]));
    }

    #[test]
    fn a_device_replaces_the_whole_of_its_namesake() {
        let profile: Devices = [("eth0".to_owned(), config(&[("type", "nic"), ("mtu", "1400")]))].into();
        let own: Devices = [("eth0".to_owned(), config(&[("type", "none")]))].into();
        assert_eq!(expand_devices([&profile], &own), own);
    }

    #[test]
    fn the_root_disk_is_the_one_at_the_root() {
        let devices: Devices = [
            ("data".to_owned(), config(&[("type", "disk"), ("path", "/data"), ("pool", "p")])),
            ("root".to_owned(), config(&[("type", "disk"), ("path", "/"), ("pool", "p")])),
        ]
        .into();
        assert_eq!(root_disk(&devices).map(|(name, _)| name.as_str()), Some("root"));
    }
}
