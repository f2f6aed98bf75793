//! The running dnsmasq of a bridge: started unprivileged, watched, started again when it dies, and found again by a new
//! daemon instead of restarted.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lxd_host::{Cmd, Runner};
use lxd_sys::{Dir, process};
use lxd_types::error::Context;
use lxd_types::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dnsmasq::{self, Account, PID};

/// How long a service may take until it serves, or until it ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// A service as it shall run.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Directory of the network.
    pub directory: PathBuf,
    /// Arguments of dnsmasq.
    pub args: Vec<String>,
    /// The user's own lines.
    pub raw: String,
}

/// What is remembered of a running service, in the file `dnsmasq.pid`. A later release reads it, too.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Record {
    name: String,
    args: Vec<String>,
    pid: i32,
    start_time: u64,
    raw: String,
}

/// A service that runs, held by descriptor: its number cannot come to mean another process.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pidfd: Arc<OwnedFd>,
    record: Arc<Record>,
}

impl Running {
    /// The service that an earlier daemon (or we) left running in this directory, if it is still that one.
    pub async fn find(directory: PathBuf) -> Option<Self> {
        blocking(move || Self::recorded(&directory).or_else(|| Self::unrecorded(&directory))).await
    }

    fn recorded(directory: &Path) -> Option<Self> {
        let text = Dir::open(directory).and_then(|dir| dir.read_text(PID, 1 << 20)).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        // First the descriptor, then the comparison: what is compared is what is held.
        let pidfd = process::pidfd(record.pid).ok()?;
        let same = start_time(record.pid)? == record.start_time && is_dnsmasq(record.pid);
        same.then(|| Self { pidfd: Arc::new(pidfd), record: Arc::new(record) })
    }

    /// A service whose daemon was killed before it could write down that it had started it.
    fn unrecorded(directory: &Path) -> Option<Self> {
        let ours = format!("--conf-file={}", directory.join(dnsmasq::RAW).display());
        let pids = std::fs::read_dir("/proc").ok()?.flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.into_iter().find_map(|pid| {
            let pidfd = process::pidfd(pid).ok()?;
            let args = arguments(pid)?;
            let found = is_dnsmasq(pid) && args.contains(&ours);
            // It never counts as what it shall be: it is replaced.
            let raw = String::new();
            let start_time = start_time(pid)?;
            let record = Record { name: "dnsmasq".to_owned(), args, pid, start_time, raw };
            found.then(|| Self { pidfd: Arc::new(pidfd), record: Arc::new(record) })
        })
    }

    /// Starts a service and waits until it serves.
    ///
    /// # Errors
    /// It ended, with what it said, or it does not get ready.
    pub async fn start(runner: &dyn Runner, wanted: &Wanted) -> Result<Self> {
        let memory = rustix::fs::memfd_create("dnsmasq-stderr", rustix::fs::MemfdFlags::CLOEXEC);
        let mut said =
            File::from(memory.map_err(std::io::Error::from).context("Failed to create a memory file")?);
        let stderr = said.try_clone().context("Failed to duplicate a descriptor")?;
        let started = runner.spawn(Cmd::new("dnsmasq").args(&wanted.args), stderr).await;
        let pid = started.map_err(|e| Error::from(e).context("Failed to run: dnsmasq"))?.pid;
        let mut explain = |error: NotReady| {
            let mut text = String::new();
            let _ = said.rewind().and_then(|()| (&mut said).take(4096).read_to_string(&mut text));
            error.explain(text.trim())
        };
        let pidfd = match process::pidfd(pid) {
            // What cannot have its addresses may be gone before it is looked at.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(explain(NotReady::Ended)),
            pidfd => Arc::new(pidfd.context("Failed to watch dnsmasq")?),
        };
        if let Err(error) = wait_ready(pid, &pidfd).await {
            let _ = process::signal(pidfd.as_ref(), libc::SIGKILL);
            return Err(explain(error));
        }
        let record = Record {
            name: "dnsmasq".to_owned(),
            args: wanted.args.clone(),
            pid,
            start_time: start_time(pid).unwrap_or_default(),
            raw: fingerprint(&wanted.raw),
        };
        let running = Self { pidfd, record: Arc::new(record) };
        if let Err(error) = running.remember(wanted.directory.clone()).await {
            running.stop().await?;
            return Err(error);
        }
        Ok(running)
    }

