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

use clap::Parser;

fn main() -> ExitCode {
    if let Some(status) = forward::to_helper() {
        return status;
    }
    let cli = cli::Cli::parse_from(cli::arguments(std::env::args_os()));
    let result = match cli.command {
        None => daemon::run(&cli.daemon, &cli.global),
        Some(command) => commands::run(command, &cli.global),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
