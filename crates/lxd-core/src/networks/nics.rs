//! Interfaces of an instance that is being changed: what they must not share with others, and what is remembered of
//! them.

use lxd_db::{Tx, instances, networks, nodes};
use lxd_types::{Config, ConfigExt, Device, DeviceExt, Devices, Error, Mac, Result};

use super::owner;
use crate::instances::{InstanceKey, Model, models};

/// Properties that can change without the device being made anew.
const LIVE: &[&str] = &[
    "ipv4.address",
    "ipv4.routes",
    "ipv6.address",
    "ipv6.routes",
    "limits.egress",
    "limits.ingress",
    "limits.max",
    "security.ipv4_filtering",
    "security.ipv6_filtering",
    "security.mac_filtering",
];

/// An interface somewhere in the server.
struct Other<'a> {
    key: &'a InstanceKey,
    device: &'a Device,
    kept_mac: &'a str,
}

/// Refuses new and changed interfaces whose name, hardware or fixed address another interface on the same managed
/// bridge has.
///
/// # Errors
/// `Failed add validation for device "eth0": …`, as a conflict.
pub(crate) fn check(
    tx: &Tx<'_>,
    key: &InstanceKey,
    own: &Config,
    old: &Devices,
    new: &Devices,
) -> Result<()> {
    let changed: Vec<(&String, &Device)> = new
        .iter()
        .filter(|(name, device)| device.kind() == "nic" && old.get(*name) != Some(*device))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let owner = owner(tx, &key.project)?;
    let mut known = networks::list(tx, Some(owner), nodes::LONE)?;
    // Others do not know who is on them.
    known.retain(|network| network.kind == networks::BRIDGE);
    let models = models(tx, instances::Filter::default())?;
    for (name, device) in changed {
        let Some(network) = known.iter().find(|network| network.name == bridge(device)) else { continue };
        let here =
            new.iter().filter(|(other, _)| *other != name).map(|(other, device)| (key, other, device, own));
        let there = models.iter().filter(|model| model.key != *key);
        let there = there.flat_map(|model: &Model| {
            model.devices.iter().map(|(other, device)| (&model.key, other, device, &model.row.config))
        });
        let others: Vec<(String, Other<'_>)> = here
            .chain(there)
            .filter(|(_, _, device, _)| device.kind() == "nic" && bridge(device) == network.name)
            .map(|(key, other, device, config)| {
                let kept = format!("volatile.{other}.hwaddr");
                (other.clone(), Other { key, device, kept_mac: config.value(&kept) })
            })
            .collect();
        let managed_names = matches!(network.config.value("dns.mode"), "" | "managed");
        conflict(key, device, others.iter().map(|(_, other)| other), managed_names).map_err(|error| {
            let what = if is_live(old.get(name), device) { "update" } else { "add" };
            error.context(format!("Failed {what} validation for device {name:?}"))
        })?;
    }
    Ok(())
}

fn conflict<'a>(
    key: &InstanceKey,
    device: &Device,
    others: impl Iterator<Item = &'a Other<'a>>,
    managed_names: bool,
) -> Result<()> {
    for other in others {
        if managed_names && other.key.name == key.name {
            let text = format!("Instance DNS name {:?} already used on network", key.name.as_str());
            return Err(Error::conflict(text));
        }
        if let Some(mac) = device.set("hwaddr") {
            let theirs = other.device.set("hwaddr").unwrap_or(other.kept_mac);
            if theirs.eq_ignore_ascii_case(mac) {
                return Err(Error::conflict(format!("MAC address {mac:?} already defined on another NIC")));
            }
        }
        for family in ["ipv4.address", "ipv6.address"] {
            let same = device.set(family).filter(|address| same_address(address, other.device.value(family)));
            if let Some(address) = same {
                return Err(Error::conflict(format!(
                    "IP address {address:?} already defined on another NIC"
                )));
            }
        }
    }
    Ok(())
}

