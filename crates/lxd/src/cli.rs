//! The command line of `lxd`, with the names and texts of the original.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser};

use crate::commands::Command;

/// `lxd [flags]` or `lxd [command]`.
#[derive(Debug, Parser)]
#[command(
    name = "lxd",
    version = lxd_api::API_LEVEL,
    disable_help_subcommand = false,
    about = "The LXD container manager (daemon)",
    long_about = "The LXD container manager (daemon)\n\n\
                  This is the LXD daemon command line. It's typically started directly by your\n\
                  init system and interacted with through a tool like `lxc`.\n\n\
                  There are however a number of subcommands that let you interact directly with\n\
                  the local LXD daemon and which may not be performed through the REST API alone."
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Globals,
    /// Flags of the daemon.
    #[command(flatten)]
    pub daemon: DaemonFlags,
    /// The command; none starts the daemon.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Globals {
    /// Show all debug messages
    #[arg(short, long, global = true)]
    pub debug: bool,
    /// Show all information messages
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Path to the log file
    #[arg(long, global = true, value_name = "FILE")]
    pub logfile: Option<PathBuf>,
    /// Log to syslog
    #[arg(long, global = true)]
    pub syslog: bool,
    /// Log tracing targets
    #[arg(long, global = true, value_delimiter = ',', value_name = "TARGETS")]
    pub trace: Vec<String>,
}

/// Flags of the daemon.
#[derive(Args, Clone, Debug, Default)]
pub struct DaemonFlags {
    /// The group of users that will be allowed to talk to LXD
    #[arg(long)]
    pub group: Option<String>,
    /// Path of the memory profile that SIGUSR1 writes
    #[arg(long, value_name = "FILE")]
    pub memprofile: Option<PathBuf>,
}

/// The arguments to parse: empty ones are left out where the daemon is meant, as scripts pass one.
pub fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let given: Vec<OsString> = given.collect();
    let known = Cli::command();
    let is_command = |arg: &OsString| {
        arg.to_str().is_some_and(|arg| arg == "help" || known.find_subcommand(arg).is_some())
    };
    if given.iter().skip(1).any(is_command) {
        return given;
    }
    given.into_iter().filter(|arg| !arg.is_empty()).collect()
}

/// The data directory: `LXD_DIR`, else the place of the original.
pub fn lxd_dir() -> PathBuf {
    match std::env::var_os("LXD_DIR") {
        Some(dir) if !dir.is_empty() => dir.into(),
        _ => "/var/lib/lxd".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Cli {
        let args = std::iter::once("lxd").chain(args.iter().copied()).map(OsString::from);
        Cli::try_parse_from(arguments(args)).unwrap()
    }

    #[test]
    fn the_daemon_takes_an_empty_argument() {
        let cli = parse(&["--group", "lxd", "--logfile", "/x", "--debug", ""]);
        assert!(cli.command.is_none() && cli.global.debug);
        assert_eq!(cli.daemon.group.as_deref(), Some("lxd"));
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_keep_their_arguments() {
        assert!(parse(&["version", "--debug"]).command.is_some());
    }
}
