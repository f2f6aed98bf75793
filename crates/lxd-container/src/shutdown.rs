//! A clean shutdown: the right signal, not before init can hear it, again if it was lost.

use std::time::Duration;

use liblxc::Container;
use lxd_types::{Error, Result};
use tokio::time::{Instant, sleep};

use crate::driver::Containers;
use crate::running::Running;

/// `SIGPWR`, which init systems take for "the power fails".
const SIGPWR: i32 = libc::SIGPWR;

/// `SIGRTMIN+3`: systemd's "halt"; the kernel's `SIGRTMIN` is 32 with two taken by the C library.
const SIGHALT: i32 = 37;

/// How often init's signal masks are looked at until it can hear us.
const POLL: Duration = Duration::from_millis(20);

/// When the signal is sent again, while nothing happens.
const AGAIN: Duration = Duration::from_secs(2);

/// How often it is sent at most: an init that was told thrice heard it.
const TIMES: u32 = 3;

impl Containers {
    /// Asks init to shut down and waits until the container is gone; `timeout` none waits for ever.
    ///
    /// A signal that comes before init has installed its handlers is lost (init of a pid namespace is immune to
    /// what it does not handle), so init's masks are watched first.
    ///
    /// # Errors
    /// It still runs after `timeout`.
    pub async fn shutdown(&self, running: &Running, timeout: Option<Duration>) -> Result<()> {
        let configured = self.halt_signal(running).await;
        let watch = running.watch()?;
        let ask = async {
            let mut sent = 0;
            while sent < TIMES {
                let Some(signal) = configured.or_else(|| heard(running.init())) else {
                    sleep(POLL).await;
                    continue;
                };
                if running.signal(signal).is_err() {
                    break; // It has ended.
                }
                sent += 1;
                sleep(AGAIN).await;
            }
            std::future::pending::<()>().await;
        };
        let deadline = async {
            match timeout {
                Some(timeout) => tokio::time::sleep_until(Instant::now() + timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = watch.ended() => Ok(()),
            () = ask => Ok(()), // Never: it waits for ever at its end.
            () = deadline => Err(Error::internal("Failed shutting down instance, status is \"Running\": context deadline exceeded")),
        }
    }

    /// The halt signal that `raw.lxc` sets, if it does.
    async fn halt_signal(&self, running: &Running) -> Option<i32> {
        let key = "lxc.signal.halt";
        let item = self.call(running.container(), move |c: &Container| c.running_config_item(key)).await;
        let number: i32 = item.ok()?.ok()?.trim().parse().ok()?;
        (number > 0).then_some(number)
    }
}

/// The signal that init listens to now: systemd's, else `SIGPWR`, else none yet.
fn heard(init: i32) -> Option<i32> {
    let masks = lxd_sys::process::signal_masks(init).ok()?;
    [SIGHALT, SIGPWR].into_iter().find(|signal| masks.handles(*signal))
}