fn same_address(one: &str, other: &str) -> bool {
    match (one.parse::<std::net::IpAddr>(), other.parse::<std::net::IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// The bridge of an interface; `""` when it has none.
fn bridge(device: &Device) -> &str {
    device.set("network").unwrap_or_else(|| device.value("parent"))
}

fn is_live(old: Option<&Device>, new: &Device) -> bool {
    old.is_some_and(|old| lxd_config::changed(old, new).iter().all(|(key, _)| LIVE.contains(key)))
}

/// Remembers a hardware address and a name of every interface that has none of its own, and forgets what was remembered
/// of devices that are gone.
pub(crate) fn remember(own: &mut Config, old: &Devices, new: &Devices) {
    for gone in old.keys().filter(|name| !new.contains_key(*name)) {
        let start = format!("volatile.{gone}.");
        own.retain(|key, _| !key.starts_with(&start));
    }
    for (name, device) in new.iter().filter(|(_, device)| device.kind() == "nic") {
        let hwaddr = format!("volatile.{name}.hwaddr");
        if device.set("hwaddr").is_none() && own.set(&hwaddr).is_none() {
            own.insert(hwaddr, Mac::instance(rand::random()).to_string());
        }
        let kept = format!("volatile.{name}.name");
        if device.set("name").is_none() && own.set(&kept).is_none() {
            let free = free_name(own, new);
            own.insert(kept, free);
        }
    }
}

/// The first `ethN` that no interface of the instance has.
fn free_name(own: &Config, devices: &Devices) -> String {
    let taken = |name: &str| {
        let kept = |(device, properties): (&String, &Device)| {
            properties.value("name") == name || own.value(&format!("volatile.{device}.name")) == name
        };
        devices.iter().any(kept)
    };
    (0..).map(|number| format!("eth{number}")).find(|name| !taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(pairs: &[(&str, &str)]) -> Device {
        let all = [("type", "nic"), ("network", "br1")];
        all.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn key(name: &str) -> InstanceKey {
        InstanceKey::stored("default", name).unwrap()
    }

    fn text(key: &InstanceKey, device: &Device, other: &InstanceKey, theirs: &Device) -> String {
        let other = Other { key: other, device: theirs, kept_mac: "00:16:3e:00:00:09" };
        conflict(key, device, std::iter::once(&other), true).map_or_else(|e| e.chain(), |()| "ok".to_owned())
    }

    #[test]
    fn conflicts_are_told_as_the_reference_does() {
        let (c1, c2) = (key("c1"), key("c2"));
        let fixed = nic(&[("ipv4.address", "10.0.0.9")]);
        assert_eq!(text(&c1, &nic(&[]), &c1, &nic(&[])), "Instance DNS name \"c1\" already used on network");
        assert_eq!(text(&c1, &fixed, &c2, &fixed), "IP address \"10.0.0.9\" already defined on another NIC");
        assert_eq!(text(&c1, &fixed, &c2, &nic(&[])), "ok");
        assert_eq!(
            text(&c1, &nic(&[("hwaddr", "00:16:3E:00:00:09")]), &c2, &nic(&[])),
            "MAC address \"00:16:3E:00:00:09\" already defined on another NIC"
        );
        assert!(is_live(Some(&nic(&[])), &fixed) && !is_live(Some(&nic(&[])), &nic(&[("hwaddr", "x")])));
    }

    #[test]
    fn names_and_addresses_are_remembered() {
        let mut own: Config = [("volatile.gone.hwaddr", "x"), ("volatile.uuid", "y")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let old: Devices = [("gone".to_owned(), nic(&[]))].into();
        let new: Devices = [
            ("a".to_owned(), nic(&[("name", "eth0"), ("hwaddr", "00:16:3e:00:00:01")])),
            ("b".to_owned(), nic(&[])),
        ]
        .into();
        remember(&mut own, &old, &new);
        assert_eq!(own.value("volatile.b.name"), "eth1");
        assert!(own.value("volatile.b.hwaddr").starts_with("00:16:3e:"));
        assert_eq!(own.len(), 3, "{own:?}");
        let before = own.clone();
        remember(&mut own, &new, &new);
        assert_eq!(own, before);
    }
}
