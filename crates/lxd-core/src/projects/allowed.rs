//! The one question that every path asks which makes or changes an instance, profile or volume: does the project allow
//! what would hold now? Asked inside the transaction that records the change, after its rows were written, so that
//! nothing can come between the answer and the commit (architecture section 3, step 7).

use lxd_config::project::{ALLOW, RESTRICTED_ON, rule};
use lxd_db::{Tx, images, instances, networks, nodes, profiles, projects, storage_volumes};
use lxd_storage::VolumeKind;
use lxd_types::{Config, Devices, Error, InstanceKind, Result};

use super::{limits, restrictions};
use crate::instances::{InstanceKey, Model, models};

/// An instance of the project with what holds for it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Container or virtual machine.
    pub kind: InstanceKind,
    /// Keys of its profiles and its own.
    pub config: Config,
    /// Devices of its profiles and its own.
    pub devices: Devices,
}

/// All that limits and restrictions depend on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The project with its keys.
    pub project: projects::Project,
    /// Its instances.
    pub members: Vec<Member>,
    /// Its profiles.
    pub profiles: Vec<(String, Config, Devices)>,
    /// Its custom volumes.
    pub volumes: Vec<(String, Config)>,
    /// The size of its images in bytes.
    pub images: u64,
    /// The number of its networks.
    pub networks: u64,
}

/// What is being recorded.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// An instance comes: created, copied, moved here, imported.
    NewInstance(&'a InstanceKey),
    /// An instance changes: edited, refreshed, restored.
    Instance(&'a InstanceKey),
    /// A profile comes or changes, and with it these instances.
    Profile(&'a str, &'a [InstanceKey]),
    /// A custom volume comes or changes.
    Volume,
    /// An image comes.
    Image,
}

impl Change<'_> {
    fn what(self) -> &'static str {
        match self {
            Self::NewInstance(_) => "instance creation",
            Self::Instance(_) => "instance update",
            Self::Profile(..) => "profile update",
            Self::Volume => "volume creation",
            Self::Image => "image creation",
        }
    }
}

/// An instance that is not recorded yet, for an answer before the work begins.
pub type Newcomer = Member;

/// Does the project allow what is recorded now? Call it after the rows of the change were written.
///
/// # Errors
/// A limit would be exceeded, or the changed instance or profile has something forbidden.
pub fn allowed(tx: &Tx<'_>, project: &str, change: Change<'_>) -> Result<()> {
    let project = projects::get(tx, project)?;
    if is_open(&project) {
        return Ok(());
    }
    judge(&facts(tx, &project)?, change)
}

/// The same for an instance that is about to be recorded: the transaction asks again.
///
/// # Errors
/// As [`allowed`].
pub fn allowed_early(tx: &Tx<'_>, key: &InstanceKey, newcomer: Newcomer) -> Result<()> {
    let project = projects::get(tx, key.project.as_str())?;
    if is_open(&project) {
        return Ok(());
    }
    let mut facts = facts(tx, &project)?;
    facts.members.retain(|member| member.name != newcomer.name);
    facts.members.push(newcomer);
    judge(&facts, Change::NewInstance(key))
}

/// True for a project without limits and restrictions.
fn is_open(project: &projects::Project) -> bool {
    let limits = project.config.iter().any(|(key, value)| key.starts_with("limits.") && !value.is_empty());
    !limits && !RESTRICTED_ON.is_on(&project.config)
}

/// The rules. Pure.
fn judge(facts: &Facts, change: Change<'_>) -> Result<()> {
    let failed = |error: Error| error.context(format!("Failed checking if {} allowed", change.what()));
    let member = |key: &InstanceKey| facts.members.iter().find(|member| member.name == key.name.as_str());
    match change {
        Change::NewInstance(key) => {
            if let Some(member) = member(key) {
                limits::check_counts(facts, member.kind)?;
                restrictions::check_member(facts, member).map_err(failed)?;
            }
        }
        Change::Instance(key) => {
            member(key).map_or(Ok(()), |member| restrictions::check_member(facts, member)).map_err(failed)?;
        }
        Change::Profile(name, users) => {
            let users = users.iter().filter(|key| key.project.as_str() == facts.project.name);
            for member in users.filter_map(member) {
                restrictions::check_member(facts, member).map_err(failed)?;
            }
            let profile = facts.profiles.iter().find(|profile| profile.0 == name);
            if let Some((name, config, devices)) = profile {
                restrictions::check_profile(facts, name, config, devices).map_err(failed)?;
            }
        }
        Change::Volume | Change::Image => {}
    }
    limits::check_sums(facts).map_err(failed)
}

/// All that limits and restrictions of a project depend on.
///
/// # Errors
/// A failure of the database.
pub fn facts(tx: &Tx<'_>, project: &projects::Project) -> Result<Facts> {
    let filter = instances::Filter { project_id: Some(project.id), ..instances::Filter::default() };
    let volumes = storage_volumes::Filter {
        project_id: Some(project.id),
        kind: Some(VolumeKind::Custom.number()),
        ..storage_volumes::Filter::default()
    };
    let profile = |row: profiles::Profile| (row.name, row.config, row.devices);
    Ok(Facts {
        members: models(tx, filter)?.into_iter().map(Member::from).collect(),
        profiles: profiles::list(tx, Some(project.id))?.into_iter().map(profile).collect(),
        volumes: storage_volumes::list(tx, volumes)?.into_iter().map(|row| (row.name, row.config)).collect(),
        images: images::total_size(tx, project.id)?,
        networks: networks::list(tx, Some(project.id), nodes::LONE)?.len() as u64,
        project: project.clone(),
    })
}

impl From<Model> for Member {
    fn from(model: Model) -> Self {
        Self { kind: model.kind(), name: model.row.name, config: model.config, devices: model.devices }
    }
}

/// Refuses snapshots of instances and volumes where the project does.
///
/// # Errors
/// `Project "p" doesn't allow for snapshot creation`
pub fn require_snapshots(tx: &Tx<'_>, project: &str) -> Result<()> {
    require(tx, project, "restricted.snapshots", "snapshot")
}

/// Refuses backups of instances and volumes where the project does.
///
/// # Errors
/// `Project "p" doesn't allow for backup creation`
pub fn require_backups(tx: &Tx<'_>, project: &str) -> Result<()> {
    require(tx, project, "restricted.backups", "backup")
}

fn require(tx: &Tx<'_>, project: &str, key: &str, what: &str) -> Result<()> {
    let config = projects::get(tx, project)?.config;
    if RESTRICTED_ON.is_on(&config) && rule(&config, key) != ALLOW {
        return Err(Error::internal(format!("Project {project:?} doesn't allow for {what} creation")));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// A project of these keys that has nothing.
    pub fn facts(keys: &[(&str, &str)]) -> Facts {
        let project =
            projects::Project { id: 2, name: "p".into(), description: String::new(), config: config(keys) };
        Facts {
            project,
            members: Vec::new(),
            profiles: Vec::new(),
            volumes: Vec::new(),
            images: 0,
            networks: 0,
        }
    }

    pub fn member(name: &str, keys: &[(&str, &str)]) -> Member {
        Member {
            name: name.into(),
            kind: InstanceKind::Container,
            config: config(keys),
            devices: Devices::new(),
        }
    }
}
