//! `lxd shutdown`: stops all instances, then the daemon, and waits for its end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use lxd_client::{Call, Client};
use lxd_types::{Error, Kind, Result};

/// Pause between two looks whether the daemon is gone.
const PAUSE: Duration = Duration::from_millis(50);

/// Flags of `lxd shutdown`.
#[derive(Args, Clone, Debug)]
pub struct Shutdown {
    /// Force shutdown instead of waiting for running operations to finish
    #[arg(short, long)]
    force: bool,
    /// Number of seconds to wait before giving up
    #[arg(short, long, default_value_t = 0, hide_default_value = true)]
    timeout: u64,
}

/// Runs the command.
///
/// # Errors
/// No daemon runs, it refuses, or it has not ended in time (then it goes on ending).
pub async fn run(flags: Shutdown) -> Result<()> {
    let work = end(flags.force);
    if flags.timeout == 0 {
        return work.await;
    }
    tokio::time::timeout(Duration::from_secs(flags.timeout), work).await.unwrap_or_else(|_| {
        Err(Error::new(Kind::Unavailable, format!("LXD still running after {}s timeout", flags.timeout)))
    })
}

async fn end(force: bool) -> Result<()> {
    let client = Client::local();
    let server: lxd_api::server::Server = client.get("/1.0").await?;
    let path = format!("/internal/shutdown?force={force}");
    client.send::<()>("PUT", &path, None).await?;
    // The daemon has answered and goes: first nobody listens any more, then its process is gone.
    let process = PathBuf::from(format!("/proc/{}", server.environment.server_pid));
    while Client::local().envelope(Call::new("GET", "/")).await.is_ok() || is_lxd(&process) {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// True while the process runs and is a daemon: its number may be that of another one in the meantime, and one that has
/// ended stays a zombie until its parent looks.
fn is_lxd(process: &Path) -> bool {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.contains(" (lxd) ") && !stat.contains(") Z ")
}
