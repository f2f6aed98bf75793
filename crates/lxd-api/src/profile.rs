//! Wire structs of `profile` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Profile` represents a LXD profile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Profile {
    /// Instance configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the profile.
    pub description: String,
    /// List of devices.
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// The profile name.
    pub name: String,
    /// List of URLs of objects using this profile.
    pub used_by: Vec<String>,
}

/// `ProfilePost` represents the fields required to rename a LXD profile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ProfilePost {
    /// The new name for the profile.
    pub name: String,
}

/// `ProfilePut` represents the modifiable fields of a LXD profile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ProfilePut {
    /// Instance configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the profile.
    pub description: String,
    /// List of devices.
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
}

/// `ProfilesPost` represents the fields of a new LXD profile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ProfilesPost {
    /// Instance configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the profile.
    pub description: String,
    /// List of devices.
    pub devices: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of the new profile.
    pub name: String,
}
