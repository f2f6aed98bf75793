//! System calls of instances that the daemon answers (manual 3.6.7): `security.syscalls.intercept.*`.
//!
//! The monitor of each instance keeps one connection and sends one call at a time, so there is one task per connection. It
//! does nothing that may block: what concerns the caller's memory and files is done by a helper, which has a deadline.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lxd_container::notify::{self, MESSAGE_MAX, Notice, Plan};
use lxd_container::seccomp::Intercept;
use lxd_device::nodes::NodesDevice;
use lxd_host::seqpacket::{Connection, Listener};
use lxd_instance::keys::{
    SECURITY_SYSCALLS_INTERCEPT_BPF, SECURITY_SYSCALLS_INTERCEPT_BPF_DEVICES,
    SECURITY_SYSCALLS_INTERCEPT_MKNOD, SECURITY_SYSCALLS_INTERCEPT_MOUNT,
    SECURITY_SYSCALLS_INTERCEPT_MOUNT_ALLOWED, SECURITY_SYSCALLS_INTERCEPT_MOUNT_FUSE,
    SECURITY_SYSCALLS_INTERCEPT_MOUNT_SHIFT, SECURITY_SYSCALLS_INTERCEPT_SETXATTR,
};
use lxd_sys::notify::Answer;
use lxd_types::error::Context;
use lxd_types::helper::{Intercepted, InterceptedCall, MountRules, SyscallAnswer};
use lxd_types::{Config, Error, IdMap, Result};
use rustix::io::Errno;
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;

use super::{InstanceKey, load};
use crate::SharedCore;

/// Calls that are worked on at the same time, of all instances of a project: an instance has one at most.
const HELPERS: usize = 16;

/// How long a call may take from the moment that it is its turn. The monitor of the instance answers nobody meanwhile.
const DEADLINE: Duration = Duration::from_secs(8);

/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens where monitors of instances send their calls, in place of what an earlier daemon left.
///
/// # Errors
/// The socket cannot be made.
pub fn bind(core: &SharedCore) -> Result<Listener> {
    let path = core.paths.seccomp_socket();
    let fresh = path.with_extension("new");
    let make = || {
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = Listener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        std::fs::rename(&fresh, &path)?;
        Ok(listener)
    };
    make().context(format!("Failed to listen on {}", path.display()))
}

/// Answers until `stop`.
pub async fn serve(core: SharedCore, listener: Listener, stop: CancellationToken) {
    let slots = Slots::default();
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = stop.cancelled() => return,
        };
        match connection {
            Ok(connection) => {
                let (core, slots, stop) = (core.clone(), slots.clone(), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = monitor(&core, &slots, connection) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "Failed to accept a connection of a monitor");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Who may run a helper now: slots by project, so that the calls of one tenant do not wait for those of another.
#[derive(Clone, Default)]
struct Slots(Arc<Mutex<HashMap<String, Arc<Semaphore>>>>);

impl Slots {
    /// Waits for a slot of the project that a cookie names, as long as it takes; then `work` has the deadline for itself.
    async fn within<T>(
        &self,
        cookie: &str,
        deadline: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let project = cookie.split_once('/').map_or("", |(project, _)| project);
        let slots = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, slots| Arc::strong_count(slots) > 1);
            all.entry(project.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(HELPERS))).clone()
        };
        // Never closed.
        let _slot = slots.acquire().await;
        tokio::time::timeout(deadline, work).await
    }
}

/// The calls of one container, until its monitor ends.
async fn monitor(core: &SharedCore, slots: &Slots, connection: Connection) {
    let mut buffer = [0; MESSAGE_MAX];
    loop {
        let (bytes, fds) = match connection.receive(&mut buffer).await {
            Ok((0, _)) => return,
            Ok(received) => received,
            Err(error) => return tracing::warn!(%error, "Failed to hear a monitor"),
        };
        let Some(notice) = Notice::parse(&buffer[..bytes]) else {
            return tracing::warn!(bytes, "A monitor sent what is no system call");
        };
        let work = answer(core, &notice, &fds);
        let answer = match slots.within(&notice.cookie, DEADLINE, work).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(
                    instance = notice.cookie,
                    error = error.chain(),
                    "An intercepted system call failed"
                );
                Answer::Error(Errno::PERM.raw_os_error())
            }
            Err(_) => {
                tracing::warn!(instance = notice.cookie, "An intercepted system call took too long");
                Answer::Error(Errno::TIMEDOUT.raw_os_error())
            }
        };
        if let Err(error) = connection.send(&notice.reply(answer)).await {
            return tracing::warn!(%error, "Failed to answer a monitor");
        }
    }
}

async fn answer(core: &SharedCore, notice: &Notice, fds: &[OwnedFd]) -> Result<Answer> {
    let call = match notify::plan(&notice.call) {
        Plan::Answer(answer) => return Ok(answer),
        Plan::Do(call) => call,
        Plan::Mount(call) => with_rules(call, present_rules(core, &notice.cookie).await?),
    };
    let job = Intercepted { id: notice.call.id, call };
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let mut process = core.helper()?.start("syscall", &job, &fds, None).await?;
    Ok(match process.answer().await? {
        SyscallAnswer::Value(value) => Answer::Value(value),
        SyscallAnswer::Error(number) => Answer::Error(number),
        SyscallAnswer::Continue => Answer::Continue,
    })
}

