//! The state of the server: schema, migrations, transactions, and plain query functions, one file per entity.
//!
//! Two SQLite files: `database/local.db` belongs to this server, `database/global/db.bin` is shared by a cluster
//! (see `ARCHITECTURE.md`). [`Db`] is the handle; query functions take a [`Tx`] and ids or names. They know no
//! permissions and have no effect but SQL, and no other crate contains SQL.

mod activate;
pub mod architecture;
pub mod certificates;
pub mod config;
mod devices;
pub mod image_aliases;
pub mod images;
pub mod instance_briefs;
pub mod instances;
pub mod journal;
pub mod network_acls;
pub mod network_forwards;
pub mod networks;
pub mod nodes;
pub mod profiles;
pub mod projects;
pub mod snapshots;
pub mod sql;
pub mod storage_pools;
pub mod storage_volumes;
pub mod used_by;
pub mod warnings;

mod backup;
pub mod backups;
mod db;
mod error;
mod group;
mod keyvalue;
mod open;
mod patch;
mod reserve;
mod schema;
#[cfg(test)]
mod testing;
mod time;
mod tx;
mod version;
mod worker;

pub use activate::needs_daemon;
pub use db::{Db, DbStats};
pub use open::check_foreign;
pub use schema::{GLOBAL_VERSION, LOCAL_VERSION};
pub use tx::Tx;
pub use version::Version;
pub use worker::WaitStats;

/// Configuration as stored: key to value.
pub type Config = std::collections::BTreeMap<String, String>;

/// Devices as stored: name to its configuration (with the key `type`).
pub type Devices = std::collections::BTreeMap<String, Config>;