    async fn remember(&self, directory: PathBuf) -> Result<()> {
        let text = serde_json::to_string_pretty(self.record.as_ref());
        let text = text.map_err(|e| Error::with_source(Kind::Internal, "Failed to write the pid file", e))?;
        blocking(move || Dir::open(directory)?.write_replace(PID, text.as_bytes(), 0o600))
            .await
            .context("Failed to write the pid file of dnsmasq")
    }

    /// Whether it runs as it shall run.
    pub fn is_as(&self, wanted: &Wanted) -> bool {
        self.record.args == wanted.args && self.record.raw == fingerprint(&wanted.raw)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.record.pid
    }

    /// Makes it read its static entries again.
    pub fn reload(&self) {
        // Success, or it is gone and the watcher starts a new one, which reads them anyway.
        let _ = process::signal(self.pidfd.as_ref(), libc::SIGHUP);
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&self) -> Result<()> {
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            let _ = process::signal(self.pidfd.as_ref(), signal);
            if tokio::time::timeout(PATIENCE, self.ended()).await.is_ok() {
                return Ok(());
            }
        }
        Err(Error::internal(format!("The DNS and DHCP service (process {}) does not end", self.pid())))
    }

    /// Waits until it is gone.
    pub async fn ended(&self) {
        ended(&self.pidfd).await;
    }
}

async fn ended(pidfd: &Arc<OwnedFd>) {
    if let Err(error) = lxd_host::exited(pidfd).await {
        tracing::error!(%error, "Cannot watch a process");
        std::future::pending().await
    }
}

/// Why a service is not there.
enum NotReady {
    Ended,
    Slow,
}

impl NotReady {
    fn explain(self, said: &str) -> Error {
        match self {
            Self::Ended => Error::internal(format!(
                "The DNS and DHCP service exited prematurely: Process exited with non-zero value 1 ({said:?})"
            )),
            Self::Slow => Error::internal("The DNS and DHCP service doesn't get ready"),
        }
    }
}

/// dnsmasq opens its sockets and files as root and gives up that identity last of all: then it serves.
async fn wait_ready(pid: i32, pidfd: &Arc<OwnedFd>) -> Result<(), NotReady> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    while begin.elapsed() < PATIENCE {
        if tokio::time::timeout(pause, ended(pidfd)).await.is_ok() {
            return Err(NotReady::Ended);
        }
        if has_given_up_root(pid) {
            return Ok(());
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Err(NotReady::Slow)
}

fn has_given_up_root(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uid.and_then(|line| line.split_whitespace().nth(1)).is_some_and(|effective| effective != "0")
}

fn is_dnsmasq(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "dnsmasq")
}

/// What a process was started with, without its own name.
fn arguments(pid: i32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.split_terminator('\0').skip(1).map(str::to_owned).collect())
}

/// When a process started; with its number it names a process for good.
fn start_time(pid: i32) -> Option<u64> {
    process::start_time(pid).ok()
}

