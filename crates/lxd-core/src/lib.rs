//! Use cases, one module per entity and one file per action: the only place where the database and the
//! drivers meet. A function takes the [`Core`], a [`Permit`](lxd_auth::Permit) and a parsed request.
//!
//! `PUT /1.0/instances/{name}/state` is `lxd-server/src/api/instances/state.rs`, which calls
//! `lxd-core/src/instances/state.rs`, which uses `lxd-db/src/instances.rs`.

pub mod background;
pub mod backups;
pub mod certificates;
mod core;
pub mod debug;
mod devices;
pub mod faults;
pub mod identity;
pub mod images;
pub mod instances;
mod inventory;
pub mod journal;
mod lifecycle;
mod moved;
pub mod network_acls;
pub mod networks;
mod paths;
pub mod profiles;
pub mod projects;
mod quiet;
pub mod recover;
mod resources;
pub mod server;
mod sql;
mod start;
pub mod storage_pools;
pub mod storage_volumes;
mod switches;
pub mod transfer;
pub mod turns;
pub mod undo;
pub mod warnings;

pub use crate::core::{Core, Options};
pub use lifecycle::{Lifecycle, with_project};
pub use paths::Paths;
pub use undo::Undo;

/// The core as everything holds it.
pub type SharedCore = std::sync::Arc<Core>;
