//! The instance model: keys, profile expansion, devices, templates. Knows neither the database nor the host.

pub mod backup_yaml;
pub mod expand;
pub mod instance_type;
pub mod keys;
pub mod templates;

pub use expand::{Config, Devices, expand_config, expand_devices};
