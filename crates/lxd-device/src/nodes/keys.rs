//! Properties of devices that show nodes of the host's `/dev`.

use lxd_config::{Key, Table, keys};
use lxd_types::ValueError;

use crate::none::COMMON;

/// All properties of the types `unix-char` and `unix-block`.
pub static UNIX: Table = Table::new("device: unix-char and unix-block", &[COMMON, OWNER, PLACE])
    .under("restricted.devices.unix-char");

/// All properties of the type `unix-hotplug`.
pub static UNIX_HOTPLUG: Table = Table::new("device: unix-hotplug", &[COMMON, OWNER, BY_ID, LATER])
    .under("restricted.devices.unix-hotplug");

/// All properties of the type `usb`.
pub static USB: Table =
    Table::new("device: usb", &[COMMON, OWNER, BY_ID, LATER]).under("restricted.devices.usb");

/// All properties of the type `gpu`, `gputype=physical`.
pub static GPU: Table =
    Table::new("device: gpu (physical)", &[COMMON, OWNER, BY_ID, GPU_ONLY]).under("restricted.devices.gpu");

keys! {
    /// Owner of the nodes.
    OWNER = [
        /// UID of the device owner in the instance.
        UID: u32 = Key::new("uid").default("0"),
        /// GID of the device owner in the instance.
        GID: u32 = Key::new("gid").default("0"),
        /// Mode of the device in the instance.
        MODE: String = Key::new("mode").default("0660").check(mode),
    ]
}

keys! {
    /// A node by its path.
    PLACE = [
        /// Path on the host.
        SOURCE: String = Key::new("source").check(in_dev),
        /// Path inside the instance (one of "source" and "path" must be set).
        PATH: String = Key::new("path"),
        /// Device major number; that of the node on the host when not set.
        MAJOR: String = Key::new("major").check(number),
        /// Device minor number; that of the node on the host when not set.
        MINOR: String = Key::new("minor").check(number),
        /// Whether or not this device is required to start the instance.
        REQUIRED: bool = Key::new("required").default("true").since("unix_device_hotplug"),
    ]
}

keys! {
    /// A device by its identity.
    BY_ID = [
        /// The vendor id of the device.
        VENDOR: String = Key::new("vendorid").check(id),
        /// The product id of the device.
        PRODUCT: String = Key::new("productid").check(id),
    ]
}

keys! {
    /// Devices that may come later.
    LATER = [
        /// Whether or not this device is required to start the instance. All are plugged in when they appear.
        LATER_REQUIRED: bool = Key::new("required").default("false"),
    ]
}

keys! {
    /// What only GPUs have.
    GPU_ONLY = [
        /// The type of GPU: this one is "physical".
        GPU_TYPE: String = Key::new("gputype").default("physical").since("gpu_devices"),
        /// The card id of the GPU device.
        GPU_ID: String = Key::new("id").check(card),
        /// The PCI address of the GPU device.
        GPU_PCI: String = Key::new("pci").check(pci),
    ]
}

/// Paths of sources lie in `/dev` and lead nowhere else.
fn in_dev(value: &str) -> Result<(), ValueError> {
    let plain = value.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    match value.starts_with("/dev/") && plain {
        true => Ok(()),
        false => Err(ValueError::new("Path needs to be in /dev")),
    }
}

fn number(value: &str) -> Result<(), ValueError> {
    match value.parse::<u32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(ValueError::new("Invalid value for a UNIX device number")),
    }
}

fn mode(value: &str) -> Result<(), ValueError> {
    match u32::from_str_radix(value, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(()),
        _ => Err(ValueError::new("Invalid value for an octal file mode")),
    }
}

fn id(value: &str) -> Result<(), ValueError> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match value.len() == 4 && value.bytes().all(hex) {
        true => Ok(()),
        false => Err(ValueError::new("Invalid value, must be four lower case hex characters")),
    }
}

fn card(value: &str) -> Result<(), ValueError> {
    match value.parse::<u32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(ValueError(format!("Invalid card id {value:?}"))),
    }
}

fn pci(value: &str) -> Result<(), ValueError> {
    let good = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
    match !value.is_empty() && value.len() <= 12 && value.bytes().all(good) {
        true => Ok(()),
        false => Err(ValueError(format!("Invalid PCI address {value:?}"))),
    }
}
