//! Device types of later versions: profiles may have them, their properties are checked by name; instances refuse them.

use lxd_types::{ConfigExt, Device, DeviceExt, Error, Result};

/// A type that this version knows and does not do.
#[derive(Debug)]
pub(crate) struct Later {
    properties: &'static [&'static str],
    required: &'static [&'static str],
}

impl Later {
    /// Checks that the properties are known ones.
    pub(crate) fn validate(&self, device: &Device) -> Result<()> {
        let common = |key: &str| key == "type" || key.starts_with("user.");
        for key in device.keys().map(String::as_str) {
            if !common(key) && !self.properties.contains(&key) {
                return Err(Error::bad_request(format!("Invalid device option {key:?}")));
            }
        }
        match self.required.iter().find(|key| device.value(key).is_empty()) {
            Some(key) => {
                let text = format!("Invalid value for device option {key:?}: Required value");
                Err(Error::bad_request(text))
            }
            None => Ok(()),
        }
    }
}

/// The later type of a device; `nic` is its `nictype` when it is an interface.
pub(crate) fn find(device: &Device, nic: &str) -> Option<&'static Later> {
    let name = match device.kind() {
        "nic" => format!("nic:{nic}"),
        "gpu" => format!("gpu:{}", device.set("gputype").unwrap_or("physical")),
        kind => kind.to_owned(),
    };
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, later)| later)
}

/// The names of all later types, interfaces and GPUs with their kind.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _)| *name)
}

const TYPES: &[(&str, Later)] = &[
    (
        "gpu:mdev",
        Later { properties: &["gputype", "id", "mdev", "pci", "productid", "vendorid"], required: &["mdev"] },
    ),
    (
        "gpu:mig",
        Later {
            properties: &["gputype", "id", "mig.ci", "mig.gi", "mig.uuid", "pci", "productid", "vendorid"],
            required: &[],
        },
    ),
    ("gpu:sriov", Later { properties: &["gputype", "id", "pci", "productid", "vendorid"], required: &[] }),
    (
        "infiniband",
        Later {
            properties: &["hwaddr", "mtu", "name", "nictype", "parent"],
            required: &["nictype", "parent"],
        },
    ),
    (
        "nic:ovn",
        Later {
            properties: &[
                "boot.priority",
                "host_name",
                "hwaddr",
                "ipv4.address",
                "ipv4.routes",
                "ipv4.routes.external",
                "ipv6.address",
                "ipv6.routes",
                "ipv6.routes.external",
                "mtu",
                "name",
                "network",
                "nictype",
                "parent",
                "security.acls",
                "security.acls.default.egress.action",
                "security.acls.default.egress.logged",
                "security.acls.default.ingress.action",
                "security.acls.default.ingress.logged",
            ],
            required: &[],
        },
    ),
    ("pci", Later { properties: &["address"], required: &["address"] }),
    ("tpm", Later { properties: &["path"], required: &[] }),
];
