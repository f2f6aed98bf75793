//! `restricted.*` of projects: what an instance or profile may not have. Pure; it looks at what holds after profiles
//! were expanded (security.md R5), and what nobody declared harmless is refused (R6).

use std::path::{Component, Path, PathBuf};

use lxd_config::project::{ALLOW, BLOCK, MANAGED, RESTRICTED_ON, rule};
use lxd_config::{Meta, Restriction};
use lxd_instance::keys::INSTANCE;
use lxd_types::{Config, ConfigExt, DeviceExt, Devices, Error, InstanceKind, Result, words};

use super::allowed::{Facts, Member};
use super::properties;

const INTERCEPTION: &str = "restricted.containers.interception";
const LOW_LEVEL: &str = "restricted.containers.lowlevel";
const LOW_LEVEL_VM: &str = "restricted.virtual-machines.lowlevel";
const NESTING: &str = "restricted.containers.nesting";
const PRIVILEGE: &str = "restricted.containers.privilege";
const DISK_PATHS: &str = "restricted.devices.disk.paths";
const ISOLATED: &str = "security.idmap.isolated";

/// What is looked at: an instance with what holds for it, or a profile with its own.
struct Subject<'a> {
    kind: Option<InstanceKind>,
    name: &'a str,
    project: &'a str,
}

impl Subject<'_> {
    fn text(&self) -> String {
        let kind = self.kind.map_or("profile", InstanceKind::name);
        format!("{kind} {:?} of project {:?}", self.name, self.project)
    }

    fn invalid_value(&self, key: &str, value: &str, why: &str) -> Error {
        Error::internal(format!("Invalid value {value:?} for config {key:?} on {}: {why}", self.text()))
    }
}

/// Checks one instance.
///
/// # Errors
/// The first key or device that the project forbids.
pub fn check_member(facts: &Facts, member: &Member) -> Result<()> {
    let rules = &facts.project.config;
    if !RESTRICTED_ON.is_on(rules) {
        return Ok(());
    }
    let subject = Subject { kind: Some(member.kind), name: &member.name, project: &facts.project.name };
    check_config(rules, &subject, &member.config)?;
    check_devices(rules, &subject, &member.devices)
}

/// Checks one profile, so that nobody finds out only at its first use.
///
/// # Errors
/// As [`check_member`].
pub fn check_profile(facts: &Facts, name: &str, config: &Config, devices: &Devices) -> Result<()> {
    let rules = &facts.project.config;
    if !RESTRICTED_ON.is_on(rules) {
        return Ok(());
    }
    let subject = Subject { kind: None, name, project: &facts.project.name };
    check_config(rules, &subject, config)?;
    check_devices(rules, &subject, devices)
}

/// Checks everything that the project has.
///
/// # Errors
/// As [`check_member`].
pub fn check_all(facts: &Facts) -> Result<()> {
    facts.members.iter().try_for_each(|member| check_member(facts, member))?;
    let mut profiles = facts.profiles.iter();
    profiles.try_for_each(|(name, config, devices)| check_profile(facts, name, config, devices))
}

fn check_config(rules: &Config, subject: &Subject<'_>, config: &Config) -> Result<()> {
    for (key, value) in config.iter().filter(|(_, value)| !value.is_empty()) {
        // What the server itself remembers of an instance; see [`check_volatile`].
        if !key.starts_with("volatile.") {
            check_key(rules, subject, key, value)?;
        }
    }
    let container = subject.kind == Some(InstanceKind::Container);
    if container && rule(rules, PRIVILEGE) == "isolated" && !words::is_true(config.value(ISOLATED)) {
        let value = config.value(ISOLATED);
        return Err(subject.invalid_value(ISOLATED, value, "Non-isolated containers are forbidden"));
    }
    Ok(())
}

