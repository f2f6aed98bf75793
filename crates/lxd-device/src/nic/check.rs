//! Rules between the properties of a bridged interface and its network. Pure.

use std::net::IpAddr;

use lxd_config::Table;
use lxd_host::netlink::Untagged;
use lxd_types::{Cidr, Config, ConfigExt, Device, Error, Flag, Result};

use super::keys::BRIDGED;
use crate::context::{Facts, Level, NetworkFacts};

/// Properties that the network gives when `network` is set.
const MANAGED: &[&str] = &["nictype", "parent", "mtu", "maas.subnet.ipv4", "maas.subnet.ipv6"];

/// Properties that bridges of the kernel know and those of Open vSwitch do not.
const NATIVE: &[&str] = &[
    "security.mac_filtering",
    "security.ipv4_filtering",
    "security.ipv6_filtering",
    "security.port_isolation",
];

/// Checks how the properties go together.
pub(super) fn validate(device: &Device, level: Level, facts: &Facts) -> Result<()> {
    let network = device.set("network");
    if network.is_some()
        && let Some(key) = MANAGED.iter().find(|key| device.set(key).is_some())
    {
        let text = format!("Cannot use {key:?} property in conjunction with \"network\" property");
        return Err(Error::bad_request(text));
    }
    let parent = network.or(device.set("parent"));
    let Some(parent) = parent else {
        return Err(Error::bad_request("Invalid value for device option \"parent\": Required value"));
    };
    if network.is_none() {
        interface("parent", parent)?;
    }
    mtu(device)?;
    if let Untagged::Vlan(vlan) = super::vlans::of(device)?.untagged
        && super::vlans::of(device)?.tagged.contains(&vlan)
    {
        return Err(Error::bad_request(format!(
            "Invalid value for device option \"vlan.tagged\": Tagged VLAN ID \"{vlan}\" cannot be the same as untagged \
             VLAN ID"
        )));
    }
    let is_ovs = |managed: &NetworkFacts| managed.config.value("bridge.driver") == "openvswitch";
    if facts.networks.get(parent).is_some_and(is_ovs) {
        native_only(device, parent)?;
    }
    for family in ["ipv4", "ipv6"] {
        family_rules(device, family, parent, facts)?;
    }
    works(&BRIDGED, device, level)
}

/// Refuses properties that only bridges of the kernel know: on Open vSwitch they would do nothing.
pub(super) fn native_only(device: &Device, bridge: &str) -> Result<()> {
    let on = |key: &&&str| device.flag(key, Flag::DefaultFalse);
    match NATIVE.iter().find(on) {
        None => Ok(()),
        Some(key) => Err(Error::bad_request(format!(
            "{key} cannot be used on {bridge:?}, which is a bridge of Open vSwitch"
        ))),
    }
}

/// A profile may have properties that instances cannot have yet.
pub(super) fn works(table: &Table, device: &Device, level: Level) -> Result<()> {
    match level {
        Level::Profile => Ok(()),
        Level::Instance(_) => table.check_works(device).map_err(Error::from),
    }
}

/// Not a rule of the key: beside "network" the key itself is the mistake.
pub(super) fn mtu(device: &Device) -> Result<()> {
    let Some(mtu) = device.set("mtu") else { return Ok(()) };
    match mtu.parse::<u32>() {
        Ok(68..=65535) => Ok(()),
        _ => {
            let text = format!("Invalid value for device option \"mtu\": Invalid MTU {mtu:?}");
            Err(Error::bad_request(text))
        }
    }
}

/// The parent of an interface that is made on top of one, or that is one: its own, or its network's. Which of the
/// properties a network gives are refused beside it.
pub(super) fn on_parent(device: &Device) -> Result<()> {
    mtu(device)?;
    if device.set("network").is_some() {
        let given = ["nictype", "parent", "mtu", "vlan", "gvrp", "maas.subnet.ipv4", "maas.subnet.ipv6"];
        return match given.iter().find(|key| device.set(key).is_some()) {
            Some(key) => Err(Error::bad_request(format!(
                "Cannot use {key:?} property in conjunction with \"network\" property"
            ))),
            None => Ok(()),
        };
    }
    let Some(parent) = device.set("parent") else {
        return Err(Error::bad_request("Invalid value for device option \"parent\": Required value"));
    };
    interface("parent", parent)
}

