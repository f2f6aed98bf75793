//! The host behind narrow doors: child processes ([`runner`]), our own small helper ([`helper`]), the kernel's
//! network configuration ([`netlink`]) and its settings ([`sysctl`]).
//!
//! Nothing here knows instances, networks or pools: the drivers say what they want, this crate does it.

mod device_events;
mod exited;
pub mod helper;
mod listener;
pub mod netlink;
mod ovs;
pub mod resources;
mod rule_events;
pub mod runner;
pub mod seqpacket;
pub mod sysctl;

pub use device_events::DeviceEvents;
pub use exited::exited;
pub use helper::{Helper, HelperProcess};
pub use listener::{Holder, holder};
pub use ovs::Ovs;
pub use rule_events::{RuleEvent, RuleEvents};
pub use runner::{Cmd, CmdError, Detached, Input, Output, OutputTo, RealRunner, Runner};
