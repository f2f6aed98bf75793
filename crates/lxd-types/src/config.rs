//! The maps of keys and values that objects carry, and what is asked of them again and again.

use std::collections::BTreeMap;

use crate::words;

/// Configuration keys and their values.
pub type Config = BTreeMap<String, String>;

/// The properties of one device; `type` is always among them.
pub type Device = BTreeMap<String, String>;

/// Devices by name.
pub type Devices = BTreeMap<String, Device>;

/// Reading of [`Config`] and [`Device`]. A key that is missing and one with an empty value are the same.
pub trait ConfigExt {
    /// The value, or `""`.
    fn value(&self, key: &str) -> &str;

    /// The value when it is not empty.
    fn set(&self, key: &str) -> Option<&str> {
        Some(self.value(key)).filter(|value| !value.is_empty())
    }

    /// Whether the value is a word for true; `default` when the key is not set.
    fn flag(&self, key: &str, default: Flag) -> bool {
        self.set(key).map_or(default == Flag::DefaultTrue, words::is_true)
    }
}

/// What a flag means when it is not set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flag {
    /// It means true.
    DefaultTrue,
    /// It means false.
    DefaultFalse,
}

impl ConfigExt for BTreeMap<String, String> {
    fn value(&self, key: &str) -> &str {
        self.get(key).map_or("", String::as_str)
    }
}

/// Reading of a [`Device`].
pub trait DeviceExt: ConfigExt {
    /// The type: `disk`, `nic`, …; `""` when it is missing.
    fn kind(&self) -> &str {
        self.value("type")
    }

    /// Whether this is a root disk: a disk at `/` without a source.
    fn is_root_disk(&self) -> bool {
        self.kind() == "disk" && self.value("path") == "/" && self.value("source").is_empty()
    }
}

impl DeviceExt for BTreeMap<String, String> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(properties: &[(&str, &str)]) -> Device {
        properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn empty_and_missing_are_the_same() {
        let disk = device(&[("type", "disk"), ("path", "/"), ("source", ""), ("readonly", "yes")]);
        assert!(disk.is_root_disk());
        assert_eq!((disk.value("none"), disk.set("source")), ("", None));
        assert!(disk.flag("readonly", Flag::DefaultFalse) && disk.flag("required", Flag::DefaultTrue));
        assert!(!disk.flag("recursive", Flag::DefaultFalse));
    }
}
