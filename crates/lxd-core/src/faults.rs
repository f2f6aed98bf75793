//! Faults on purpose, for the tests: the n-th point of a use case fails, or kills the daemon as `kill -9` does.
//!
//! Points stand before and after each journal entry and after each external effect. They do nothing unless the
//! daemon was started with `LXD_TEST_FAULTS=1` and a test armed one through `/internal/faults`.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lxd_host::{Cmd, CmdError, Detached, Output, Runner};
use lxd_types::{Error, Result};

/// What happens at the armed point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The step fails.
    Fail,
    /// The daemon ends at once.
    Kill,
}

/// The armed fault, if any.
#[derive(Debug, Default)]
pub struct Faults {
    enabled: bool,
    /// Held for a few instructions, never across an await.
    armed: Mutex<Armed>,
}

#[derive(Debug, Default)]
struct Armed {
    fault: Option<Fault>,
    at: u64,
    seen: u64,
}

impl Faults {
    /// Reads `LXD_TEST_FAULTS`.
    pub fn from_environment() -> Self {
        Self {
            enabled: std::env::var_os("LXD_TEST_FAULTS").is_some_and(|v| v == "1"),
            armed: Mutex::default(),
        }
    }

    /// Arms the point number `at` (from 1), counted from now; disarms with `None`. Returns how many points were passed
    /// since the last call.
    ///
    /// # Errors
    /// The daemon was not started for tests.
    pub fn arm(&self, fault: Option<Fault>, at: u64) -> Result<u64> {
        self.require()?;
        let mut armed = self.armed.lock().expect("no panic happens while the lock is held");
        let seen = armed.seen;
        *armed = Armed { fault, at, seen: 0 };
        Ok(seen)
    }

    /// Refuses what is only for tests.
    ///
    /// # Errors
    /// The daemon was not started for tests.
    pub fn require(&self) -> Result<()> {
        if self.enabled {
            return Ok(());
        }
        Err(Error::forbidden("Faults are only for daemons that were started with LXD_TEST_FAULTS=1"))
    }

    /// How long is waited for others: as usual, or as the tests wait (`LXD_TEST_PATIENCE`, seconds).
    pub fn patience(&self, usual: Duration) -> Duration {
        let given = std::env::var("LXD_TEST_PATIENCE").ok().filter(|_| self.enabled);
        given.and_then(|text| text.parse().ok()).map_or(usual, Duration::from_secs)
    }

    /// A runner with a point before and after each command; the same one when there are no faults.
    pub fn around(self: &Arc<Self>, runner: Arc<dyn Runner>) -> Arc<dyn Runner> {
        if self.enabled { Arc::new(FaultyRunner { runner, faults: self.clone() }) } else { runner }
    }

    /// A point: passes, unless it is the armed one.
    ///
    /// # Errors
    /// The armed fault.
    pub fn point(&self, name: &'static str) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let mut armed = self.armed.lock().expect("no panic happens while the lock is held");
        armed.seen += 1;
        let fault = armed.fault.filter(|_| armed.seen == armed.at);
        drop(armed);
        match fault {
            None => Ok(()),
            Some(Fault::Fail) => Err(Error::internal(format!("Fault on purpose at {name:?}"))),
            Some(Fault::Kill) => {
                let own = rustix::process::getpid();
                // The signal cannot be caught: the call does not return.
                let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
                Err(Error::internal("The daemon survived SIGKILL"))
            }
        }
    }
}

/// Runs commands, with points around them.
struct FaultyRunner {
    runner: Arc<dyn Runner>,
    faults: Arc<Faults>,
}

impl FaultyRunner {
    fn point(&self, name: &'static str) -> Result<(), CmdError> {
        self.faults
            .point(name)
            .map_err(|error| CmdError::Start { line: name.to_owned(), source: std::io::Error::other(error) })
    }
}

#[async_trait]
impl Runner for FaultyRunner {
    async fn run(&self, cmd: Cmd) -> Result<Output, CmdError> {
        self.point("before a command")?;
        let output = self.runner.run(cmd).await?;
        self.point("after a command")?;
        Ok(output)
    }

    async fn spawn(&self, cmd: Cmd, stderr: File) -> Result<Detached, CmdError> {
        self.point("before a service")?;
        let detached = self.runner.spawn(cmd, stderr).await?;
        // A service that runs was started: here only a kill can happen.
        if let Err(error) = self.point("after a service") {
            tracing::error!(%error, "A fault that cannot be");
        }
        Ok(detached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_armed_point_fails_and_only_in_tests() {
        let faults = Faults { enabled: true, armed: Mutex::default() };
        faults.arm(Some(Fault::Fail), 2).unwrap();
        assert!(faults.point("a").is_ok());
        assert!(faults.point("b").is_err());
        assert!(faults.point("c").is_ok());
        assert_eq!(faults.arm(None, 0).unwrap(), 3);
        assert!(Faults::default().arm(Some(Fault::Kill), 1).is_err());
    }
}
