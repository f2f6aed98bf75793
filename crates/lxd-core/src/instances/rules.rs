//! Rules of requests about instances. Pure.

use lxd_device::{Facts, Level, Registry};
use lxd_instance::keys;
use lxd_types::arch::Architecture;
use lxd_types::names::InstanceName;
use lxd_types::{ByteSize, Config, ConfigExt, DeviceExt, Devices, Error, InstanceKind, Result};
use rand::seq::IndexedRandom;

/// The kind that the member `type` names; containers when it is empty.
///
/// # Errors
/// It is none, or one that this server does not run.
pub fn kind(name: &str) -> Result<InstanceKind> {
    match name {
        "" | "container" => Ok(InstanceKind::Container),
        "virtual-machine" => {
            Err(Error::not_implemented("Virtual machines are not supported yet by this server"))
        }
        _ => Err(Error::bad_request("Invalid instance type")),
    }
}

/// The architecture that a request names, `None` when it leaves the choice to the server.
///
/// # Errors
/// There is none of that name.
pub fn architecture(name: &str) -> Result<Option<Architecture>> {
    if name.is_empty() {
        return Ok(None);
    }
    // The reference's answer, status included.
    Architecture::from_alias(name)
        .map(Some)
        .ok_or_else(|| Error::internal(format!("Architecture isn't supported: {name}")))
}

/// Refuses what this host cannot run.
///
/// # Errors
/// It is neither the host's architecture nor one of its personalities.
pub fn check_runs(architecture: Architecture) -> Result<()> {
    let Some(native) = Architecture::native() else { return Ok(()) };
    if architecture == native || native.personalities().contains(&architecture) {
        return Ok(());
    }
    Err(Error::bad_request("Requested architecture isn't supported by this host"))
}

/// The devices that hold, after expansion.
///
/// # Errors
/// The first rule that one breaks; more than one root disk.
pub fn check_devices(
    registry: &Registry,
    kind: InstanceKind,
    devices: &Devices,
    facts: &Facts,
) -> Result<()> {
    registry.validate(devices, Level::Instance(kind), facts)
}

/// Pool and size of the root disk.
///
/// # Errors
/// There is none, or more than one.
pub fn root_disk(devices: &Devices) -> Result<(String, Option<u64>)> {
    let mut roots = devices.values().filter(|device| device.is_root_disk());
    let root = roots.next().ok_or_else(|| Error::not_found("No root device could be found"))?;
    if roots.next().is_some() {
        return Err(Error::bad_request("More than one root device found"));
    }
    let pool = lxd_device::disk::root_pool(root)?;
    let size = root.set("size").map(str::parse::<ByteSize>).transpose()?.map(|size| size.bytes());
    Ok((pool.to_string(), size))
}

/// What a request for a new instance names: each profile once, and device types that exist.
///
/// # Errors
/// `Duplicate profile found in request`, `Invalid device type NAME`
pub fn check_new_names(registry: &Registry, profiles: &[String], devices: &Devices) -> Result<()> {
    check_profiles(profiles)?;
    match devices.values().find(|device| !registry.knows(device.kind())) {
        Some(device) => Err(Error::bad_request(format!("Invalid device type {}", device.kind()))),
        None => Ok(()),
    }
}

/// Refuses a list that names a profile twice.
///
/// # Errors
/// `Duplicate profile found in request`
pub fn check_profiles(profiles: &[String]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match profiles.iter().all(|name| seen.insert(name)) {
        true => Ok(()),
        false => Err(Error::bad_request("Duplicate profile found in request")),
    }
}

/// The configuration of a new instance: what the user gave must have an effect, what the image gave must be valid.
///
/// # Errors
/// The first key that is unknown, wrong, or has no effect yet.
pub fn check_new_config(given: &Config, own: &Config, kind: InstanceKind) -> Result<()> {
    keys::validate_new(own, kind)?;
    check_raw_lxc(given)?;
    keys::check_supported(&Config::new(), given)
}

/// An instance that was found on its pool: keys, names and devices must be valid, whether they have an effect yet or not.
///
/// # Errors
/// The first rule that is broken.
pub fn check_recovered(
    registry: &Registry,
    own: &Config,
    profiles: &[String],
    devices: &Devices,
    expanded: &Devices,
    facts: &lxd_device::Facts,
) -> Result<()> {
    let kind = InstanceKind::Container;
    keys::validate(own, Level::Instance(kind))?;
    check_new_names(registry, profiles, devices)?;
    root_disk(expanded)?;
    check_devices(registry, kind, expanded, facts).map_err(|error| error.context("Invalid devices"))
}

