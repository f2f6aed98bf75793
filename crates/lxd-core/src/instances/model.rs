//! An instance as the use cases see it: its row, its profiles, and what holds after their expansion.

use std::collections::HashMap;
use std::fmt;

use lxd_db::{Tx, instances, profiles};
use lxd_instance::{expand_config, expand_devices};
use lxd_types::names::{InstanceName, ProjectName};
use lxd_types::{Config, Devices, Error, InstanceKind, Result};

/// Project and name of an instance.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InstanceKey {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub name: InstanceName,
}

impl InstanceKey {
    /// The instance of that name in that project.
    pub fn new(project: &ProjectName, name: &InstanceName) -> Self {
        Self { project: project.clone(), name: name.clone() }
    }

    /// The key of stored names.
    ///
    /// # Errors
    /// The database holds a name that is not allowed.
    pub fn stored(project: &str, name: &str) -> Result<Self> {
        Ok(Self { project: project.parse()?, name: name.parse()? })
    }

    /// `/1.0/instances/NAME`, without the project.
    pub fn url(&self) -> String {
        format!("/1.0/instances/{}", self.name)
    }

    /// The name on disk and in liblxc: `NAME`, or `PROJECT_NAME` outside `default`.
    pub fn storage_name(&self) -> String {
        if self.project.as_str() == "default" {
            self.name.to_string()
        } else {
            format!("{}_{}", self.project, self.name)
        }
    }
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

/// An instance with what holds for it.
#[derive(Clone, Debug)]
pub struct Model {
    /// Project and name.
    pub key: InstanceKey,
    /// As stored.
    pub row: instances::Instance,
    /// Keys of the profiles and its own.
    pub config: Config,
    /// Devices of the profiles and its own.
    pub devices: Devices,
}

impl Model {
    /// Container or virtual machine.
    pub fn kind(&self) -> InstanceKind {
        if self.row.kind == instances::VIRTUAL_MACHINE {
            InstanceKind::VirtualMachine
        } else {
            InstanceKind::Container
        }
    }

    fn new(row: instances::Instance, of: &[&profiles::Profile]) -> Result<Self> {
        Ok(Self {
            key: InstanceKey::stored(&row.project, &row.name)?,
            config: expand_config(of.iter().map(|profile| &profile.config), &row.config),
            devices: expand_devices(of.iter().map(|profile| &profile.devices), &row.devices),
            row,
        })
    }
}

/// An instance from its row and its profiles.
///
/// # Errors
/// The database holds a name that is not allowed.
pub(super) fn of_row(row: instances::Instance, of: &[&profiles::Profile]) -> Result<Model> {
    Model::new(row, of)
}

/// One instance by project and name.
///
/// # Errors
/// Not found.
pub fn load(tx: &Tx<'_>, key: &InstanceKey) -> Result<Model> {
    let row = instances::get_in(tx, key.project.as_str(), key.name.as_str())?;
    let profiles = profiles::of_instance(tx, row.id)?;
    Model::new(row, &profiles.iter().collect::<Vec<_>>())
}

/// Many instances, with a number of queries that does not depend on how many.
///
/// # Errors
/// A failure of the database.
pub fn models(tx: &Tx<'_>, filter: instances::Filter) -> Result<Vec<Model>> {
    let rows = instances::list(tx, filter)?;
    let all = profiles::list(tx, None)?;
    let by_name: HashMap<(&str, &str), &profiles::Profile> =
        all.iter().map(|profile| ((profile.project.as_str(), profile.name.as_str()), profile)).collect();
    rows.into_iter()
        .map(|row| {
            let of: Result<Vec<_>> = row
                .profiles
                .iter()
                .map(|name| {
                    by_name
                        .get(&(row.project.as_str(), name.as_str()))
                        .or_else(|| by_name.get(&("default", name.as_str())))
                        .copied()
                        .ok_or_else(|| Error::not_found("Profile not found"))
                })
                .collect();
            let of = of?;
            Model::new(row, &of)
        })
        .collect()
}
