//! Networks: one file per action (`/1.0/networks`). Managed ones belong to the project `default`; what is special about those
//! on an interface of the host is in `uplinks`.

mod clashes;
mod create;
mod delete;
pub mod forwards;
mod get;
mod hosts;
mod kind;
mod leases;
pub(crate) mod nics;
mod rename;
mod settle;
pub(crate) mod spec;
mod start;
mod state;
mod update;
mod uplinks;
mod watch;

pub use clashes::watch_clashes;
pub use create::create;
pub use delete::delete;
pub use get::{get, list, managed, urls};
pub(crate) use kind::word as kind_word;
pub use leases::leases;
pub use rename::rename;
pub use settle::{Stored, settle, unchange};
pub use start::start_all;
pub use state::state;
pub use update::update;
pub use uplinks::settle as settle_uplink;
pub use watch::watch;

use lxd_db::{Tx, networks, nodes, projects};
use lxd_types::names::ProjectName;
use lxd_types::{Error, Result};

/// The URL of a network, without the project.
pub(crate) fn url(name: &str) -> String {
    format!("/1.0/networks/{name}")
}

/// A managed network that the project uses.
///
/// # Errors
/// `Failed loading network: Network not found`.
fn row(tx: &Tx<'_>, project: &ProjectName, name: &str) -> Result<networks::Network> {
    let owner = owner(tx, project)?;
    networks::get(tx, owner, name, nodes::LONE).map_err(|error| error.context("Failed loading network"))
}

/// The project whose networks this one uses.
///
/// # Errors
/// `Failed to load project "p": Project not found`.
fn owner(tx: &Tx<'_>, project: &ProjectName) -> Result<i64> {
    projects::owner_of(tx, project.as_str(), "networks")
        .map_err(|error| error.context(format!("Failed to load project {:?}", project.as_str())))
}

/// Bridges belong to the project `default`.
///
/// # Errors
/// The project has networks of its own.
fn require_default(tx: &Tx<'_>, project: &ProjectName) -> Result<()> {
    match owner(tx, project)? {
        projects::DEFAULT => Ok(()),
        _ => Err(Error::bad_request("Network type does not support non-default projects")),
    }
}