/// The name of an interface of the host.
pub(super) fn interface(key: &str, name: &str) -> Result<()> {
    lxd_network::check_interface(name)
        .map_err(|why| Error::bad_request(format!("Invalid value for device option {key:?}: {why}")))
}

/// Rules of the address and the filter of a family.
fn family_rules(device: &Device, family: &str, parent: &str, facts: &Facts) -> Result<()> {
    let refuse = |text: String| Err(Error::bad_request(text));
    let key = format!("{family}.address");
    let filters = device.flag(&format!("security.{family}_filtering"), Flag::DefaultFalse);
    if filters && (device.set("vlan").is_some() || device.set("vlan.tagged").is_some()) {
        return refuse("IP filtering cannot be used with VLAN filtering".to_owned());
    }
    let managed = facts.networks.get(parent);
    match (device.set(&key), managed) {
        (Some("none"), _) if filters => Ok(()),
        (Some("none"), _) => {
            refuse(format!("Cannot have {key} as none unless using security.{family}_filtering"))
        }
        (Some(address), Some(managed)) => fixed_address(&key, address, parent, &managed.config, filters),
        (Some(address), None) if filters => match address.parse::<IpAddr>() {
            Ok(parsed) if parsed.is_ipv4() == (family == "ipv4") => Ok(()),
            _ => refuse(format!("Invalid value for device option {key:?}: Not an IP address {address:?}")),
        },
        (Some(_), None) => {
            refuse(format!("Cannot use manually specified {key} when using unmanaged parent bridge"))
        }
        (None, None) if filters => {
            let name = if family == "ipv4" { "IPv4" } else { "IPv6" };
            refuse(format!(
                "{name} filtering requires a manually specified {key} when using an unmanaged parent bridge"
            ))
        }
        (None, _) => Ok(()),
    }
}

