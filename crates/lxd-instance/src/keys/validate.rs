//! Checks of a whole configuration: which keys whom may have, and what excludes what.

use lxd_config::{AnyKey, Condition, Effect, KeyError, Reason, changed};
use lxd_device::Level;
use lxd_types::{Config, ConfigExt, Error, Flag, InstanceKind, RawIdMap, Result};

use super::{ENVIRONMENT_PREFIX, IMAGE_PREFIX, INSTANCE, KERNEL_LIMIT_PREFIX, VOLATILE_PREFIX};

/// Checks the changed configuration of an instance, or that of a profile, in the order of the keys' names.
///
/// # Errors
/// The first key or value that is refused, or a combination that excludes itself; for instances under "Invalid config".
pub fn validate(config: &Config, level: Level) -> Result<()> {
    match level {
        Level::Profile => check(config, level),
        Level::Instance(_) => {
            check_idmap(config).map_err(|error| error.context("Failed to get ID map"))?;
            check(config, level).map_err(|error| error.context("Invalid config"))
        }
    }
}

/// Checks the configuration of a new instance, in the order of the keys' names.
///
/// # Errors
/// As [`validate`], in the words of the reference for new instances.
pub fn validate_new(config: &Config, kind: InstanceKind) -> Result<()> {
    check_idmap(config).map_err(|error| error.context("Failed initialising instance"))?;
    check(config, Level::Instance(kind))
}

/// The map has an error of its own, so it comes before the others.
fn check_idmap(config: &Config) -> Result<()> {
    match config.set("raw.idmap") {
        Some(raw) => raw.parse::<RawIdMap>().map(drop).map_err(Error::from),
        None => Ok(()),
    }
}

fn check(config: &Config, level: Level) -> Result<()> {
    if level == Level::Profile {
        check_profile(config)?;
    }
    for (key, value) in config {
        let known = INSTANCE.check_one(key, value)?;
        if !applies(known, level) {
            let unknown = KeyError { key: key.clone(), value: value.clone(), reason: Reason::Unknown };
            return Err(unknown.into());
        }
        if let Some(name) = key.strip_prefix(ENVIRONMENT_PREFIX) {
            check_variable(name)?;
        }
        if let Some(name) = key.strip_prefix(KERNEL_LIMIT_PREFIX) {
            check_kernel_limit(name)?;
        }
    }
    check_combinations(config)
}

/// Refuses keys that only instances have.
///
/// # Errors
/// "Volatile keys can only be set on instances", "Image keys can only be set on instances".
pub fn check_profile(config: &Config) -> Result<()> {
    let has = |prefix| config.keys().any(|key| key.starts_with(prefix));
    match () {
        () if has(VOLATILE_PREFIX) => Err(Error::bad_request("Volatile keys can only be set on instances")),
        () if has(IMAGE_PREFIX) => Err(Error::bad_request("Image keys can only be set on instances")),
        () => Ok(()),
    }
}

/// Refuses keys that a user sets on an instance and that have no effect in this version. What was set before (it came
/// with a backup or from another server), and a value that says what is the case anyway, is let pass.
///
/// # Errors
/// `not supported yet: KEY`
pub fn check_supported(old: &Config, new: &Config) -> Result<()> {
    for (key, value) in changed(old, new) {
        let Some(known) = INSTANCE.find(key) else { continue };
        let meta = known.meta();
        if meta.effect == Effect::NotYet && !value.is_empty() && meta.default != Some(value) {
            let refusal = KeyError { key: key.to_owned(), value: value.to_owned(), reason: Reason::NotYet };
            return Err(refusal.into());
        }
    }
    Ok(())
}

fn applies(key: &dyn AnyKey, level: Level) -> bool {
    let Level::Instance(kind) = level else { return true };
    match key.meta().condition {
        Condition::Any => true,
        Condition::Container | Condition::UnprivilegedContainer => kind == InstanceKind::Container,
        Condition::VirtualMachine => kind == InstanceKind::VirtualMachine,
    }
}

fn check_variable(name: &str) -> Result<()> {
    match name.contains('=') || name.chars().any(char::is_control) {
        true => Err(Error::bad_request(format!("Invalid environment variable name {name:?}"))),
        false => Ok(()),
    }
}

/// The kernel's resources have names like `nofile`.
fn check_kernel_limit(name: &str) -> Result<()> {
    match !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()) {
        true => Ok(()),
        false => Err(Error::bad_request(format!("Invalid resource {name:?} in {KERNEL_LIMIT_PREFIX}{name}"))),
    }
}

/// Old and new names of the same key.
const RENAMED: [(&str, &str); 4] = [
    ("security.syscalls.allow", "security.syscalls.whitelist"),
    ("security.syscalls.deny", "security.syscalls.blacklist"),
    ("security.syscalls.deny_compat", "security.syscalls.blacklist_compat"),
    ("security.syscalls.deny_default", "security.syscalls.blacklist_default"),
];

