//! Networks: what a managed bridge may be, and how it is made on the host.
//!
//! [`config`] holds the rules (pure); [`bridge`] turns a checked configuration into a [`bridge::BridgeSpec`] and that
//! into an interface, addresses, firewall rules and a DHCP and DNS service. Nothing here knows the database.

pub mod acl;
pub mod bridge;
pub mod clash;
pub mod config;
pub mod firewall;
mod name;
mod state;
mod uplink;

/// The MTU of an interface that nobody gave another.
const DEFAULT_MTU: u32 = 1500;

pub use name::{check_interface, network_name};
pub use state::{instance_interfaces, interface_kind, interface_state};
pub use uplink::Uplink;
