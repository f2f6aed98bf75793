//! The wire: JSON of `/1.0`, of operations and of events. No behaviour, no I/O.
//!
//! One module per kind of object, named like the URL. The structs mirror the JSON: unknown members are
//! ignored and missing ones take the empty value, as clients of LXD expect. Types in which a wrong value
//! cannot be written down live in `lxd-types`.

pub mod certificate;
pub mod cluster;
pub mod event;
pub mod extensions;
pub mod guest;
pub mod image;
pub mod instance;
pub mod instance_state;
pub mod network;
pub mod network_acl;
pub mod network_forward;
pub mod operation;
pub mod profile;
pub mod project;
pub mod recover;
mod request;
pub mod resources;
pub mod response;
pub mod server;
mod status;
pub mod storage_pool;
pub mod storage_volume;
mod timestamp;
pub mod warning;
mod wire;
pub mod yaml;

use std::collections::BTreeMap;

pub use request::{RequestError, first_value, from_request};
pub use status::StatusCode;
pub use timestamp::Timestamp;
pub use wire::{EMPTY_LIST, EMPTY_MAP, from_json, from_text, from_value};

/// A map of configuration keys to values, as it stands in every object.
pub type ConfigMap = BTreeMap<String, String>;

/// Devices of an instance or a profile: name to properties.
pub type DeviceMap = BTreeMap<String, BTreeMap<String, String>>;

/// The API level that `server_version` and `lxc --version` report.
pub const API_LEVEL: &str = "4.18";

/// The only version of the REST API.
pub const API_VERSION: &str = "1.0";
