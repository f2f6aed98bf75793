//! `lxd activateifneeded`: wakes a socket-activated daemon when there is something to do for it.

use lxd_client::{Call, Client};
use lxd_types::{Error, Result};

use crate::cli::lxd_dir;

/// Runs the command.
///
/// # Errors
/// Not root, the database cannot be read, or the daemon does not answer.
pub async fn run() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::forbidden("This must be run as root"));
    }
    if lxd_db::needs_daemon(&lxd_dir())? {
        Client::local().envelope(Call::new("GET", "/1.0")).await?;
    }
    Ok(())
}