/// A fixed address must be one that the network's DHCP service can give; behind a filter it may be another way that the
/// instance learns it.
fn fixed_address(key: &str, address: &str, network: &str, config: &Config, filters: bool) -> Result<()> {
    let refuse = |text: String| Err(Error::bad_request(text));
    if key == "ipv4.address" && !filters && !config.flag("ipv4.dhcp", Flag::DefaultTrue) {
        return refuse(format!(
            "Cannot specify \"ipv4.address\" when DHCP is disabled (unless using security.ipv4_filtering) on network {network:?}"
        ));
    }
    let stateful =
        config.flag("ipv6.dhcp", Flag::DefaultTrue) && config.flag("ipv6.dhcp.stateful", Flag::DefaultFalse);
    if key == "ipv6.address" && !filters && !stateful {
        return refuse(format!(
            "Cannot specify \"ipv6.address\" when DHCP or \"ipv6.dhcp.stateful\" are disabled (unless using \
             security.ipv6_filtering) on network {network:?}"
        ));
    }
    let subnet = config.value(key).parse::<Cidr>().ok();
    let parsed = address.parse::<IpAddr>().ok();
    match (subnet, parsed) {
        (Some(subnet), Some(parsed)) if subnet.contains(parsed) && parsed == subnet.address() => {
            refuse(format!("IP address {address:?} is assigned to parent managed network device {network:?}"))
        }
        (Some(subnet), Some(parsed)) if subnet.contains(parsed) => Ok(()),
        _ => refuse(format!("Device IP address {address:?} not within network {network:?} subnet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_types::InstanceKind;

    fn map(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn facts(pairs: &[(&str, &str)]) -> Facts {
        let network = NetworkFacts { kind: "bridge".to_owned(), config: map(pairs) };
        Facts { networks: [("br1".to_owned(), network)].into(), ..Facts::default() }
    }

    fn text(pairs: &[(&str, &str)]) -> String {
        let facts = facts(&[("ipv4.address", "10.77.0.1/24"), ("ipv6.address", "fd77:1::1/64")]);
        let container = Level::Instance(InstanceKind::Container);
        validate(&map(pairs), container, &facts).map_or_else(|error| error.chain(), |()| "ok".to_owned())
    }

    #[test]
    fn refusals_are_those_of_the_reference() {
        let net = ("network", "br1");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[net], "ok"),
            (&[net, ("ipv4.address", "10.77.0.20")], "ok"),
            (&[("nictype", "bridged"), ("parent", "br0")], "ok"),
            (&[("parent", "br1"), ("ipv4.address", "10.77.0.20")], "ok"),
            (
                &[("parent", "br0"), ("mtu", "9")],
                "Invalid value for device option \"mtu\": Invalid MTU \"9\"",
            ),
            (&[net, ("mtu", "x")], "Cannot use \"mtu\" property in conjunction with \"network\" property"),
            (&[net, ("mtu", "1500")], "Cannot use \"mtu\" property in conjunction with \"network\" property"),
            (
                &[net, ("nictype", "bridged")],
                "Cannot use \"nictype\" property in conjunction with \"network\" property",
            ),
            (&[("nictype", "bridged")], "Invalid value for device option \"parent\": Required value"),
            (
                &[net, ("ipv4.address", "none")],
                "Cannot have ipv4.address as none unless using security.ipv4_filtering",
            ),
            (
                &[net, ("ipv4.address", "10.78.0.1")],
                "Device IP address \"10.78.0.1\" not within network \"br1\" subnet",
            ),
            (&[net, ("ipv4.address", "x")], "Device IP address \"x\" not within network \"br1\" subnet"),
            (
                &[net, ("ipv4.address", "10.77.0.1")],
                "IP address \"10.77.0.1\" is assigned to parent managed network device \"br1\"",
            ),
            (
                &[net, ("ipv6.address", "fd77:1::5")],
                "Cannot specify \"ipv6.address\" when DHCP or \"ipv6.dhcp.stateful\" are disabled (unless using \
                 security.ipv6_filtering) on network \"br1\"",
            ),
            (
                &[("parent", "br0"), ("ipv4.address", "10.77.0.20")],
                "Cannot use manually specified ipv4.address when using unmanaged parent bridge",
            ),
            (&[net, ("security.mac_filtering", "true")], "ok"),
            (&[net, ("security.ipv4_filtering", "true"), ("ipv4.address", "none")], "ok"),
            (&[net, ("security.ipv6_filtering", "true"), ("ipv6.address", "fd77:1::5")], "ok"),
            (
                &[net, ("security.ipv4_filtering", "true"), ("vlan", "5")],
                "IP filtering cannot be used with VLAN filtering",
            ),
            (
                &[("parent", "br0"), ("security.ipv4_filtering", "true")],
                "IPv4 filtering requires a manually specified ipv4.address when using an unmanaged parent bridge",
            ),
            (&[("parent", "br0"), ("security.ipv4_filtering", "true"), ("ipv4.address", "10.1.1.1")], "ok"),
            (&[net, ("vlan", "5"), ("vlan.tagged", "6,8-9")], "ok"),
            (
                &[net, ("vlan", "1"), ("vlan.tagged", "1,5")],
                "Invalid value for device option \"vlan.tagged\": Tagged VLAN ID \"1\" cannot be the same as untagged \
                 VLAN ID",
            ),
            (&[net, ("ipv4.routes.external", "10.1.0.0/24")], "not supported yet: ipv4.routes.external"),
        ];
        for (pairs, wanted) in cases {
            assert_eq!(text(pairs), *wanted, "{pairs:?}");
        }
        let ovs = facts(&[("ipv4.address", "10.77.0.1/24"), ("bridge.driver", "openvswitch")]);
        for key in NATIVE {
            let refused = validate(&map(&[net, (key, "true")]), Level::Profile, &ovs).unwrap_err().chain();
            assert_eq!(
                refused,
                format!("{key} cannot be used on \"br1\", which is a bridge of Open vSwitch")
            );
            assert!(validate(&map(&[net, (key, "false")]), Level::Profile, &ovs).is_ok());
        }
        let profile =
            validate(&map(&[net, ("ipv4.routes.external", "10.1.0.0/24")]), Level::Profile, &facts(&[]));
        assert!(profile.is_ok(), "a profile may have what instances cannot yet");
    }
}