/// What the instance that a cookie names may mount now. Only root can send a cookie.
async fn present_rules(core: &SharedCore, cookie: &str) -> Result<MountRules> {
    let parts = cookie.split_once('/').ok_or_else(|| Error::internal(format!("Wrong cookie {cookie:?}")))?;
    let key = InstanceKey::stored(parts.0, parts.1)?;
    let folder = core.paths.devices().join(key.storage_name());
    let rules = mount_rules(&core.db.read(move |tx| load(tx, &key)).await?.config)?;
    let devices = tokio::task::spawn_blocking(move || NodesDevice::blocks(&folder))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        .context("Failed to list the devices of an instance")?;
    Ok(MountRules { devices, ..rules })
}

fn with_rules(call: InterceptedCall, known: MountRules) -> InterceptedCall {
    match call {
        InterceptedCall::Mount { source, target, kind, flags, data, rules: _ } => {
            InterceptedCall::Mount { source, target, kind, flags, data, rules: known }
        }
        other => other,
    }
}

/// What an instance may mount.
///
/// # Errors
/// A stored value cannot be read.
fn mount_rules(config: &Config) -> Result<MountRules> {
    let list = |text: Option<String>| -> Vec<String> {
        let words = text.unwrap_or_default();
        words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let fuse = list(SECURITY_SYSCALLS_INTERCEPT_MOUNT_FUSE.read(config)?);
    Ok(MountRules {
        allowed: list(SECURITY_SYSCALLS_INTERCEPT_MOUNT_ALLOWED.read(config)?),
        fuse: fuse
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(kind, program)| (kind.to_owned(), program.to_owned()))
            .collect(),
        shift: SECURITY_SYSCALLS_INTERCEPT_MOUNT_SHIFT.is_on(config),
        devices: Vec::new(),
    })
}

/// Which calls of an instance with this map are intercepted. Privileged ones make them themselves.
pub(super) fn wanted(config: &Config, idmap: &IdMap) -> Intercept {
    if idmap.is_empty() {
        return Intercept::default();
    }
    Intercept {
        mknod: SECURITY_SYSCALLS_INTERCEPT_MKNOD.is_on(config),
        setxattr: SECURITY_SYSCALLS_INTERCEPT_SETXATTR.is_on(config),
        mount: SECURITY_SYSCALLS_INTERCEPT_MOUNT.is_on(config),
        bpf: SECURITY_SYSCALLS_INTERCEPT_BPF.is_on(config)
            && SECURITY_SYSCALLS_INTERCEPT_BPF_DEVICES.is_on(config),
        sched_setscheduler: false,
    }
}

/// What this host lacks to intercept anything.
///
/// # Errors
/// A text that names the first key and what is missing.
pub(super) async fn require(core: &SharedCore, config: &Config) -> Result<()> {
    let facts = core.facts().await?;
    let has = |features: &std::collections::BTreeMap<String, String>, name: &str| {
        features.get(name).is_some_and(|there| there == "true")
    };
    let missing = [
        (&facts.kernel_features, "seccomp_listener"),
        (&facts.kernel_features, "seccomp_listener_continue"),
        (&facts.lxc_features, "seccomp_notify"),
        (&facts.lxc_features, "seccomp_proxy_send_notify_fd"),
    ]
    .into_iter()
    .find(|(features, name)| !has(features, name));
    let Some((_, name)) = missing else { return Ok(()) };
    let key =
        config.keys().find(|key| key.starts_with("security.syscalls.intercept.")).map_or("", String::as_str);
    Err(Error::bad_request(format!("{key} needs {name:?}, which this host does not have")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn calls_that_hang_hold_up_no_other_project_and_nobody_s_deadline() {
        let (slots, limit) = (Slots::default(), Duration::from_millis(400));
        let hang = || slots.within("p1/c1", limit, std::future::pending::<()>());
        let hanging = async { futures_util::future::join_all((0..HELPERS).map(|_| hang())).await };
        let others = async {
            tokio::task::yield_now().await;
            let begin = tokio::time::Instant::now();
            assert!(slots.within("p2/c1", limit, async {}).await.is_ok());
            assert!(begin.elapsed() < limit);
            // Waits for the others of its project, and has its whole time then.
            let slow = tokio::time::sleep(limit / 2);
            assert!(slots.within("p1/c2", limit, slow).await.is_ok());
        };
        let (hung, ()) = tokio::join!(hanging, others);
        assert!(hung.iter().all(Result::is_err));
        drop(slots.within("p3/c1", limit, async {}).await);
        assert_eq!(slots.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn rules_of_mounts() {
        let rules = mount_rules(&config(&[
            ("security.syscalls.intercept.mount.allowed", "ext4, xfs,,"),
            ("security.syscalls.intercept.mount.fuse", "ext4=fuse2fs"),
        ]));
        let rules = rules.unwrap();
        assert_eq!(rules.allowed, ["ext4", "xfs"]);
        assert_eq!(rules.fuse["ext4"], "fuse2fs");
        assert!(!rules.shift);
    }

    #[test]
    fn privileged_instances_call_the_kernel() {
        let config = config(&[("security.syscalls.intercept.mknod", "true")]);
        assert!(!wanted(&config, &IdMap::default()).any());
        assert!(wanted(&config, &IdMap::range(100_000, 65_536).unwrap()).mknod);
    }
}
