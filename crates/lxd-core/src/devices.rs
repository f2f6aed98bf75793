//! The device types of this server, wired to what they need.

use lxd_device::Registry;

use crate::SharedCore;

/// All device types.
pub fn registry(_core: &SharedCore) -> Registry {
    Registry::default()
}
