//! `limits.*` of projects: hard sums over all that a project has. Pure, but for the reading of networks.

use lxd_db::{Tx, networks, nodes, projects};
use lxd_types::{
    ByteSize, Config, ConfigExt, CpuLimit, DeviceExt, Error, InstanceKind, Kind, MemoryLimit, Result,
};

use super::allowed::{Facts, Member};

/// What a project can limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// Number of containers.
    Containers,
    /// Sum of `limits.cpu`.
    Cpu,
    /// Sum of the sizes of root disks, custom volumes and images.
    Disk,
    /// Number of instances.
    Instances,
    /// Sum of `limits.memory`.
    Memory,
    /// Number of networks.
    Networks,
    /// Sum of `limits.processes`.
    Processes,
    /// Number of virtual machines.
    VirtualMachines,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Containers,
        Self::Cpu,
        Self::Disk,
        Self::Instances,
        Self::Memory,
        Self::Networks,
        Self::Processes,
        Self::VirtualMachines,
    ];

    /// Those that are sums of keys of instances.
    const SUMS: [Self; 4] = [Self::Cpu, Self::Disk, Self::Memory, Self::Processes];

    /// The name without `limits.`.
    pub fn name(self) -> &'static str {
        self.key().trim_start_matches("limits.")
    }

    fn key(self) -> &'static str {
        match self {
            Self::Containers => "limits.containers",
            Self::Cpu => "limits.cpu",
            Self::Disk => "limits.disk",
            Self::Instances => "limits.instances",
            Self::Memory => "limits.memory",
            Self::Networks => "limits.networks",
            Self::Processes => "limits.processes",
            Self::VirtualMachines => "limits.virtual-machines",
        }
    }

    /// The key of instances whose values it sums up.
    pub fn summed_key(self) -> Option<&'static str> {
        matches!(self, Self::Cpu | Self::Memory | Self::Processes).then(|| self.key())
    }

    fn of_kind(kind: InstanceKind) -> Self {
        match kind {
            InstanceKind::Container => Self::Containers,
            InstanceKind::VirtualMachine => Self::VirtualMachines,
        }
    }
}

/// The limits that a project's configuration sets.
pub fn set(config: &Config) -> Vec<Limit> {
    Limit::ALL.into_iter().filter(|limit| config.set(limit.key()).is_some()).collect()
}

/// The limit that a project's configuration sets.
///
/// # Errors
/// A stored value is none.
pub fn limit(config: &Config, which: Limit) -> Result<Option<u64>> {
    let Some(text) = config.set(which.key()) else { return Ok(None) };
    match which {
        Limit::Disk | Limit::Memory => Ok(Some(text.parse::<ByteSize>()?.bytes())),
        _ => Ok(Some(u64::from(lxd_types::words::parse_u32(text)?))),
    }
}

/// What is used; an instance without the key counts nothing.
pub fn usage(facts: &Facts, which: Limit) -> u64 {
    match which {
        Limit::Containers => count(facts, InstanceKind::Container),
        Limit::VirtualMachines => count(facts, InstanceKind::VirtualMachine),
        Limit::Instances => facts.members.len() as u64,
        Limit::Networks => facts.networks,
        Limit::Disk => {
            let disks = facts.members.iter().filter_map(|member| share(facts, member, which).ok());
            let volumes = facts.volumes.iter().filter_map(|(_, config)| size(config.value("size")).ok());
            disks.chain(volumes).fold(facts.images, u64::saturating_add)
        }
        Limit::Cpu | Limit::Memory | Limit::Processes => {
            let shares = facts.members.iter().filter_map(|member| share(facts, member, which).ok());
            shares.fold(0, u64::saturating_add)
        }
    }
}

fn count(facts: &Facts, kind: InstanceKind) -> u64 {
    facts.members.iter().filter(|member| member.kind == kind).count() as u64
}

/// The sum of what everything in the project may use.
///
/// # Errors
/// Something has no limit of its own.
fn sum(facts: &Facts, which: Limit) -> Result<u64> {
    let mut total = if which == Limit::Disk { facts.images } else { 0 };
    for member in &facts.members {
        total = total.saturating_add(share(facts, member, which)?);
    }
    if which == Limit::Disk {
        for (name, config) in &facts.volumes {
            let project = &facts.project.name;
            let unset = || {
                Error::internal(format!(
                    "Custom volume {name:?} in project {project:?} has no \"size\" config set"
                ))
            };
            total = total.saturating_add(size(config.set("size").ok_or_else(unset)?)?);
        }
    }
    Ok(total)
}

fn size(text: &str) -> Result<u64> {
    Ok(text.parse::<ByteSize>()?.bytes())
}