fn check_combinations(config: &Config) -> Result<()> {
    let refuse = |text: &str| Err(Error::bad_request(text));
    let set = |key: &str| config.set(key).is_some();
    if set("raw.seccomp") && RENAMED.iter().any(|(new, old)| set(new) || set(old)) {
        return refuse("raw.seccomp is mutually exclusive with security.syscalls*");
    }
    if let Some((new, old)) = RENAMED.iter().find(|(new, old)| set(new) && set(old)) {
        return refuse(&format!("Mutually exclusive keys {new} and {old} are set"));
    }
    let [allow, deny @ ..] = &RENAMED;
    if (set(allow.0) || set(allow.1)) && deny.iter().any(|(new, old)| set(new) || set(old)) {
        return refuse("security.syscalls.allow is mutually exclusive with security.syscalls.deny*");
    }
    if config.flag("security.privileged", Flag::DefaultFalse)
        && config.flag("nvidia.runtime", Flag::DefaultFalse)
    {
        return refuse("nvidia.runtime is incompatible with privileged containers");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_config::Restriction;

    const CONTAINER: Level = Level::Instance(InstanceKind::Container);
    const VM: Level = Level::Instance(InstanceKind::VirtualMachine);

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn text(pairs: &[(&str, &str)], level: Level) -> String {
        validate(&config(pairs), level).unwrap_err().chain()
    }

    #[test]
    fn refusals_are_those_of_servers() {
        assert_eq!(text(&[("no.such", "")], CONTAINER), "Invalid config: Unknown configuration key: no.such");
        assert_eq!(
            text(&[("raw.qemu", "x")], CONTAINER),
            "Invalid config: Unknown configuration key: raw.qemu"
        );
        assert_eq!(text(&[("raw.lxc", "a=b")], VM), "Invalid config: Unknown configuration key: raw.lxc");
        assert_eq!(text(&[("limits.memory", "12XB")], CONTAINER), "Invalid config: Invalid value: 12XB");
        assert_eq!(
            text(&[("limits.cpu.priority", "11")], CONTAINER),
            "Invalid config: Invalid value for a limit \"11\". Must be between 0 and 10"
        );
        assert_eq!(
            text(&[("environment.A", "b\nc")], CONTAINER),
            "Invalid config: Environment variables cannot contain line breaks"
        );
        assert_eq!(text(&[("image.os", "x")], Level::Profile), "Image keys can only be set on instances");
        assert_eq!(
            text(&[("volatile.uuid", "x")], Level::Profile),
            "Volatile keys can only be set on instances"
        );
        assert_eq!(
            text(&[("volatile.nosuch", "x")], CONTAINER),
            "Invalid config: Unknown configuration key: volatile.nosuch"
        );
        assert_eq!(
            text(&[("raw.idmap", "both x y")], CONTAINER),
            "Failed to get ID map: strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert_eq!(text(&[("volatile.uuid", "x")], CONTAINER), "Invalid config: Invalid UUID");
        assert_eq!(
            text(&[("cluster.evacuate", "never")], CONTAINER),
            "Invalid config: Invalid value \"never\" (not one of [auto migrate live-migrate stop])"
        );
    }

    #[test]
    fn what_excludes_itself_is_refused() {
        let (allow, deny) = ("security.syscalls.allow", "security.syscalls.deny");
        let exclusive = "security.syscalls.allow is mutually exclusive with security.syscalls.deny*";
        assert_eq!(text(&[(allow, "a"), (deny, "b")], Level::Profile), exclusive);
        assert_eq!(
            text(
                &[("security.syscalls.whitelist", "a"), ("security.syscalls.blacklist", "b")],
                Level::Profile
            ),
            exclusive
        );
        assert_eq!(
            text(&[(allow, "a"), ("security.syscalls.whitelist", "b")], Level::Profile),
            "Mutually exclusive keys security.syscalls.allow and security.syscalls.whitelist are set"
        );
        assert_eq!(
            text(&[("raw.seccomp", "x"), (deny, "a")], Level::Profile),
            "raw.seccomp is mutually exclusive with security.syscalls*"
        );
        assert_eq!(
            text(&[("security.privileged", "yes"), ("nvidia.runtime", "1")], Level::Profile),
            "nvidia.runtime is incompatible with privileged containers"
        );
    }

    #[test]
    fn profiles_take_keys_of_both_kinds() {
        assert!(
            validate(&config(&[("raw.qemu", "x"), ("raw.lxc", "a=b"), ("user.a", "")]), Level::Profile)
                .is_ok()
        );
    }

    #[test]
    fn keys_without_effect_are_refused_when_they_change() {
        let none = Config::new();
        let set = config(&[("migration.incremental.memory", "true")]);
        assert_eq!(
            check_supported(&none, &set).unwrap_err().chain(),
            "not supported yet: migration.incremental.memory"
        );
        assert!(check_supported(&set, &set).is_ok() && check_supported(&set, &none).is_ok());
        assert!(
            check_supported(&none, &config(&[("migration.incremental.memory", "false"), ("user.a", "b")]))
                .is_ok()
        );
    }

    #[test]
    fn every_key_has_a_name_of_its_own_and_a_valid_default() {
        let mut names = std::collections::HashSet::new();
        for key in INSTANCE.keys() {
            assert!(names.insert(key.meta().name), "{} twice", key.meta().name);
            assert!(!key.meta().doc.is_empty());
            if let Some(default) = key.meta().default {
                assert_eq!(key.check(default), Ok(()), "{}", key.meta().name);
            }
        }
    }

    /// The keys that anybody may set in a restricted project. A new key is restricted until it is listed here on purpose.
    #[test]
    fn dangerous_keys_are_not_safe() {
        for key in INSTANCE.keys().filter(|key| key.meta().restriction == Restriction::Safe) {
            let name = key.meta().name;
            for bad in [
                "raw.",
                "volatile.",
                "security.privileged",
                "security.nesting",
                "security.idmap",
                "nvidia.",
                "linux.",
            ] {
                assert!(!name.starts_with(bad), "{name}");
            }
        }
    }
}
