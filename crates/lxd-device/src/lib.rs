//! Device types: what a device of an instance is, how it is checked, and what starting it means.
//!
//! A device knows neither containers nor virtual machines, neither the database nor the API. It gets its
//! properties and a [`Context`], and answers with data ([`Started`]): what the driver of the instance is to mount, to
//! attach and to limit, and what is to be remembered in `volatile.*`. The [`Registry`] finds the type of a device.

mod context;
pub mod disk;
mod later;
pub mod nic;
pub mod nodes;
pub mod none;
pub mod proxy;
mod registry;
mod started;

pub use context::{Attach, Context, DeviceType, Facts, Level, NetworkFacts};
pub use none::{COMMON, NoDevice};
pub use registry::{Change, Registry};
pub use started::{
    CgroupRule, DeviceNode, DiskLimits, MountEntry, MountKind, NicEntry, Propagation, Started, Volatile,
};
