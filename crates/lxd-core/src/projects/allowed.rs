//! The one question that every path asks which makes or changes an instance, profile or volume: does the project allow
//! what would hold now? Asked inside the transaction that records the change, after its rows were written, so that
//! nothing can come between the answer and the commit (architecture section 3, step 7).

use std::collections::HashMap;

use lxd_config::project::{ALLOW, RESTRICTED_ON, rule};
use lxd_db::{Tx, images, instance_briefs, instances, networks, nodes, profiles, projects, storage_volumes};
use lxd_instance::{expand_config, expand_devices};
use lxd_storage::VolumeKind;
use lxd_types::{Config, Devices, Error, InstanceKind, Kind, Result};

use super::limits::Limit;
use super::{limits, restrictions};
use crate::instances::{InstanceKey, Model, load, models};

/// More instances than this are read all at once.
const ONE_BY_ONE: usize = 16;

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
    /// A custom volume comes.
    NewVolume,
    /// A custom volume changes.
    Volume,
    /// An image comes.
    Image,
}

impl<'a> Change<'a> {
    /// The instances that it changes.
    fn instances(self) -> &'a [InstanceKey] {
        match self {
            Self::NewInstance(key) | Self::Instance(key) => std::slice::from_ref(key),
            Self::Profile(_, users) => users,
            Self::NewVolume | Self::Volume | Self::Image => &[],
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::NewInstance(_) => "instance creation",
            Self::Instance(_) => "instance update",
            Self::Profile(..) => "profile update",
            Self::NewVolume => "volume creation",
            Self::Volume => "volume update",
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
    let mut facts = sums(tx, &project, &limits::set(&project.config))?;
    if RESTRICTED_ON.is_on(&project.config) {
        facts.look_at_all(tx, change.instances())?;
    }
    if let Change::Profile(name, _) = change
        && profiles::find(tx, project.id, name)?.is_some()
    {
        let row = profiles::get(tx, project.id, name)?;
        facts.profiles.push((row.name, row.config, row.devices));
    }
    judge(&facts, change)
}

/// The same for an instance that is about to be recorded or changed: the transaction asks again.
///
/// # Errors
/// As [`allowed`].
pub fn allowed_early(tx: &Tx<'_>, project: &str, change: Change<'_>, newcomer: Newcomer) -> Result<()> {
    let project = projects::get(tx, project)?;
    if is_open(&project) {
        return Ok(());
    }
    let mut facts = sums(tx, &project, &limits::set(&project.config))?;
    facts.look_at(newcomer);
    judge(&facts, change)
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
        Change::NewVolume | Change::Volume | Change::Image => {}
    }
    limits::check_sums(facts).map_err(failed)
}

/// All that limits and restrictions of a project depend on.
///
/// # Errors
/// A failure of the database.
pub fn facts(tx: &Tx<'_>, project: &projects::Project) -> Result<Facts> {
    let filter = instances::Filter { project_id: Some(project.id), ..instances::Filter::default() };
    let profile = |row: profiles::Profile| (row.name, row.config, row.devices);
    Ok(Facts {
        members: models(tx, filter)?.into_iter().map(Member::from).collect(),
        profiles: profiles::list(tx, Some(project.id))?.into_iter().map(profile).collect(),
        ..sums(tx, project, &Limit::ALL)?
    })
}

/// What these limits depend on: of instances only the keys and root disks that are summed up, and no profiles.
///
/// # Errors
/// A failure of the database.
pub fn sums(tx: &Tx<'_>, project: &projects::Project, wanted: &[Limit]) -> Result<Facts> {
    let disk = wanted.contains(&Limit::Disk);
    Ok(Facts {
        members: members(tx, project, wanted)?,
        profiles: Vec::new(),
        volumes: if disk { volumes(tx, project.id)? } else { Vec::new() },
        images: if disk { images::total_size(tx, project.id)? } else { 0 },
        networks: match wanted.contains(&Limit::Networks) {
            true => networks::list(tx, Some(project.id), nodes::LONE)?.len() as u64,
            false => 0,
        },
        project: project.clone(),
    })
}

fn volumes(tx: &Tx<'_>, project_id: i64) -> Result<Vec<(String, Config)>> {
    let filter = storage_volumes::Filter {
        project_id: Some(project_id),
        kind: Some(VolumeKind::Custom.number()),
        ..storage_volumes::Filter::default()
    };
    Ok(storage_volumes::list(tx, filter)?.into_iter().map(|row| (row.name, row.config)).collect())
}

/// The instances, with what holds of the keys (and with the devices) that the limits are about.
fn members(tx: &Tx<'_>, project: &projects::Project, wanted: &[Limit]) -> Result<Vec<Member>> {
    let keys: Vec<&str> = wanted.iter().filter_map(|limit| limit.summed_key()).collect();
    let disk = wanted.contains(&Limit::Disk);
    let briefs = instance_briefs::briefs(tx, project.id, &keys, disk)?;
    let mut of_id = HashMap::new();
    if !keys.is_empty() || disk {
        let owner = projects::owner_of(tx, &project.name, "profiles")?;
        for mut profile in profiles::list(tx, Some(owner))? {
            profile.config.retain(|key, _| keys.contains(&key.as_str()));
            of_id.insert(profile.id, profile);
        }
    }
    let member = |brief: instance_briefs::Brief| {
        let of = || brief.profiles.iter().filter_map(|id| of_id.get(id));
        let devices = match disk {
            true => expand_devices(of().map(|one| &one.devices), &brief.devices),
            false => Devices::new(),
        };
        Member {
            kind: match brief.kind {
                instances::VIRTUAL_MACHINE => InstanceKind::VirtualMachine,
                _ => InstanceKind::Container,
            },
            config: expand_config(of().map(|one| &one.config), &brief.config),
            devices,
            name: brief.name,
        }
    };
    Ok(briefs.into_iter().map(member).collect())
}

impl Facts {
    /// Finds out all that holds for these instances, as far as they are of this project.
    fn look_at_all(&mut self, tx: &Tx<'_>, keys: &[InstanceKey]) -> Result<()> {
        let here: Vec<_> = keys.iter().filter(|key| key.project.as_str() == self.project.name).collect();
        if here.len() > ONE_BY_ONE {
            let filter =
                instances::Filter { project_id: Some(self.project.id), ..instances::Filter::default() };
            self.members = models(tx, filter)?.into_iter().map(Member::from).collect();
            return Ok(());
        }
        for key in here {
            match load(tx, key) {
                Ok(model) => self.look_at(model.into()),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Puts an instance with all that holds for it in the place of what was known of it.
    fn look_at(&mut self, member: Member) {
        self.members.retain(|other| other.name != member.name);
        self.members.push(member);
    }
}

impl Member {
    /// An instance with other keys and devices than it has.
    pub fn changed(model: &Model, config: Config, devices: Devices) -> Self {
        Self { name: model.row.name.clone(), kind: model.kind(), config, devices }
    }
}

impl From<Model> for Member {
    fn from(model: Model) -> Self {
        Self { kind: model.kind(), name: model.row.name, config: model.config, devices: model.devices }
    }
}

/// Bytes of images that may come for a project before the `limits.disk` of the one that has its images is reached, and
/// what is said of more; `None` without that limit.
///
/// # Errors
/// There is no such project.
pub fn image_room(tx: &Tx<'_>, project: &str) -> Result<Option<(u64, String)>> {
    let owner = projects::owner_of(tx, project, "images")?;
    let name = if owner == projects::DEFAULT { projects::DEFAULT_NAME } else { project };
    limits::disk_left(&sums(tx, &projects::get(tx, name)?, &[Limit::Disk])?)
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
