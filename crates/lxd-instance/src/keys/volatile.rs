//! What the server remembers of an instance: `volatile.*`.
//!
//! Users see these keys and may set them, as servers in the field let them (the usual case: the hardware address of an
//! interface). So every reader treats them as a user's word.

use lxd_config::{Key, keys};
use lxd_types::{Config, ConfigExt, IdMap, ValueError};

const LOW_LEVEL: &str = "restricted.containers.lowlevel";

keys! {
    /// `volatile.*`
    VOLATILE = [
        /// The template hook that is to run at the next start.
        APPLY_TEMPLATE: String = key("volatile.apply_template"),
        /// The quota to be applied to the root disk at the next start.
        APPLY_QUOTA: String = key("volatile.apply_quota"),
        /// The fingerprint of the image that the instance was created from, if any.
        BASE_IMAGE: String = key("volatile.base_image"),
        /// The id that cloud-init sees; it changes when its configuration is to be read again.
        CLOUD_INIT_INSTANCE_ID: String = key("volatile.cloud-init.instance-id").check(uuid),
        /// The member that the instance was evacuated from.
        EVACUATE_ORIGIN: String = key("volatile.evacuate.origin"),
        /// The first id of the instance's primary range.
        IDMAP_BASE: String = key("volatile.idmap.base"),
        /// The id map that the instance uses.
        IDMAP_CURRENT: String = key("volatile.idmap.current").check(idmap),
        /// The id map that the instance will use when it starts again.
        IDMAP_NEXT: String = key("volatile.idmap.next").check(idmap),
        /// The id map with which the root file system was written.
        LAST_STATE_IDMAP: String = key("volatile.last_state.idmap").check(idmap),
        /// The instance's state when the host was last shut down.
        LAST_STATE_POWER: String = key("volatile.last_state.power"),
        /// The instance's UUID (unique across all servers and projects).
        UUID: String = key("volatile.uuid").check(uuid),
        /// The vsock id of the instance's last start.
        VSOCK_ID: i64 = Key::new("volatile.vsock_id").passive().restricted_by(LOW_LEVEL),
        /// The quota to be applied to a disk at the next start.
        DEVICE_APPLY_QUOTA: String = key("volatile.<name>.apply_quota"),
        /// Path of the RBD device of a Ceph disk.
        DEVICE_CEPH_RBD: String = key("volatile.<name>.ceph_rbd"),
        /// Name of the interface on the host.
        DEVICE_HOST_NAME: String = key("volatile.<name>.host_name"),
        /// Hardware address of the interface (when the device itself has none).
        DEVICE_HWADDR: String = key("volatile.<name>.hwaddr"),
        /// Id of the device.
        DEVICE_ID: String = key("volatile.<name>.id"),
        /// UUID of a virtual GPU.
        DEVICE_MIG_UUID: String = key("volatile.<name>.mig.uuid"),
        /// MTU of the interface.
        DEVICE_MTU: String = key("volatile.<name>.mtu"),
        /// Name of the interface inside.
        DEVICE_NAME: String = key("volatile.<name>.name"),
        /// UUID of a virtual GPU.
        DEVICE_VGPU_UUID: String = key("volatile.<name>.vgpu.uuid"),
        /// Whether the physical interface was created.
        DEVICE_LAST_STATE_CREATED: String = key("volatile.<name>.last_state.created"),
        /// Hardware address that a physical interface had before.
        DEVICE_LAST_STATE_HWADDR: String = key("volatile.<name>.last_state.hwaddr"),
        /// MTU that a physical interface had before.
        DEVICE_LAST_STATE_MTU: String = key("volatile.<name>.last_state.mtu"),
        /// Driver of a PCI device on the host.
        DEVICE_LAST_STATE_PCI_DRIVER: String = key("volatile.<name>.last_state.pci.driver"),
        /// Slot of a PCI device on the host.
        DEVICE_LAST_STATE_PCI_SLOT_NAME: String = key("volatile.<name>.last_state.pci.slot.name"),
        /// Name of a vDPA device.
        DEVICE_LAST_STATE_VDPA_NAME: String = key("volatile.<name>.last_state.vdpa.name"),
        /// Hardware address that a virtual function had before.
        DEVICE_LAST_STATE_VF_HWADDR: String = key("volatile.<name>.last_state.vf.hwaddr"),
        /// Number of the virtual function.
        DEVICE_LAST_STATE_VF_ID: String = key("volatile.<name>.last_state.vf.id"),
        /// Parent of the virtual function.
        DEVICE_LAST_STATE_VF_PARENT: String = key("volatile.<name>.last_state.vf.parent"),
        /// Whether a virtual function had its address checked before.
        DEVICE_LAST_STATE_VF_SPOOFCHECK: String = key("volatile.<name>.last_state.vf.spoofcheck"),
        /// VLAN that a virtual function had before.
        DEVICE_LAST_STATE_VF_VLAN: String = key("volatile.<name>.last_state.vf.vlan"),
    ]
}

