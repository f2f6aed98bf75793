//! Checked value types and the error vocabulary. No I/O.
//!
//! A value of one of these types is valid: it was parsed once, at the border, and is never checked again.

pub mod arch;
pub mod cidr;
pub mod compression;
pub mod config;
pub mod cpu;
pub mod cron;
pub mod error;
pub mod expiry;
pub mod go_time;
pub mod helper;
pub mod idmap;
pub mod instance;
pub mod mac;
pub mod memory;
pub mod names;
pub mod pattern;
pub mod size;
pub mod snapshot_pattern;
pub mod words;

pub use arch::Architecture;
pub use cidr::{Cidr, Ipv4Cidr, Ipv6Cidr};
pub use compression::{Algorithm, Compression};
pub use config::{Config, ConfigExt, Device, DeviceExt, Devices, Flag};
pub use cpu::{CpuAllowance, CpuLimit, CpuSet};
pub use cron::Schedule;
pub use error::{Error, Kind, Result};
pub use expiry::Expiry;
pub use idmap::{IdKind, IdMap, IdMapEntry, RawIdMap};
pub use instance::InstanceKind;
pub use mac::Mac;
pub use memory::MemoryLimit;
pub use pattern::Pattern;
pub use size::{BitRate, ByteSize, DiskRate};
pub use words::ValueError;