/// What one instance may use.
fn share(facts: &Facts, member: &Member, which: Limit) -> Result<u64> {
    let (key, name, project) = (which.key(), &member.name, &facts.project.name);
    if which == Limit::Disk {
        let root = member.devices.values().find(|device| device.is_root_disk());
        let root = root.ok_or_else(|| {
            Error::internal("No root device could be found").context(format!(
                "Failed getting root disk device for instance {name:?} in project {project:?}"
            ))
        })?;
        let unset = || {
            Error::internal(format!(
                "Instance {name:?} in project {project:?} has no \"size\" config set on the root device either \
                 directly or via a profile"
            ))
        };
        // The file system that a running virtual machine keeps its state on counts too.
        let state = root.set("size.state").map_or(Ok(0), size)?;
        return Ok(size(root.set("size").ok_or_else(unset)?)?.saturating_add(state));
    }
    let text = member.config.set(key).ok_or_else(|| {
        Error::internal(format!(
            "Instance {name:?} in project {project:?} has no {key:?} config, either directly or via a profile"
        ))
    })?;
    let wrong = |why: &str| {
        Error::internal(why.to_owned())
            .context(format!("Failed parsing {key:?} for instance {name:?} in project {project:?}"))
    };
    match which {
        Limit::Cpu => match text.parse() {
            // Zero means all CPUs of the host.
            Ok(CpuLimit::Count(0)) => Err(wrong("Must be a number of CPUs")),
            Ok(CpuLimit::Count(number)) => Ok(u64::from(number)),
            _ => Err(wrong("CPU pinning is not possible with a limit of the project")),
        },
        Limit::Memory => match text.parse() {
            Ok(MemoryLimit::Size(size)) => Ok(size.bytes()),
            _ => Err(wrong("A percentage is not possible with a limit of the project")),
        },
        _ => text.parse().map_err(|_| wrong("Must be a number")),
    }
}

/// After an instance came: are there too many?
///
/// # Errors
/// The reference's text.
pub fn check_counts(facts: &Facts, kind: InstanceKind) -> Result<()> {
    let (config, project) = (&facts.project.config, &facts.project.name);
    let one = Limit::of_kind(kind);
    if limit(config, one)?.is_some_and(|most| usage(facts, one) > most) {
        let kind = kind.name();
        return Err(Error::internal(format!(
            "Reached maximum number of instances of type {kind:?} in project {project:?}"
        )));
    }
    if limit(config, Limit::Instances)?.is_some_and(|most| usage(facts, Limit::Instances) > most) {
        return Err(Error::internal(format!("Reached maximum number of instances in project {project:?}")));
    }
    Ok(())
}

/// After any change: does a sum exceed its limit?
///
/// # Errors
/// The reference's text.
pub fn check_sums(facts: &Facts) -> Result<()> {
    let config = &facts.project.config;
    for which in Limit::SUMS {
        let Some(most) = limit(config, which)? else { continue };
        let total =
            sum(facts, which).map_err(|error| error.context("Failed getting usage of project entities"))?;
        if total > most {
            return Err(Error::internal(reached(facts, which)));
        }
    }
    Ok(())
}

fn reached(facts: &Facts, which: Limit) -> String {
    let (key, project) = (which.key(), &facts.project.name);
    let text = facts.project.config.value(key);
    format!("Reached maximum aggregate value {text:?} for {key:?} in project {project:?}")
}

/// Bytes that `limits.disk` leaves, and what is said of more; `None` without that limit.
///
/// # Errors
/// A stored value is none.
pub fn disk_left(facts: &Facts) -> Result<Option<(u64, String)>> {
    let most = limit(&facts.project.config, Limit::Disk)?;
    Ok(most.map(|most| (most.saturating_sub(usage(facts, Limit::Disk)), reached(facts, Limit::Disk))))
}

