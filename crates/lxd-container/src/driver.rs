//! Starting, stopping, freezing: the life of a container.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use liblxc::{Container, Lxc};
use lxd_host::Helper;
use lxd_sys::Dir;
use lxd_types::error::Context;
use lxd_types::helper::{ContainerRef, Started};
use lxd_types::{Error, Kind, Result};

use crate::cgroup::{Cgroups, Hierarchies};
use crate::raw;
use crate::render::render;
use crate::running::Running;
use crate::spec::{HostFacts, Spec};

/// How long the monitor of a container may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a start may take; a full disk or a hanging network file system is told apart from a slow machine by this.
const START: Duration = Duration::from_secs(120);

/// How long a killed container may take to vanish.
const KILL: Duration = Duration::from_secs(60);

/// The containers of this host: the door to liblxc and the helper. Cheap to clone.
#[derive(Clone)]
pub struct Containers {
    pub(crate) lxc: Lxc,
    pub(crate) helper: Helper,
    pub(crate) cgroups: Arc<Hierarchies>,
}

impl Containers {
    /// Opens liblxc and looks at the cgroup hierarchies.
    ///
    /// # Errors
    /// liblxc is not on this machine.
    pub fn new(helper: Helper) -> Result<Self> {
        let lxc = Lxc::open().map_err(|error| {
            Error::with_source(Kind::NotImplemented, "Containers are not supported", error)
        })?;
        let cgroups = Hierarchies::of_this_host().context("Failed to find the cgroup hierarchies")?;
        Ok(Self { lxc, helper, cgroups: Arc::new(cgroups) })
    }

    /// The version of liblxc.
    pub fn version(&self) -> String {
        self.lxc.version()
    }

    /// Whether this host has version 2 of cgroups alone.
    pub fn has_cgroup2_only(&self) -> bool {
        self.cgroups.is_v2_only()
    }

    /// Starts a container: writes `lxc.conf`, forks its monitor through the helper and returns when init runs. Storage must be mounted
    /// and devices plugged.
    ///
    /// # Errors
    /// The configuration is refused, or liblxc fails (the reason is in `lxc.log`).
    pub async fn start(&self, spec: &Spec) -> Result<Running> {
        let conf = render(spec, &HostFacts::collect())?;
        let job = spec.container();
        let log = prepare(spec, &conf).context("Failed to write the container's configuration")?;
        let (helper, ContainerRef { name, lxcpath, config }) = (self.helper.path().display(), &job);
        let text = format!("Failed to run: {helper} forkstart {name} {lxcpath} {config}: exit status 1");
        let failed = || Error::internal(text.clone());
        // Finding newuidmap and newgidmap, liblxc would start them (four processes) for what it can write itself.
        let starter = if raw::has_hooks(&spec.raw)? || spec.mount_hook.is_some() {
            self.helper.clone()
        } else {
            self.helper.without_programs()
        };
        let start = async {
            let mut process = starter.start("forkstart", &job, &[], Some(log)).await?;
            let started: Started = process.answer().await.map_err(|_| failed())?;
            // It ends by itself right after its answer.
            process.wait().await.context("Failed to wait for the helper")?;
            Ok(started)
        };
        let started = within(START, "Container did not start", start).await?;
        Running::new(job, started.init, started.monitor).map_err(|_| failed())
    }

    /// Finds a running container again, after a restart of the daemon; none when it does not run.
    ///
    /// # Errors
    /// Its monitor does not answer.
    pub async fn find(&self, container: &ContainerRef) -> Result<Option<Running>> {
        let init = self.call(container, Container::init_pid).await?;
        let Some(init) = init else { return Ok(None) };
        // It may end between any two of these steps: then it does not run, which is an answer too.
        let Ok(monitor) = lxd_sys::process::parent_of(init) else { return Ok(None) };
        Ok(Running::new(container.clone(), init, monitor).ok())
    }

    /// Kills a container and waits until its monitor is gone.
    ///
    /// # Errors
    /// It does not end in a minute.
    pub async fn stop(&self, running: &Running) -> Result<()> {
        let frozen = self.frozen(running);
        // Init of a pid namespace takes all its processes along.
        running.signal(libc::SIGKILL).ok();
        if frozen {
            // A frozen process dies only when it is thawed (cgroup v1).
            self.unfreeze(running).await.ok();
        }
        within(KILL, "Container did not stop", async {
            running.watch()?.ended().await;
            Ok(())
        })
        .await
    }

    /// Freezes all processes of a container.
    ///
    /// # Errors
    /// liblxc fails.
    pub async fn freeze(&self, running: &Running) -> Result<()> {
        self.call(running.container(), Container::freeze).await?.map_err(|e| lxc_error("Failed to freeze", e))
    }

    /// Lets a frozen container go on.
    ///
    /// # Errors
    /// liblxc fails.
    pub async fn unfreeze(&self, running: &Running) -> Result<()> {
        let thawed = self.call(running.container(), Container::unfreeze).await?;
        thawed.map_err(|e| lxc_error("Failed to unfreeze", e))
    }

    /// The cgroups of a running container, to read its counters and to change its limits.
    pub fn cgroups(&self, running: &Running) -> Cgroups {
        self.cgroups.of(running)
    }

    /// Whether this host has a cgroup controller, in either version.
    pub fn has_controller(&self, name: &str) -> bool {
        self.cgroups.has(name)
    }

    /// Where version 1 of a cgroup controller is mounted; none when version 2 has it, or nobody.
    pub fn hierarchy(&self, name: &str) -> Option<&Path> {
        self.cgroups.v1(name)
    }

    /// Whether a running container is frozen; read from its cgroup, without asking the monitor.
    pub fn frozen(&self, running: &Running) -> bool {
        self.cgroups.of(running).frozen()
    }

    /// Calls liblxc in a thread that may block, with a deadline.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        container: &ContainerRef,
        call: impl FnOnce(&Container) -> T + Send + 'static,
    ) -> Result<T> {
        let (lxc, container) = (self.lxc, container.clone());
        let work = tokio::task::spawn_blocking(move || {
            let handle = Container::new(lxc, &container.name, &container.lxcpath)?;
            Ok::<T, liblxc::Error>(call(&handle))
        });
        let done = within(ANSWER, "The container's monitor does not answer", async {
            work.await.map_err(|error| Error::with_source(Kind::Internal, "liblxc call failed", error))
        });
        done.await?.map_err(|error| lxc_error("Failed to open the container", error))
    }
}

impl Spec {
    /// How helpers and liblxc find this container.
    pub fn container(&self) -> ContainerRef {
        ContainerRef {
            name: self.name.clone(),
            lxcpath: self.lxcpath.to_string_lossy().into_owned(),
            config: self.log_dir.join("lxc.conf").to_string_lossy().into_owned(),
        }
    }
}

/// Writes `lxc.conf`, keeps the log of the start before, opens the helper's log.
fn prepare(spec: &Spec, conf: &str) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.log_dir)?;
    let dir = Dir::open(&spec.log_dir)?;
    dir.write_replace("lxc.conf", conf.as_bytes(), 0o640)?;
    match dir.rename("lxc.log", "lxc.log.old") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    open_log(&spec.log_dir.join("forkstart.log"))
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)
}

pub(crate) fn lxc_error(message: &str, error: liblxc::Error) -> Error {
    Error::with_source(Kind::Internal, message, error)
}

/// `work` with a deadline.
pub(crate) async fn within<T>(
    limit: Duration,
    late: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::unavailable(format!("{late} within {} seconds", limit.as_secs()))),
    }
}