fn fingerprint(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The unprivileged account that services of networks run as: `lxd` where there is one, else `nobody`; with the group
/// that may use the daemon's socket.
///
/// # Errors
/// The host has neither a user nor a group that would do.
pub(super) fn account(group: Option<&str>) -> Result<Account> {
    let passwd = std::fs::read_to_string("/etc/passwd").context("Failed to read /etc/passwd")?;
    let groups = std::fs::read_to_string("/etc/group").context("Failed to read /etc/group")?;
    let user = ["lxd", "nobody"].into_iter().find(|name| number_of(&passwd, name).is_some());
    let user = user.ok_or_else(|| Error::internal("There is no user \"nobody\""))?;
    let wanted = group.into_iter().chain(["lxd", "nogroup", "nobody"]);
    let found = wanted.filter_map(|name| Some((name.to_owned(), number_of(&groups, name)?))).next();
    let (group, gid) = found.ok_or_else(|| Error::internal("There is no group \"nogroup\""))?;
    Ok(Account { user: user.to_owned(), group, gid })
}

fn number_of(file: &str, name: &str) -> Option<u32> {
    let line = file.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Prepares the directory and its files, and says whether the static entries changed.
pub(super) async fn write_files(wanted: Wanted, hosts: Vec<(String, String)>, gid: u32) -> Result<bool> {
    let path = wanted.directory.clone();
    let written = blocking(move || -> std::io::Result<bool> {
        std::fs::create_dir_all(&wanted.directory)?;
        let dir = Dir::open(&wanted.directory)?;
        dir.chmod(".", 0o711)?;
        dir.mkdir_all(dnsmasq::HOSTS, 0o750)?;
        dir.chown(dnsmasq::HOSTS, 0, gid)?;
        dir.chmod(dnsmasq::HOSTS, 0o750)?;
        dir.write_replace(dnsmasq::RAW, format!("{}\n", wanted.raw).as_bytes(), 0o600)?;
        write_hosts(&dir.open_dir(dnsmasq::HOSTS)?, &hosts, gid)
    });
    written.await.context(format!("Failed to write {}", path.display()))
}

/// Makes the directory hold these files and no others.
fn write_hosts(dir: &Dir, hosts: &[(String, String)], gid: u32) -> std::io::Result<bool> {
    let mut changed = false;
    for entry in dir.read_dir(".")? {
        if !hosts.iter().any(|(name, _)| entry.name == name.as_str()) {
            dir.remove_file(&entry.name)?;
            changed = true;
        }
    }
    for (name, line) in hosts {
        changed |= write_host(dir, name, line, gid)?;
    }
    Ok(changed)
}

/// The addresses that stand in the entries of a directory, by the name of the file; none when it is not there yet.
pub(super) fn read_hosts(directory: &std::path::Path) -> std::io::Result<Vec<Entry>> {
    let dir = match Dir::open(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        dir => dir?,
    };
    let mut found = Vec::new();
    for entry in dir.read_dir(".")? {
        let Some(name) = entry.name.to_str() else { continue };
        found.push((name.to_owned(), super::hosts::addresses_of(&dir.read_text(name, 4096)?)));
    }
    Ok(found)
}

/// The name of an entry's file and its addresses.
pub(super) type Entry = (String, (Option<std::net::Ipv4Addr>, Option<std::net::Ipv6Addr>));

/// Writes one entry unless it stands there already.
pub(super) fn write_host(dir: &Dir, name: &str, line: &str, gid: u32) -> std::io::Result<bool> {
    if dir.read_text(name, 4096).is_ok_and(|old| old == line) {
        return Ok(false);
    }
    dir.write_replace(name, line.as_bytes(), 0o640)?;
    dir.chown(name, 0, gid)?;
    Ok(true)
}

/// Runs a short file access on a thread where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("file access does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(start_time(pid).unwrap() > 0 && !is_dnsmasq(pid));
        assert_eq!(start_time(-1), None);
    }

    #[test]
    fn account_is_unprivileged() {
        let account = account(None).unwrap();
        assert!(account.user != "root" && account.gid != 0);
    }

    #[test]
    fn hosts_are_exactly_those() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let host = |name: &str, line: &str| (name.to_owned(), line.to_owned());
        assert!(write_hosts(&dir, &[host("c1.eth0", "a\n"), host("c2.eth0", "b\n")], 0).unwrap());
        assert!(!write_hosts(&dir, &[host("c1.eth0", "a\n"), host("c2.eth0", "b\n")], 0).unwrap());
        assert!(write_hosts(&dir, &[host("c1.eth0", "a\n")], 0).unwrap());
        assert!(dir.exists("c1.eth0").unwrap() && !dir.exists("c2.eth0").unwrap());
    }
}
