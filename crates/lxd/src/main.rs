//! `lxd`: the daemon and its commands.
//!
//! Names that other programs call (`fork*`, `callhook`) go to `lxd-helper` before anything else happens;
//! then the command line decides.

mod cli;
mod commands;
mod daemon;
mod forward;
mod layout;
mod logging;
mod profile;
mod signals;

use std::process::ExitCode;

use lxd_types::Result;

use cli::Asked;

fn main() -> ExitCode {
    if let Some(status) = forward::to_helper() {
        return status;
    }
    match cli::parse(std::env::args_os()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn run(asked: Asked) -> Result<()> {
    let cli = match asked {
        Asked::Print(text) => return commands::print(&text),
        Asked::Run(cli) => cli,
    };
    match cli.command {
        None => daemon::run(&cli.daemon, &cli.global),
        Some(command) => commands::run(command),
    }
}