/// The changed configuration of an instance.
///
/// # Errors
/// As [`check_new_config`].
pub fn check_changed_config(old: &Config, new: &Config, kind: InstanceKind) -> Result<()> {
    keys::validate(new, Level::Instance(kind))?;
    const KEPT: [&str; 3] = ["volatile.idmap.base", "volatile.idmap.next", "volatile.last_state.idmap"];
    if KEPT.iter().any(|key| old.contains_key(*key) && !new.contains_key(*key)) {
        return Err(Error::bad_request("Volatile idmap keys can't be deleted by the user"));
    }
    // They say who owns the files and whose rights a running instance has.
    let idmap = KEPT.iter().chain(&["volatile.idmap.current"]);
    if let Some(key) =
        idmap.into_iter().find(|key| new.contains_key(**key) && new.get(**key) != old.get(**key))
    {
        return Err(Error::bad_request(format!("Volatile idmap keys can't be changed by the user: {key}")));
    }
    if old.get("raw.lxc") != new.get("raw.lxc") {
        check_raw_lxc(new)?;
    }
    keys::check_supported(old, new)
}

/// Refuses keys in `raw.lxc` that this host's liblxc does not know.
fn check_raw_lxc(config: &Config) -> Result<()> {
    let text = config.value("raw.lxc");
    if text.is_empty() {
        return Ok(());
    }
    // Without liblxc no container can start anyway.
    let Ok(lxc) = liblxc::Lxc::open() else { return Ok(()) };
    match lxd_container::raw::parse(text)?.iter().find(|(key, _)| !lxc.config_item_supported(key)) {
        Some((key, _)) => {
            let text = format!("Invalid config: raw.lxc has a key that liblxc does not know: {key}");
            Err(Error::bad_request(text))
        }
        None => Ok(()),
    }
}

/// A name for an instance that the request gives none.
pub fn random_name() -> InstanceName {
    const FIRST: &[&str] = &[
        "able", "agile", "amber", "bold", "brave", "bright", "calm", "clever", "cosmic", "daring", "eager",
        "fair", "fleet", "gentle", "glad", "golden", "happy", "hardy", "keen", "kind", "lively", "lucky",
        "mellow", "merry", "modest", "noble", "patient", "polite", "proud", "quick", "quiet", "rapid",
        "ready", "robust", "sharp", "simple", "smart", "steady", "sunny", "swift", "tidy", "vivid", "warm",
        "wise",
    ];
    const SECOND: &[&str] = &[
        "badger", "beaver", "bison", "cod", "crane", "deer", "dolphin", "eagle", "falcon", "finch", "fox",
        "gecko", "goose", "hare", "hawk", "heron", "ibex", "jay", "koala", "lark", "lemur", "lion", "lynx",
        "marten", "mole", "moth", "newt", "otter", "owl", "panda", "perch", "puffin", "raven", "robin",
        "seal", "shrew", "stork", "swan", "tapir", "tern", "trout", "viper", "weasel", "wren", "yak",
        "zebra",
    ];
    let mut random = rand::rng();
    let mut pick = |words: &[&'static str]| words.choose(&mut random).copied().unwrap_or("nameless");
    let name = format!("{}-{}", pick(FIRST), pick(SECOND));
    name.parse().expect("two words and a dash are a host name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_are_names() {
        for _ in 0..200 {
            assert!(random_name().as_str().contains('-'));
        }
    }

    #[test]
    fn one_root_disk_is_needed() {
        let disk = |pool: &str| {
            [("type", "disk"), ("path", "/"), ("pool", pool)]
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect::<Config>()
        };
        assert_eq!(root_disk(&Devices::new()).unwrap_err().chain(), "No root device could be found");
        let one: Devices = [("root".to_owned(), disk("p"))].into();
        assert_eq!(root_disk(&one).unwrap(), ("p".to_owned(), None));
        let two: Devices = [("a".to_owned(), disk("p")), ("b".to_owned(), disk("p"))].into();
        assert!(root_disk(&two).is_err());
    }
}
