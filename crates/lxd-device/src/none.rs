//! Type `none`: stops the inheritance of a device of the same name from a profile (manual 3.2.2).

use async_trait::async_trait;
use lxd_config::{Blob, Key, Table, keys};
use lxd_types::{Device, InstanceKind, Result};

use crate::context::{Context, DeviceType, Facts, Level};
use crate::started::Started;

keys! {
    /// Properties that every device has.
    COMMON = [
        /// The type of the device.
        TYPE: String = Key::new("type").required().safe(),
        /// Free-form keys and values.
        USER: Blob = Key::new("user.*").live().safe(),
    ]
}

/// The properties of the type `none`.
pub static NONE: Table = Table::new("device: none", &[COMMON]);

/// The type `none`.
#[derive(Debug)]
pub struct NoDevice;

#[async_trait]
impl DeviceType for NoDevice {
    fn table(&self) -> &'static Table {
        &NONE
    }

    fn supports(&self, _kind: InstanceKind) -> bool {
        true
    }

    fn validate(&self, _device: &Device, _level: Level, _facts: &Facts) -> Result<()> {
        Ok(())
    }

    async fn start(&self, _context: &Context, _device: &Device) -> Result<Started> {
        Ok(Started::default())
    }
}
