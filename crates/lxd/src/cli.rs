//! The command line of `lxd`, with the names and texts of the original.

mod help;
mod mistake;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser};
use lxd_types::{Error, Result};

use crate::commands::Command;

/// `lxd [flags]` or `lxd [command]`.
#[derive(Debug, Parser)]
#[command(
    name = "lxd",
    disable_help_flag = true,
    disable_help_subcommand = true,
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
    /// Print help
    #[arg(short, long, global = true)]
    pub help: bool,
    /// Print version number
    #[arg(long, global = true)]
    pub version: bool,
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

/// What a command line asks for.
pub enum Asked {
    /// Do this.
    Run(Box<Cli>),
    /// Print this and end well.
    Print(String),
}

/// Reads a command line.
///
/// # Errors
/// It makes no sense.
pub fn parse(given: impl Iterator<Item = OsString>) -> Result<Asked> {
    let mut arguments = arguments(given);
    let root = Cli::command();
    // `help COMMAND` is `COMMAND --help`.
    if arguments.get(1).is_some_and(|word| word == "help") {
        let command = arguments.get(2).and_then(|word| word.to_str());
        return Ok(Asked::Print(help::of(&root, command)));
    }
    // Help is given for a line that is incomplete, too.
    let ends = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    if let Some(at) = arguments[..ends].iter().position(|word| word == "--help" || word == "-h") {
        arguments.drain(at..);
        let command = arguments.iter().skip(1).find_map(|word| root.find_subcommand(word));
        return Ok(Asked::Print(help::of(&root, command.map(clap::Command::get_name))));
    }
    let cli =
        Cli::try_parse_from(arguments).map_err(|error| Error::bad_request(mistake::text(&error, &root)))?;
    match cli.global.version {
        true => Ok(Asked::Print(format!("{}\n", lxd_api::API_LEVEL))),
        false => Ok(Asked::Run(Box::new(cli))),
    }
}

/// The help of a command.
pub fn help_of(command: &str) -> String {
    help::of(&Cli::command(), Some(command))
}

/// The arguments to parse, without empty ones: scripts pass one. Only a query may be empty.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let given: Vec<OsString> = given.collect();
    match given.iter().skip(1).any(|word| word == "sql") {
        true => given,
        false => given.into_iter().filter(|word| !word.is_empty()).collect(),
    }
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

    fn asked(line: &str) -> Result<Asked> {
        parse(line.split(' ').map(OsString::from))
    }

    fn run(line: &str) -> Cli {
        match asked(line) {
            Ok(Asked::Run(cli)) => *cli,
            Ok(Asked::Print(text)) => panic!("{line}: {text}"),
            Err(error) => panic!("{line}: {}", error.chain()),
        }
    }

    fn printed(line: &str) -> String {
        match asked(line) {
            Ok(Asked::Print(text)) => text,
            _ => panic!("{line} prints nothing"),
        }
    }

    #[test]
    fn the_daemon_takes_an_empty_argument() {
        // Two blanks: an empty word between them.
        let cli = run("lxd --group lxd --logfile /x --debug ");
        assert!(cli.command.is_none() && cli.global.debug);
        assert_eq!(cli.daemon.group.as_deref(), Some("lxd"));
        assert!(run("lxd waitready  --timeout 5").command.is_some());
        Cli::command().debug_assert();
    }

    #[test]
    fn help_has_the_known_layout() {
        let text = printed("lxd help waitready");
        assert_eq!(text, printed("lxd waitready --help"));
        assert_eq!(text, printed("lxd -d waitready --timeout -h"));
        let (description, rest) = text.split_once("\nUsage:\n").unwrap();
        assert!(description.starts_with("Description:\n  Wait for LXD to be ready"), "{description}");
        let flags = "  lxd waitready [flags]\n\nFlags:\n  -t, --timeout   Number of seconds to wait before giving \
                     up\n\nGlobal Flags:\n  -d, --debug     Show all debug messages\n  -h, --help      Print help\n";
        assert!(rest.starts_with(flags), "{rest}");
        let all = printed("lxd --help");
        assert!(all.contains("\nAvailable Commands:\n  activateifneeded   Check if"), "{all}");
        assert!(all.contains("\nFlags:\n  -d, --debug ") && !all.contains("sql"), "{all}");
        assert!(printed("lxd init --help").contains("(default: 8443) (default -1)\n"));
        assert_eq!(printed("lxd --version"), format!("{}\n", lxd_api::API_LEVEL));
    }

    #[test]
    fn mistakes_are_named_as_users_know_them() {
        let number = "strconv.ParseInt: parsing \"x\": invalid syntax";
        for (line, wanted) in [
            ("lxd nosuch", "unknown command \"nosuch\" for \"lxd\"".to_owned()),
            ("lxd --nosuch", "unknown flag: --nosuch".to_owned()),
            ("lxd -x", "unknown shorthand flag: 'x' in -x".to_owned()),
            ("lxd version --no=1", "unknown flag: --no".to_owned()),
            ("lxd waitready --timeout", "flag needs an argument: --timeout".to_owned()),
            ("lxd --group", "flag needs an argument: --group".to_owned()),
            ("lxd waitready -t x", format!("invalid argument \"x\" for \"-t, --timeout\" flag: {number}")),
            (
                "lxd init --network-port x",
                format!("invalid argument \"x\" for \"--network-port\" flag: {number}"),
            ),
            ("lxd shutdown now", "Unexpected argument \"now\"".to_owned()),
        ] {
            match asked(line) {
                Err(error) => assert_eq!(error.chain(), wanted),
                Ok(_) => panic!("{line} is accepted"),
            }
        }
    }
}
