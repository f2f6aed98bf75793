//! `lxd waitready`: blocks until the daemon has started, early start tasks included.

use std::time::{Duration, Instant};

use clap::Args;
use lxd_client::{Call, Client};
use lxd_types::{Error, Kind, Result};

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Flags of `lxd waitready`.
#[derive(Args, Clone, Debug)]
pub struct Waitready {
    /// Number of seconds to wait before giving up
    #[arg(short, long, default_value_t = 0, hide_default_value = true)]
    timeout: u64,
}

/// Runs the command.
///
/// # Errors
/// The daemon was not ready in time.
pub async fn run(flags: Waitready) -> Result<()> {
    let start = Instant::now();
    loop {
        let client = Client::local();
        let Err(error) = ask(&client).await else { return Ok(()) };
        if flags.timeout > 0 && start.elapsed() >= Duration::from_secs(flags.timeout) {
            let text = format!("LXD still not running after {}s timeout ({error})", flags.timeout);
            return Err(Error::new(Kind::Unavailable, text));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(client: &Client) -> lxd_client::Result<()> {
    client.envelope(Call::new("GET", "/1.0")).await?;
    client.envelope(Call::new("GET", "/internal/ready")).await.map(drop)
}
