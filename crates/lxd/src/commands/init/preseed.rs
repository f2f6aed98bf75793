//! The document of `lxd init --preseed` (manual 3.2.4), which `--dump` writes and the questions end in.

use std::collections::BTreeMap;

use lxd_types::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Keys and values of a part of the document.
pub type Config = BTreeMap<String, String>;

/// The whole document, in the order in which it is written.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preseed {
    /// Server configuration; secrets read as `true`.
    #[serde(deserialize_with = "values")]
    pub config: BTreeMap<String, Value>,
    /// Managed networks.
    #[serde(deserialize_with = "or_default")]
    pub networks: Vec<Network>,
    /// Storage pools.
    #[serde(deserialize_with = "or_default")]
    pub storage_pools: Vec<StoragePool>,
    /// Profiles of the project `default`.
    #[serde(deserialize_with = "or_default")]
    pub profiles: Vec<Profile>,
    /// Projects.
    #[serde(deserialize_with = "or_default")]
    pub projects: Vec<Project>,
    /// The part about clusters.
    #[serde(skip_serializing)]
    pub cluster: Option<Value>,
}

/// A managed network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Its keys.
    #[serde(deserialize_with = "texts")]
    pub config: Config,
    /// Text of the administrator.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// Its name.
    pub name: String,
    /// Its type; empty means `bridge`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Its project; empty means `default`.
    #[serde(deserialize_with = "or_default")]
    pub project: String,
}

/// A storage pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoragePool {
    /// Its keys.
    #[serde(deserialize_with = "texts")]
    pub config: Config,
    /// Text of the administrator.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// Its name.
    pub name: String,
    /// Its driver.
    #[serde(deserialize_with = "or_default")]
    pub driver: String,
}

/// A profile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Its keys.
    #[serde(deserialize_with = "texts")]
    pub config: Config,
    /// Text of the administrator.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// Its devices.
    #[serde(deserialize_with = "devices")]
    pub devices: BTreeMap<String, Config>,
    /// Its name.
    pub name: String,
}

/// A project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Project {
    /// Its keys.
    #[serde(deserialize_with = "texts")]
    pub config: Config,
    /// Text of the administrator.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// Its name.
    pub name: String,
}

impl Preseed {
    /// Reads a document (YAML, of which JSON is a part); an empty one asks for nothing.
    ///
    /// # Errors
    /// It is no YAML, or has members that are unknown or of the wrong type.
    pub fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| {
            // The lines that follow show the place in the document.
            let error = error.to_string();
            let reason = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Error::bad_request(format!("Failed to parse the preseed: yaml: {reason}"))
        })
    }

    /// The document as YAML, with the empty part about clusters or without.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn text(&self, cluster: bool) -> Result<String> {
        let mut text = lxd_api::yaml::text(self).map_err(|error| Error::internal(error.to_string()))?;
        if cluster {
            text.push_str("cluster: null\n");
        }
        Ok(text)
    }

    /// The profile `default`, which is added if it is not in the document yet.
    pub fn default_profile(&mut self) -> &mut Profile {
        let found = self.profiles.iter().position(|profile| profile.name == "default");
        let at = found.unwrap_or_else(|| {
            self.profiles.push(Profile { name: "default".to_owned(), ..Profile::default() });
            self.profiles.len() - 1
        });
        &mut self.profiles[at]
    }
}

/// A device from pairs.
pub fn device(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A value that may be a text, a number, a truth value or nothing.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Truth(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
    Nothing(()),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Truth(value) => value.to_string(),
            Self::Whole(value) => value.to_string(),
            Self::Fraction(value) => value.to_string(),
            Self::Text(value) => value,
            Self::Nothing(()) => String::new(),
        }
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

fn texts<'de, D: Deserializer<'de>>(d: D) -> Result<Config, D::Error> {
    let read: BTreeMap<String, Scalar> = or_default(d)?;
    Ok(read.into_iter().map(|(key, value)| (key, value.text())).collect())
}

fn values<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, Value>, D::Error> {
    Ok(texts(d)?.into_iter().map(|(key, value)| (key, Value::String(value))).collect())
}

fn devices<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, Config>, D::Error> {
    let read: BTreeMap<String, BTreeMap<String, Scalar>> = or_default(d)?;
    let texts = |device: BTreeMap<String, Scalar>| device.into_iter().map(|(k, v)| (k, v.text())).collect();
    Ok(read.into_iter().map(|(name, device)| (name, texts(device))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manuals_example() {
        let text = "# Daemon settings\nconfig:\n  core.https_address: 192.168.1.1:9999\n  \
            core.trust_password: sekret\n  images.auto_update_interval: 6\nstorage_pools:\n- name: data\n  \
            driver: zfs\n  config:\n    source: my-zfs-pool/my-zfs-dataset\nnetworks:\n- name: lxd-my-bridge\n  \
            type: bridge\n  config:\n    ipv4.address: auto\n    ipv6.address: none\nprofiles:\n- name: default\n  \
            devices:\n    root:\n      path: /\n      pool: data\n      type: disk\n- name: test-profile\n  \
            description: \"Test profile\"\n  config:\n    limits.memory: 2GB\n  devices: null\n";
        let read = Preseed::parse(text).unwrap();
        assert_eq!(read.config["images.auto_update_interval"], "6");
        assert_eq!(read.config["core.https_address"], "192.168.1.1:9999");
        assert_eq!(read.networks[0].config["ipv6.address"], "none");
        assert_eq!(read.profiles[0].devices["root"]["path"], "/");
        assert_eq!(read.profiles[1].description, "Test profile");
    }

    #[test]
    fn json_is_yaml_and_nothing_is_nothing() {
        let read = Preseed::parse("{\"config\": {\"a\": true, \"b\": null, \"c\": 1.5}}").unwrap();
        assert_eq!(
            (&read.config["a"], &read.config["b"], &read.config["c"]),
            (&"true".into(), &"".into(), &"1.5".into())
        );
        assert_eq!(Preseed::parse("").unwrap(), Preseed::default());
        assert_eq!(Preseed::parse("config:\nnetworks:\n").unwrap(), Preseed::default());
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for text in ["storage_pools:\n- name: a\n  foo: bar\n", "nonsense", "foo: 1", "config: [1]"] {
            let error = Preseed::parse(text).unwrap_err().chain();
            assert!(error.starts_with("Failed to parse the preseed: yaml: "), "{error}");
        }
    }

    #[test]
    fn printed_as_the_reference_prints_it() {
        let mut preseed = Preseed::default();
        preseed.storage_pools.push(StoragePool {
            name: "p".into(),
            driver: "dir".into(),
            ..StoragePool::default()
        });
        let root = device(&[("type", "disk"), ("path", "/"), ("pool", "p")]);
        preseed.default_profile().devices.insert("root".into(), root);
        let wanted = "config: {}\nnetworks: []\nstorage_pools:\n- config: {}\n  description: \"\"\n  name: p\n  \
            driver: dir\nprofiles:\n- config: {}\n  description: \"\"\n  devices:\n    root:\n      path: /\n      \
            pool: p\n      type: disk\n  name: default\nprojects: []\ncluster: null\n";
        assert_eq!(preseed.text(true).unwrap(), wanted);
    }
}