/// The volatile keys of one device, without their beginning `volatile.<device>.`.
pub fn of_device(config: &Config, device: &str) -> Config {
    let start = format!("volatile.{device}.");
    let own = |(key, value): (&String, &String)| Some((key.strip_prefix(&start)?.to_owned(), value.clone()));
    config.iter().filter_map(own).collect()
}

/// The changes of a device's volatile keys as changes of the instance's: with their full names.
pub fn for_instance(changes: &Config, device: &str) -> Config {
    changes.iter().map(|(key, value)| (format!("volatile.{device}.{key}"), value.clone())).collect()
}

/// Lays changes over a configuration; an empty value removes the key.
pub fn apply(config: &mut Config, changes: &Config) {
    for (key, value) in changes {
        match value.is_empty() {
            true => config.remove(key),
            false => config.insert(key.clone(), value.clone()),
        };
    }
}

/// The id map in one of the keys that hold one; `None` when it is not set or unreadable.
pub fn read_idmap(config: &Config, key: &Key<String>) -> Option<IdMap> {
    serde_json::from_str(config.set(key.name())?).ok()
}

/// The text of an id map as these keys hold it.
pub fn idmap_text(map: &IdMap) -> String {
    serde_json::to_string(map).expect("an id map has nothing that JSON cannot say")
}

const fn key(name: &'static str) -> Key<String> {
    Key::new(name).passive().restricted_by(LOW_LEVEL)
}

fn uuid(text: &str) -> Result<(), ValueError> {
    let digits = text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    match digits && text.len() == 36 {
        true => Ok(()),
        false => Err(ValueError::new("Invalid UUID")),
    }
}

fn idmap(text: &str) -> Result<(), ValueError> {
    match serde_json::from_str::<IdMap>(text) {
        Ok(_) => Ok(()),
        Err(why) => Err(ValueError(format!("Invalid ID map: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_sees_its_own_keys() {
        let pairs = [
            ("volatile.eth0.hwaddr", "x"),
            ("volatile.eth0.last_state.mtu", "1"),
            ("volatile.eth.hwaddr", "y"),
        ];
        let config: Config = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let own = of_device(&config, "eth0");
        assert_eq!((own.value("hwaddr"), own.value("last_state.mtu"), own.len()), ("x", "1", 2));
        let mut all = config.clone();
        apply(&mut all, &for_instance(&[("hwaddr".to_owned(), String::new())].into(), "eth0"));
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn id_maps_read_back() {
        let map = IdMap::range(100_000, 65_536).unwrap();
        let config: Config = [("volatile.idmap.next".to_owned(), idmap_text(&map))].into();
        assert_eq!(read_idmap(&config, &IDMAP_NEXT), Some(map));
        assert!(idmap_text(&IdMap::default()) == "[]" && idmap("x").is_err() && idmap("[]").is_ok());
        assert!(uuid("964b5879-8bc9-4c1b-9ddf-cd1aa1868b4c").is_ok() && uuid("964b5879").is_err());
    }
}
