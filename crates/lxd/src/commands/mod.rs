//! The commands of `lxd` besides the daemon itself, one file each.

mod activateifneeded;
mod init;
mod recover;
mod shutdown;
mod sql;
mod table;
mod waitready;

use std::future::Future;
use std::io::Write;

use clap::Subcommand;
use lxd_types::error::Context;
use lxd_types::{Error, Result};

/// A command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Check if LXD should be started
    #[command(long_about = "Check if LXD should be started\n\n\
        This command will check if LXD has any auto-started instances,\n\
        instances which were running prior to LXD's last shutdown or if it's\n\
        configured to listen on the network address.\n\n\
        If at least one of those is true, then a connection will be attempted to the\n\
        LXD socket which will cause a socket-activated LXD to be spawned.")]
    Activateifneeded,
    /// Command has been replaced with "lxd recover"
    Import {
        /// Ignored
        #[arg(hide = true)]
        name: Vec<String>,
    },
    /// Configure the LXD daemon
    #[command(after_help = "Examples:\n  init --minimal\n\
        \x20 init --auto [--network-address=IP] [--network-port=8443] [--storage-backend=dir]\n\
        \x20             [--storage-create-device=DEVICE] [--storage-create-loop=SIZE]\n\
        \x20             [--storage-pool=POOL] [--trust-password=PASSWORD]\n\
        \x20 init --preseed\n  init --dump")]
    Init(Box<init::Init>),
    /// Recover missing instances and volumes from existing and unknown storage pools
    #[command(
        long_about = "Recover missing instances and volumes from existing and unknown storage pools\n\n\
        This command is mostly used for disaster recovery. It will ask you about unknown storage pools and attempt to\n\
        access them, along with existing storage pools, and identify any missing instances and volumes that exist on\n\
        the pools but are not in the LXD database. It will then offer to recreate these database records."
    )]
    Recover,
    /// Tell LXD to shutdown all containers and exit
    #[command(long_about = "Tell LXD to shutdown all containers and exit\n\n\
        This will tell LXD to start a clean shutdown of all containers,\n\
        followed by having itself shutdown and exit.\n\n\
        This can take quite a while as containers can take a long time to\n\
        shutdown, especially if a non-standard timeout was configured for them.")]
    Shutdown(shutdown::Shutdown),
    /// Execute a SQL query against the LXD local or global database
    #[command(hide = true, long_about = sql::ABOUT)]
    Sql(sql::Sql),
    /// Show the server version
    Version {
        /// Print the release of this program
        #[arg(long)]
        build: bool,
    },
    /// Wait for LXD to be ready to process requests
    #[command(long_about = "Wait for LXD to be ready to process requests\n\n\
        This command will block until LXD is reachable over its REST API and\n\
        is done with early start tasks like re-starting previously started\n\
        containers.")]
    Waitready(waitready::Waitready),
}

/// Runs a command.
///
/// # Errors
/// As the command says.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Activateifneeded => wait(activateifneeded::run()),
        Command::Import { .. } => Err(Error::bad_request("Command has been replaced with \"lxd recover\"")),
        Command::Init(flags) => wait(init::run(*flags)),
        Command::Recover => wait(recover::run()),
        Command::Shutdown(flags) => wait(shutdown::run(flags)),
        Command::Sql(flags) => wait(sql::run(flags)),
        Command::Version { build: false } => print(&format!("{}\n", lxd_api::API_LEVEL)),
        Command::Version { build: true } => print(&format!("{}\n", env!("CARGO_PKG_VERSION"))),
        Command::Waitready(flags) => wait(waitready::run(flags)),
    }
}

/// Runs a command's future; commands need no threads.
fn wait(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("Failed to start the runtime")?;
    runtime.block_on(work)
}

/// Writes an answer to standard output.
///
/// # Errors
/// It cannot be written.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("Failed to write")
}
