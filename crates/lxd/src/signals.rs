//! Signals of the daemon (manual 3.6.3).

use lxd_types::Result;
use lxd_types::error::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// End; instances keep running.
    Stop,
    /// The host goes down: stop the instances, then end.
    PowerFailure,
    /// Write the memory profile.
    MemoryProfile,
    /// Open the log file again.
    ReopenLog,
}

/// The signals, caught from now on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    power: Signal,
    usr1: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// The runtime cannot.
    pub fn catch() -> Result<Self> {
        let catch = |kind: SignalKind| signal(kind).context("Failed to catch signals");
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            quit: catch(SignalKind::quit())?,
            power: catch(SignalKind::from_raw(rustix::process::Signal::POWER.as_raw()))?,
            usr1: catch(SignalKind::user_defined1())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.quit.recv() => Request::Stop,
            _ = self.power.recv() => Request::PowerFailure,
            _ = self.usr1.recv() => Request::MemoryProfile,
            _ = self.hangup.recv() => Request::ReopenLog,
        }
    }
}
