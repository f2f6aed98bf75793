//! Wire structs of `project` objects (`rest-api.yaml`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `Project` represents a LXD project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Project {
    /// Project configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the project.
    pub description: String,
    /// The project name.
    pub name: String,
    /// List of URLs of objects using this project.
    pub used_by: Vec<String>,
}

/// `ProjectPost` represents the fields required to rename a LXD project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ProjectPost {
    /// The new name for the project.
    pub name: String,
}

/// `ProjectPut` represents the modifiable fields of a LXD project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ProjectPut {
    /// Project configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the project.
    pub description: String,
}

/// `ProjectState` represents the current running state of a LXD project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ProjectState {
    /// Allocated and used resources.
    pub resources: BTreeMap<String, ProjectStateResource>,
}

/// `ProjectStateResource` represents the state of a particular resource in a LXD project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ProjectStateResource {
    /// Limit for the resource (-1 if none).
    #[serde(rename = "Limit")]
    pub limit: i64,
    /// Current usage for the resource.
    #[serde(rename = "Usage")]
    pub usage: i64,
}

/// `ProjectsPost` represents the fields of a new LXD project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ProjectsPost {
    /// Project configuration map (see config-keys.tsv).
    pub config: BTreeMap<String, String>,
    /// Description of the project.
    pub description: String,
    /// The name of the new project.
    pub name: String,
}
