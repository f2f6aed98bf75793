//! Programs in a running container, and the terminals for them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use liblxc::{Console, Container};
use lxd_host::HelperProcess;
use lxd_types::error::Context;
use lxd_types::helper::{Exec, ExecReport};
use lxd_types::{Error, IdKind, IdMap, Kind, Result};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::driver::{Containers, lxc_error};
use crate::running::Running;

/// A program to run in a container.
#[derive(Debug)]
pub struct ExecSpec {
    /// Program and arguments; not empty.
    pub command: Vec<String>,
    /// The whole environment; see [`environment`].
    pub environment: BTreeMap<String, String>,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Working directory inside; `/` is taken when it cannot be entered.
    pub cwd: String,
    /// Standard input; a terminal when `terminal` is set.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
    /// Make standard input the controlling terminal.
    pub terminal: bool,
}

/// The environment of a program: the daemon's defaults (manual 3.4.3), over them the instance's `environment.*`, over them
/// what the request says. `snap` and `nixos`: whether `/snap` and `/etc/NIXOS` exist inside.
pub fn environment(
    instance: &BTreeMap<String, String>,
    request: &BTreeMap<String, String>,
    uid: u32,
    snap: bool,
    nixos: bool,
) -> BTreeMap<String, String> {
    let mut all = instance.clone();
    all.extend(request.iter().map(|(key, value)| (key.clone(), value.clone())));
    let mut path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    if snap {
        path.push_str(":/snap/bin");
    }
    if nixos {
        path.push_str(":/run/current-system/sw/bin");
    }
    let mut default = |key: &str, value: &str| {
        all.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    };
    default("PATH", &path);
    default("LANG", "C.UTF-8");
    if uid == 0 {
        default("HOME", "/root");
        default("USER", "root");
    }
    all
}

/// A program that runs in a container.
#[derive(Debug)]
pub struct ExecProcess {
    process: HelperProcess,
    pid: i32,
    pidfd: OwnedFd,
}

impl ExecProcess {
    /// Its pid in the daemon's namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `ESRCH` when it has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        lxd_sys::process::signal(&self.pidfd, signal)
    }

    /// A second descriptor of the process, for signals from elsewhere while [`ExecProcess::wait`] is awaited.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn pidfd(&self) -> io::Result<OwnedFd> {
        self.pidfd.try_clone()
    }

    /// Waits for its end: the exit status, or 128 + signal.
    ///
    /// # Errors
    /// The helper that waits for it is gone.
    pub async fn wait(mut self) -> Result<i32> {
        match self.process.answer().await? {
            ExecReport::Ended { status } => Ok(status),
            ExecReport::Started { .. } => Err(Error::internal("Helper gave a wrong answer")),
        }
    }
}

impl Containers {
    /// Runs a program in a running container.
    ///
    /// # Errors
    /// It cannot be attached. That there is no such program shows as exit status 127 (126: not executable).
    pub async fn exec(&self, running: &Running, spec: ExecSpec) -> Result<ExecProcess> {
        let job = Exec {
            container: running.container().clone(),
            command: spec.command,
            environment: spec.environment,
            uid: spec.uid,
            gid: spec.gid,
            cwd: spec.cwd,
            terminal: spec.terminal,
        };
        let fds = [spec.stdin.as_fd(), spec.stdout.as_fd(), spec.stderr.as_fd()];
        let mut process = self.helper.start("exec", &job, &fds, None).await?;
        let (report, mut fds) = process.answer_with_fds::<ExecReport>().await?;
        match (report, fds.pop()) {
            (ExecReport::Started { pid }, Some(pidfd)) => Ok(ExecProcess { process, pid, pidfd }),
            _ => Err(Error::internal("Helper gave a wrong answer")),
        }
    }

    /// A terminal in the container's own devpts, owned by `uid` and `gid` inside: master and slave.
    ///
    /// # Errors
    /// No terminals left (`lxc.pty.max`).
    pub async fn terminal(
        &self,
        running: &Running,
        idmap: &IdMap,
        (uid, gid): (u32, u32),
        size: Winsize,
    ) -> Result<(OwnedFd, OwnedFd)> {
        let owner = |kind, id| if idmap.is_empty() { Some(id) } else { idmap.to_host(kind, id) };
        let (uid, gid) = (owner(IdKind::Uid, uid), owner(IdKind::Gid, gid));
        let devpts = self.call(running.container(), Container::devpts_fd).await?;
        open_terminal(devpts, uid, gid, size).context("Failed to allocate a terminal")
    }

    /// Attaches to `/dev/console` of a running container.
    ///
    /// # Errors
    /// Somebody else has it.
    pub async fn console(&self, running: &Running) -> Result<Console> {
        let console = self.call(running.container(), Container::console).await?;
        console.map_err(|error| lxc_error("Failed to attach to the console", error))
    }

    /// What the console's ring buffer holds.
    ///
    /// # Errors
    /// liblxc fails.
    pub async fn console_log(&self, running: &Running) -> Result<Vec<u8>> {
        let log = self.call(running.container(), Container::console_log).await?;
        log.map_err(|error| lxc_error("Failed to read the console log", error))
    }

    /// Empties the console's ring buffer.
    ///
    /// # Errors
    /// liblxc fails.
    pub async fn console_log_clear(&self, running: &Running) -> Result<()> {
        let cleared = self.call(running.container(), Container::console_log_clear).await?;
        cleared.map_err(|error| lxc_error("Failed to clear the console log", error))
    }
}

/// Sets the size of a terminal (its master).
///
/// # Errors
/// As the `ioctl`.
pub fn resize(master: impl AsFd, size: Winsize) -> Result<()> {
    rustix::termios::tcsetwinsize(master, size)
        .map_err(|error| Error::with_source(Kind::Internal, "Failed to resize the terminal", error))
}

fn open_terminal(
    devpts: Option<OwnedFd>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Winsize,
) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = match devpts {
        Some(devpts) => rustix::fs::openat(devpts, OsStr::new("ptmx"), flags, Mode::empty())?,
        None => File::options().read(true).write(true).open("/dev/ptmx")?.into(),
    };
    rustix::pty::unlockpt(&master)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(
        &master,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    rustix::termios::tcsetwinsize(&master, size)?;
    rustix::fs::fchown(&slave, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
    Ok((master, slave))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_give_way() {
        let instance = BTreeMap::from([("LANG".into(), "de".into()), ("A".into(), "1".into())]);
        let request = BTreeMap::from([("A".into(), "2".into()), ("HOME".into(), "/x".into())]);
        let all = environment(&instance, &request, 0, true, false);
        assert_eq!((&*all["LANG"], &*all["A"], &*all["HOME"], &*all["USER"]), ("de", "2", "/x", "root"));
        assert!(all["PATH"].ends_with(":/bin:/snap/bin"));
        assert!(!environment(&instance, &request, 1000, false, false).contains_key("USER"));
    }
}