fn check_key(rules: &Config, subject: &Subject<'_>, key: &str, value: &str) -> Result<()> {
    let known = INSTANCE.find(key);
    let is_bool = known.is_some_and(|known| known.label() == "boolean");
    let meta = known.map(lxd_config::AnyKey::meta);
    let default = meta.and_then(|meta| meta.default).unwrap_or_default();
    if is_bool && words::is_true(value) == words::is_true(default) {
        return Ok(());
    }
    match class(key, meta) {
        Restriction::Safe => Ok(()),
        Restriction::Project(NESTING) if rule(rules, NESTING) != ALLOW => {
            Err(subject.invalid_value(key, value, "Container nesting is forbidden"))
        }
        Restriction::Project(PRIVILEGE) => check_privilege(rules, subject, key, value),
        Restriction::Project(INTERCEPTION) => match (rule(rules, INTERCEPTION), mounts(key)) {
            ("full", _) | (ALLOW, false) => Ok(()),
            _ => Err(subject.invalid_value(key, value, "Container syscall interception is forbidden")),
        },
        Restriction::Project(rule_key) if rule(rules, rule_key) == ALLOW => Ok(()),
        // As the reference names it.
        _ if key == "raw.idmap" => Err(Error::internal(format!(
            "Use of low-level \"raw.idmap\" element 0 on {} is forbidden",
            subject.text()
        ))),
        Restriction::Restricted | Restriction::Project(_) => Err(Error::internal(format!(
            "Use of low-level config {key:?} on {} is forbidden",
            subject.text()
        ))),
    }
}

/// Keys that let a container mount what it likes.
fn mounts(key: &str) -> bool {
    key.starts_with("security.syscalls.intercept.mount")
}

fn class(key: &str, meta: Option<&Meta>) -> Restriction {
    meta.map_or(Restriction::Restricted, |meta| match meta.restriction {
        Restriction::Project(LOW_LEVEL) if key.starts_with("security.syscalls.intercept.") => {
            Restriction::Project(INTERCEPTION)
        }
        other => other,
    })
}

fn check_privilege(rules: &Config, subject: &Subject<'_>, key: &str, value: &str) -> Result<()> {
    match (rule(rules, PRIVILEGE), key) {
        (ALLOW, _) | (_, ISOLATED) => Ok(()),
        (_, "security.privileged") => {
            Err(subject.invalid_value(key, value, "Privileged containers are forbidden"))
        }
        // A chosen id map could be that of somebody else.
        _ if rule(rules, LOW_LEVEL) == ALLOW => Ok(()),
        _ => Err(Error::internal(format!(
            "Use of low-level config {key:?} on {} is forbidden",
            subject.text()
        ))),
    }
}

fn check_devices(rules: &Config, subject: &Subject<'_>, devices: &Devices) -> Result<()> {
    for (name, device) in devices {
        if let Some(why) = refusal(rules, device) {
            return Err(Error::internal(format!("Invalid device {name:?} on {}: {why}", subject.text())));
        }
    }
    Ok(())
}

/// Why a device is forbidden.
fn refusal(rules: &Config, device: &Config) -> Option<String> {
    let kind = device.kind();
    let says = |kind: &str| rule(rules, &format!("restricted.devices.{kind}")).to_owned();
    let unless_allowed = |what: &str| (says(kind) != ALLOW).then(|| format!("{what} devices are forbidden"));
    match kind {
        "none" | "tpm" => None,
        "disk" => match says("disk").as_str() {
            ALLOW if device.set("pool").is_some() => None,
            ALLOW => refused_path(rules, device.value("source")),
            _ if device.is_root_disk() && device.set("pool").is_some() => properties::of_disk(device),
            MANAGED if device.set("pool").is_some() => properties::of_disk(device),
            MANAGED => Some("Attaching disks not backed by a pool is forbidden".to_owned()),
            _ => Some("Disk devices are forbidden".to_owned()),
        },
        "nic" => match says("nic").as_str() {
            ALLOW => None,
            MANAGED if device.set("network").is_some() => properties::of_nic(rules, device),
            MANAGED => Some("Only managed network devices are allowed".to_owned()),
            _ => Some("Network devices are forbidden".to_owned()),
        },
        "gpu" => unless_allowed("GPU"),
        "infiniband" => unless_allowed("Infiniband"),
        "pci" => unless_allowed("PCI"),
        "proxy" => unless_allowed("Proxy"),
        "unix-block" => unless_allowed("Unix block"),
        "unix-char" => unless_allowed("Unix character"),
        "unix-hotplug" => unless_allowed("Unix hotplug"),
        "usb" => unless_allowed("USB"),
        other => Some(format!("Devices of type {other:?} are forbidden")),
    }
}

/// The only directories of the host that disks of the project may show; none when there is no such rule.
pub fn disk_paths(project: &lxd_db::projects::Project) -> Option<Vec<PathBuf>> {
    let allowed = project.config.set(DISK_PATHS).filter(|_| RESTRICTED_ON.is_on(&project.config))?;
    Some(allowed.split(',').map(|path| PathBuf::from(path.trim())).collect())
}

