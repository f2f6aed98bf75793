//! Wire structs of `/internal/recover`, which `lxd recover` talks to (manual 3.4.1).

use serde::{Deserialize, Serialize};

use crate::storage_pool::StoragePoolsPost;

/// The pools that are to be looked through: known ones by name, others with all that is needed to open them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RecoverPost {
    /// The pools.
    pub pools: Vec<StoragePoolsPost>,
}

/// What was found.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RecoverFound {
    /// Volumes that the database does not know.
    #[serde(serialize_with = "crate::wire::null_when_empty")]
    pub unknown_volumes: Vec<UnknownVolume>,
    /// What must be made before they can be taken over, such as `Project "p1"`.
    #[serde(serialize_with = "crate::wire::null_when_empty")]
    pub dependency_errors: Vec<String>,
}

/// A volume that the database does not know.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UnknownVolume {
    /// Its name.
    pub name: String,
    /// `container`, `virtual-machine` or `volume`
    #[serde(rename = "type")]
    pub kind: String,
    /// How many snapshots it has.
    pub snapshot_count: u64,
    /// The project that it belongs to.
    pub project: String,
    /// The pool that it lies in.
    pub pool: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_servers() {
        let nothing = serde_json::to_string(&RecoverFound::default()).unwrap();
        assert_eq!(nothing, r#"{"UnknownVolumes":null,"DependencyErrors":null}"#);
        let volume = UnknownVolume { name: "c1".to_owned(), snapshot_count: 2, ..UnknownVolume::default() };
        let text = serde_json::to_string(&volume).unwrap();
        assert_eq!(text, r#"{"name":"c1","type":"","snapshotCount":2,"project":"","pool":""}"#);
    }
}
