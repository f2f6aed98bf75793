//! `backup.yaml`: what the daemon writes beside an instance's root file system, so that the instance can be found again
//! from its volume alone, and what stands in an exported backup. The form is that of servers in the field.

use lxd_api::instance::{Instance, InstanceSnapshot};
use lxd_api::profile::Profile;
use lxd_api::storage_pool::StoragePool;
use lxd_api::storage_volume::{StorageVolume, StorageVolumeSnapshot};
use lxd_types::{Error, Result};
use serde::{Deserialize, Serialize};

/// The name of the file in the instance's volume.
pub const FILE_NAME: &str = "backup.yaml";

/// The mode of the file: nobody in the container can read it.
pub const FILE_MODE: u32 = 0o400;

/// The longest file that is read, in bytes.
pub const LIMIT: u64 = 1 << 20;

/// The content of `backup.yaml`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct BackupYaml {
    /// The instance, of either kind; none in a backup of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Instance>,
    /// Its snapshots, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<InstanceSnapshot>,
    /// The pool of its volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<StoragePool>,
    /// Its profiles, in the order in which they apply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Profile>,
    /// Its volume.
    pub volume: Option<StorageVolume>,
    /// The snapshots of its volume.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_snapshots: Vec<StorageVolumeSnapshot>,
}

impl BackupYaml {
    /// The text of the file. Lists of users are left out: they are found again by looking.
    ///
    /// # Errors
    /// None that input could cause.
    pub fn render(&self) -> Result<String> {
        lxd_api::yaml::text(&self.without_users())
            .map_err(|error| Error::internal(format!("Failed to write {FILE_NAME}: {error}")))
    }

    /// The same without the lists of users.
    fn without_users(&self) -> Self {
        let mut file = self.clone();
        for profile in &mut file.profiles {
            profile.used_by.clear();
        }
        if let Some(pool) = &mut file.pool {
            pool.used_by.clear();
        }
        if let Some(volume) = &mut file.volume {
            volume.used_by.clear();
        }
        file
    }
}

/// `backup/index.yaml`: the facts about a backup, first in its archive.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Index {
    /// The name of the instance or volume.
    pub name: String,
    /// The driver of its pool.
    pub backend: String,
    /// Its pool.
    pub pool: String,
    /// The names of its snapshots, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
    /// The files are in a form that only the driver reads.
    pub optimized: bool,
    /// That form has a header.
    pub optimized_header: bool,
    /// `container`, `virtual-machine`, or `custom` for a volume.
    #[serde(rename = "type")]
    pub kind: String,
    /// The content of `backup.yaml`.
    pub config: Option<BackupYaml>,
}

impl Index {
    /// The text of the file.
    ///
    /// # Errors
    /// None that input could cause.
    pub fn render(&self) -> Result<String> {
        let index = Self { config: self.config.as_ref().map(BackupYaml::without_users), ..self.clone() };
        lxd_api::yaml::text(&index)
            .map_err(|error| Error::internal(format!("Failed to write the index of a backup: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_file_has_the_form_of_servers() {
        let file = BackupYaml {
            container: Some(Instance {
                name: "c1".to_owned(),
                architecture: "x86_64".to_owned(),
                config: [("volatile.last_state.idmap".to_owned(), "[]".to_owned())].into(),
                profiles: vec!["default".to_owned()],
                kind: "container".to_owned(),
                ..Instance::default()
            }),
            profiles: vec![Profile {
                name: "default".to_owned(),
                used_by: vec!["/1.0/instances/c1".to_owned()],
                ..Profile::default()
            }],
            ..BackupYaml::default()
        };
        let text = file.render().unwrap();
        assert!(text.starts_with(
            "container:\n  architecture: x86_64\n  config:\n    volatile.last_state.idmap: '[]'\n  devices: {}\n  ephemeral: false\n"
        ));
        assert!(text.contains(
            "profiles:\n- config: {}\n  description: \"\"\n  devices: {}\n  name: default\n  used_by: []\n"
        ));
        assert!(!text.contains("snapshots:"));
    }

    proptest! {
        #[test]
        fn no_file_panics_and_an_index_reads_back(
            any: String,
            name: String,
            snapshots in proptest::collection::vec(any::<String>(), 0..4),
            config in proptest::collection::btree_map("[a-z.]{1,12}", any::<String>(), 0..4),
        ) {
            let _ = (serde_saphyr::from_str::<BackupYaml>(&any), serde_saphyr::from_str::<Index>(&any));
            let container = Instance { config, ..Instance::default() };
            let file = BackupYaml { container: Some(container), ..BackupYaml::default() };
            let index = Index { name, snapshots, config: Some(file), ..Index::default() };
            let text = index.render().unwrap();
            let read: Index = serde_saphyr::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(read, index);
        }
    }
}