/// A source on the host that is in none of the directories of `restricted.devices.disk.paths`.
fn refused_path(rules: &Config, source: &str) -> Option<String> {
    let allowed = rules.set(DISK_PATHS)?;
    let path = Path::new(source);
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let plain = path.is_absolute() && path.components().all(is_plain);
    match plain && allowed.split(',').any(|allowed| path.starts_with(allowed.trim())) {
        true => None,
        false => Some(format!("Disk source path {source:?} not allowed")),
    }
}

/// Checks what a request itself does to keys that the server keeps for itself.
///
/// # Errors
/// A `volatile.*` key is set or changed in a restricted project that does not allow it.
pub fn check_volatile(
    rules: &lxd_db::projects::Project,
    kind: InstanceKind,
    name: &str,
    old: &Config,
    new: &Config,
) -> Result<()> {
    let low_level = if kind == InstanceKind::Container { LOW_LEVEL } else { LOW_LEVEL_VM };
    if !RESTRICTED_ON.is_on(&rules.config) || rule(&rules.config, low_level) != BLOCK {
        return Ok(());
    }
    for (key, value) in lxd_config::changed(old, new) {
        // Clients repeat these when they copy an instance or edit one as a whole; the map of a new one is ours.
        let of_copy = old.is_empty() && key == "volatile.last_state.idmap";
        let harmless = key == "volatile.base_image" || of_copy || value.is_empty();
        if key.starts_with("volatile.") && !harmless {
            let verb = if old.set(key).is_some() { "Changing" } else { "Setting" };
            let (kind, project) = (kind.name(), &rules.name);
            return Err(Error::internal(format!(
                "{verb} {key:?} on {kind} {name:?} in project {project:?} is forbidden"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::allowed::testing::{config, facts, member};
    use super::*;

    /// What the restricted project of the test says to a key of an instance.
    fn key(rules: &[(&str, &str)], key: &str, value: &str) -> Result<()> {
        let mut all = vec![("restricted", "true"), ("features.profiles", "true")];
        all.extend(rules);
        check_member(&facts(&all), &member("c1", &[(key, value)]))
    }

    fn device(rules: &[(&str, &str)], pairs: &[(&str, &str)]) -> Result<()> {
        let mut all = vec![("restricted", "true")];
        all.extend(rules);
        let devices = [("d".to_owned(), config(pairs))].into();
        check_member(&facts(&all), &Member { devices, ..member("c1", &[]) })
    }

    #[test]
    fn every_key_has_a_class_and_unknown_ones_are_refused() {
        for known in INSTANCE.keys().filter(|known| !known.meta().name.starts_with("volatile.")) {
            let name = known.meta().name.replace('*', "x");
            // What differs from every default.
            let value = match (known.label(), known.meta().default) {
                ("boolean", Some("true")) => "false",
                ("boolean", _) => "true",
                _ => "1",
            };
            let isolated = known.meta().name == ISOLATED;
            let safe = known.meta().restriction == Restriction::Safe || isolated;
            assert_eq!(key(&[], &name, value).is_ok(), safe, "{name}={value}");
            assert!(check_member(&facts(&[]), &member("c1", &[(&name, value)])).is_ok(), "{name}");
        }
        assert!(key(&[], "no.such", "1").is_err());
    }

    #[test]
    fn each_rule_opens_what_it_says() {
        for (rule, value, name) in [
            (LOW_LEVEL, ALLOW, "raw.lxc"),
            (LOW_LEVEL, ALLOW, "raw.idmap"),
            (LOW_LEVEL, ALLOW, "linux.kernel_modules"),
            (LOW_LEVEL, ALLOW, "security.idmap.base"),
            (LOW_LEVEL_VM, ALLOW, "raw.qemu"),
            (NESTING, ALLOW, "security.nesting"),
            (PRIVILEGE, ALLOW, "security.privileged"),
            (INTERCEPTION, ALLOW, "security.syscalls.intercept.mknod"),
            (INTERCEPTION, "full", "security.syscalls.intercept.mount"),
        ] {
            assert!(key(&[], name, "true").is_err(), "{name}");
            assert!(key(&[(rule, value)], name, "true").is_ok(), "{rule}={value} {name}");
        }
        assert!(key(&[(INTERCEPTION, ALLOW)], "security.syscalls.intercept.mount", "true").is_err());
    }

    #[test]
    fn isolation_is_demanded_even_where_the_key_is_missing() {
        let isolated = [(PRIVILEGE, "isolated")];
        assert!(key(&isolated, ISOLATED, "true").is_ok());
        for (name, value) in [(ISOLATED, "false"), ("user.a", "b")] {
            let refused = key(&isolated, name, value).unwrap_err().chain();
            assert!(refused.ends_with("Non-isolated containers are forbidden"), "{refused}");
        }
        assert!(key(&isolated, "security.privileged", "true").is_err());
    }

    #[test]
    fn every_device_type_has_a_rule() {
        for (kind, open) in [
            ("gpu", ALLOW),
            ("infiniband", ALLOW),
            ("pci", ALLOW),
            ("proxy", ALLOW),
            ("unix-block", ALLOW),
            ("unix-char", ALLOW),
            ("unix-hotplug", ALLOW),
            ("usb", ALLOW),
            ("nic", ALLOW),
            ("disk", ALLOW),
        ] {
            let rule = format!("restricted.devices.{kind}");
            assert!(device(&[], &[("type", kind)]).is_err(), "{kind}");
            assert!(device(&[(&rule, open)], &[("type", kind)]).is_ok(), "{kind}");
            assert!(device(&[(&rule, BLOCK)], &[("type", kind)]).is_err(), "{kind}");
        }
        assert!(device(&[], &[("type", "nosuch")]).is_err());
        assert!(device(&[], &[("type", "none")]).is_ok());
    }

    #[test]
    fn disks_and_nics_of_the_server_are_managed() {
        let disk = [("type", "disk"), ("path", "/x"), ("pool", "p"), ("source", "v")];
        assert!(device(&[], &disk).is_ok());
        assert!(device(&[("restricted.devices.disk", BLOCK)], &disk).is_err());
        let root = [("type", "disk"), ("path", "/"), ("pool", "p")];
        assert!(device(&[("restricted.devices.disk", BLOCK)], &root).is_ok());
        let nic = [("type", "nic"), ("network", "br0")];
        assert!(device(&[], &nic).is_ok());
        assert!(device(&[("restricted.devices.nic", BLOCK)], &nic).is_err());
        let routed = [("type", "nic"), ("network", "br0"), ("ipv4.routes", "0.0.0.0/1")];
        let refused = device(&[], &routed).unwrap_err().chain();
        assert!(refused.ends_with("Use of \"ipv4.routes\" with 0.0.0.0/1 is forbidden"), "{refused}");
        assert!(device(&[("restricted.devices.nic", ALLOW)], &routed).is_ok());
        let mounted = [&root[..], &[("raw.mount.options", "suid")]].concat();
        assert!(device(&[], &mounted).is_err());
        assert!(device(&[("restricted.devices.disk", ALLOW)], &mounted).is_ok());
    }

    #[test]
    fn sources_stay_in_the_named_directories() {
        let rules = [("restricted.devices.disk", ALLOW), ("restricted.devices.disk.paths", "/a/b,/c")];
        for (source, good) in [
            ("/a/b", true),
            ("/a/b/x", true),
            ("/c", true),
            ("/a/bx", false),
            ("/a/b/../x", false),
            ("x", false),
        ] {
            let disk = [("type", "disk"), ("path", "/x"), ("source", source)];
            assert_eq!(device(&rules, &disk).is_ok(), good, "{source}");
        }
    }

    #[test]
    fn requests_leave_volatile_keys_alone() {
        let check = |rules: &[(&str, &str)], old: &[(&str, &str)], new: &[(&str, &str)]| {
            let facts = facts(rules);
            check_volatile(&facts.project, InstanceKind::Container, "c1", &config(old), &config(new))
        };
        let on = [("restricted", "true")];
        assert!(check(&on, &[("volatile.uuid", "a")], &[("volatile.uuid", "a")]).is_ok());
        assert!(check(&on, &[], &[("volatile.base_image", "a")]).is_ok());
        assert!(check(&on, &[("volatile.uuid", "a")], &[("volatile.uuid", "b")]).is_err());
        assert!(check(&on, &[], &[("volatile.idmap.next", "[]")]).is_err());
        assert!(check(&[], &[], &[("volatile.idmap.next", "[]")]).is_ok());
        let open = [("restricted", "true"), (LOW_LEVEL, ALLOW)];
        assert!(check(&open, &[], &[("volatile.idmap.next", "[]")]).is_ok());
    }
}