/// May this limit of the project be what it is in `facts`?
///
/// # Errors
/// There is more than that, or something without a limit of its own.
pub fn check_change(facts: &Facts, key: &str) -> Result<()> {
    let Some(which) = Limit::ALL.into_iter().find(|limit| limit.key() == key) else { return Ok(()) };
    let Some(most) = limit(&facts.project.config, which)? else { return Ok(()) };
    let (project, used) = (&facts.project.name, usage(facts, which));
    match which {
        Limit::Containers | Limit::VirtualMachines if used > most => {
            let kind = which.name().trim_end_matches('s');
            Err(Error::internal(format!(
                "\"{key}\" is too low: there currently are {used} instances of type {kind} in project {project:?}"
            ))
            .context(format!("Can't change \"{key}\" in project {project:?}")))
        }
        Limit::Instances if used > most => Err(Error::internal(format!(
            "\"{key}\" is too low: there currently are {used} total instances in project {project:?}"
        ))
        .context(format!("Can't change {key} in project {project:?}"))),
        Limit::Networks if used > most => {
            Err(Error::internal(format!("\"{key}\" is too low: there currently are {used} networks")))
        }
        Limit::Cpu | Limit::Disk | Limit::Memory | Limit::Processes => {
            let total = sum(facts, which)?;
            match total > most {
                true => Err(Error::internal(format!(
                    "\"{key}\" is too low: current total is \"{}\"",
                    shown(which, total)
                ))),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn shown(which: Limit, total: u64) -> String {
    if !matches!(which, Limit::Disk | Limit::Memory) {
        return total.to_string();
    }
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let step = (0..units.len() - 1).take_while(|step| total >> (10 * (step + 1)) > 0).count();
    match step {
        0 => format!("{total}B"),
        // Exact to the digit that is shown.
        _ => {
            let tenths = (u128::from(total) * 10) >> (10 * step);
            format!("{}.{}{}", tenths / 10, tenths % 10, units[step])
        }
    }
}

/// Refuses one network more than the project may have.
///
/// # Errors
/// `Networks limit has been reached for project`.
pub fn check_network(tx: &Tx<'_>, project: &projects::Project) -> Result<()> {
    let Some(most) = limit(&project.config, Limit::Networks)? else { return Ok(()) };
    let there = networks::list(tx, Some(project.id), nodes::LONE)?.len() as u64;
    match there >= most {
        true => Err(Error::new(Kind::BadRequest, "Networks limit has been reached for project")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::allowed::testing::{config, facts, member};
    use super::*;

    #[test]
    fn sums_are_hard() {
        let mut facts =
            facts(&[("limits.memory", "100MiB"), ("limits.cpu", "4"), ("limits.processes", "10")]);
        let keys = [("limits.memory", "64MiB"), ("limits.cpu", "2"), ("limits.processes", "5")];
        facts.members.push(member("c1", &keys));
        assert!(check_sums(&facts).is_ok());
        for (key, value, name) in [
            ("limits.memory", "37MiB", "\"100MiB\" for \"limits.memory\""),
            ("limits.cpu", "3", "\"4\" for \"limits.cpu\""),
            ("limits.processes", "6", "\"10\" for \"limits.processes\""),
        ] {
            let mut over =
                config(&[("limits.memory", "1MiB"), ("limits.cpu", "1"), ("limits.processes", "1")]);
            over.insert(key.to_owned(), value.to_owned());
            facts.members.push(Member { config: over, ..member("c2", &[]) });
            let refused = check_sums(&facts).unwrap_err().chain();
            assert_eq!(refused, format!("Reached maximum aggregate value {name} in project \"p\""));
            facts.members.pop();
        }
    }

    #[test]
    fn what_is_left_of_the_disk() {
        let mut facts = facts(&[("limits.disk", "100MiB")]);
        facts.images = 30 << 20;
        let (left, text) = disk_left(&facts).unwrap().unwrap();
        assert_eq!(left, 70 << 20);
        assert_eq!(text, "Reached maximum aggregate value \"100MiB\" for \"limits.disk\" in project \"p\"");
        facts.images = 300 << 20;
        assert_eq!(disk_left(&facts).unwrap().unwrap().0, 0);
        facts.project.config.clear();
        assert_eq!(disk_left(&facts).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_summed_is_refused() {
        for (key, value) in [
            ("limits.cpu", "0-1"),
            ("limits.cpu", "0"),
            ("limits.memory", "10%"),
            ("limits.processes", ""),
            ("limits.disk", ""),
        ] {
            let mut facts = facts(&[(key, "100")]);
            facts.members.push(member("c1", &[(key, value)]));
            assert!(check_sums(&facts).is_err(), "{key} {value}");
            assert!(check_change(&facts, key).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn disks_volumes_and_images_count() {
        let mut facts = facts(&[("limits.disk", "100MiB")]);
        facts.images = 50 << 20;
        facts.volumes.push(("v1".to_owned(), config(&[("size", "50MiB")])));
        assert!(check_sums(&facts).is_ok());
        facts.volumes.push(("v2".to_owned(), config(&[("size", "1")])));
        assert!(check_sums(&facts).is_err());
        assert_eq!(
            check_change(&facts, "limits.disk").unwrap_err().chain(),
            "\"limits.disk\" is too low: current total is \"100.0MiB\""
        );
        facts.volumes.push(("v3".to_owned(), Config::new()));
        assert!(
            check_sums(&facts)
                .unwrap_err()
                .chain()
                .contains("Custom volume \"v3\" in project \"p\" has no \"size\"")
        );
    }

    #[test]
    fn numbers_of_instances() {
        let mut facts = facts(&[("limits.containers", "1"), ("limits.instances", "2")]);
        facts.members.push(member("c1", &[]));
        assert!(check_counts(&facts, InstanceKind::Container).is_ok());
        facts.members.push(Member { kind: InstanceKind::VirtualMachine, ..member("v1", &[]) });
        assert!(check_counts(&facts, InstanceKind::VirtualMachine).is_ok());
        facts.members.push(member("c2", &[]));
        assert!(check_counts(&facts, InstanceKind::Container).is_err());
        assert_eq!(
            check_counts(&facts, InstanceKind::VirtualMachine).unwrap_err().chain(),
            "Reached maximum number of instances in project \"p\""
        );
        assert!(check_change(&facts, "limits.instances").is_err());
    }
}
