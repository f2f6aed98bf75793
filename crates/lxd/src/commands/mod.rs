//! The commands of `lxd` besides the daemon itself, one file each.

use clap::Subcommand;
use lxd_types::Result;

use crate::cli::Globals;

/// A command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the server version
    Version,
}

/// Runs a command.
///
/// # Errors
/// As the command says.
pub fn run(command: Command, _globals: &Globals) -> Result<()> {
    match command {
        Command::Version => println!("{}", lxd_api::API_LEVEL),
    }
    Ok(())
}
