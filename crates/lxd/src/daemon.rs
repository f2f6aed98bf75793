//! The daemon's life: start, serve, end.
//!
//! The API is up before anything slow: only the directory, the database and the certificate come before it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lxd_core::server::Endpoints;
use lxd_core::warnings::WarningType;
use lxd_core::{Core, Options, SharedCore};
use lxd_server::{Network, Service, listener};
use lxd_types::error::Context;
use lxd_types::{Error, Result};
use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::{DaemonFlags, Globals, lxd_dir};
use crate::logging::{self, Log};
use crate::signals::{Request, Signals};
use crate::{layout, profile};

/// How long requests under way may take once the daemon is to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before a network address is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How long idle threads for blocking work are kept.
const IDLE_THREADS: Duration = Duration::from_secs(5);

/// Runs the daemon until a signal or `lxd shutdown` ends it.
///
/// # Errors
/// It cannot start.
pub fn run(flags: &DaemonFlags, globals: &Globals) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::forbidden("This must be run as root"));
    }
    lxd_sys::memory::keep_little();
    let log = logging::start(globals)?;
    // Before any thread is there: this takes the descriptors out of the environment.
    let inherited = inherited_socket()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(IDLE_THREADS)
        .build()
        .context("Failed to start the runtime")?;
    let result = runtime.block_on(live(flags, &log, inherited));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = &result {
        tracing::error!(error = error.chain(), "Failed to run the daemon");
    }
    result
}

/// The socket that systemd made for us, if it did.
fn inherited_socket() -> Result<Option<std::os::unix::net::UnixListener>> {
    let mut inherited = listenfd::ListenFd::from_env();
    if inherited.len() == 0 {
        return Ok(None);
    }
    inherited.take_unix_listener(0).context("The inherited socket is of another kind")
}

async fn live(
    flags: &DaemonFlags,
    log: &Log,
    inherited: Option<std::os::unix::net::UnixListener>,
) -> Result<()> {
    let of_systemd = inherited.is_some();
    let mut signals = Signals::catch()?;
    let dir = lxd_dir();
    tracing::info!(mode = "normal", path = %dir.display(), version = lxd_api::API_LEVEL, "LXD is starting");
    let group = flags.group.as_deref().map(group_id).transpose()?;
    lxd_db::check_foreign(&dir)?;
    layout::make(&dir)?;
    let _taken = layout::take(&dir)?;
    let (core, unix) = open(dir, flags, group, inherited).await?;
    log.tell(core.events.clone());
    let stop = CancellationToken::new();
    let service = Arc::new(Service::new(core.clone()));
    let network = Network::new(service.clone(), stop.clone())?;
    // It is set once, here.
    let _ = core.server.endpoints.set(network.clone());
    tokio::spawn(listener::accept_unix(unix, service.clone(), stop.clone()));
    let guests = lxd_server::devlxd::bind(&core.paths.devlxd())?;
    tokio::spawn(lxd_server::devlxd::accept(guests, core.clone(), stop.clone()));
    let calls = lxd_core::instances::intercept::bind(&core)?;
    tokio::spawn(lxd_core::instances::intercept::serve(core.clone(), calls, stop.clone()));
    tracing::info!(socket = %core.paths.unix_socket().display(), "REST API daemon is listening");
    tokio::spawn(listen(core.clone(), network));
    let start = tokio::spawn(start(core.clone()));
    wait_for_end(&core, &mut signals, log, flags.memprofile.clone()).await;
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    start.abort();
    end(&core, &stop, of_systemd).await;
    Ok(())
}

/// What must be there before the API: databases, certificate, socket.
async fn open(
    dir: PathBuf,
    flags: &DaemonFlags,
    group: Option<u32>,
    inherited: Option<std::os::unix::net::UnixListener>,
) -> Result<(SharedCore, UnixListener)> {
    let (socket, of_systemd) = (dir.join("unix.socket"), inherited.is_some());
    let unix = match inherited {
        Some(listener) => listener::adopt_unix(listener)?,
        None => listener::bind_unix(&socket, group).await?,
    };
    let options = Options { dir, group: flags.group.clone() };
    match Core::open(options).await {
        Ok(core) => Ok((core, unix)),
        Err(error) => {
            // Nobody is to take it for the socket of a daemon that runs.
            if !of_systemd {
                let _ = std::fs::remove_file(socket);
            }
            Err(error)
        }
    }
}

/// The id of a group of this host.
fn group_id(name: &str) -> Result<u32> {
    let groups = std::fs::read_to_string("/etc/group").context("Failed to read /etc/group")?;
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    found.ok_or_else(|| Error::not_found(format!("Group {name:?} does not exist")))
}

/// Opens the network listeners that are configured. One that cannot be opened is tried again until it can
/// be, or until somebody changes the address.
async fn listen(core: SharedCore, network: Arc<Network>) {
    loop {
        let config = core.server.config();
        let address = |key: &str| config.get(key).map_or("", String::as_str);
        let https = network.listen(address("core.https_address")).await;
        let debug = network.listen_debug(address("core.debug_address")).await;
        let Err(error) = https.and(debug) else { return };
        core.warn(WarningType::ListenerUnavailable, &error.chain()).await;
        tokio::time::sleep(RETRY).await;
    }
}

/// What may take its time: recovery, networks, pools, autostart.
async fn start(core: SharedCore) {
    let ready = core.ready.subscribe();
    tokio::join!(core.start(), tell_systemd(ready));
    tracing::info!("Daemon started");
}

/// The unit has started when the daemon is ready; starting its instances may take longer than systemd waits.
async fn tell_systemd(mut ready: watch::Receiver<bool>) {
    if ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
        tracing::warn!(%error, "Failed to tell systemd that the daemon is ready");
    }
}

/// Returns when the daemon is to end.
async fn wait_for_end(core: &SharedCore, signals: &mut Signals, log: &Log, memprofile: Option<PathBuf>) {
    loop {
        let request = tokio::select! {
            request = signals.next() => request,
            () = core.end.cancelled() => return,
        };
        tracing::info!(request = ?request, "Received signal");
        match request {
            Request::Stop => return,
            Request::PowerFailure => {
                core.shutdown_instances().await;
                return;
            }
            Request::MemoryProfile => write_profile(memprofile.as_ref()),
            Request::ReopenLog => {
                if let Err(error) = log.reopen() {
                    tracing::warn!(error = error.chain(), "Failed to reopen the log");
                }
            }
        }
    }
}

fn write_profile(path: Option<&PathBuf>) {
    let Some(path) = path else { return };
    if let Err(error) = profile::write(path) {
        tracing::warn!(error = error.chain(), "Failed to write the memory profile");
    }
}

/// No new requests; what can be cancelled is; what runs may finish; the rest stays in the journal.
async fn end(core: &SharedCore, stop: &CancellationToken, of_systemd: bool) {
    tracing::info!("Starting shutdown sequence");
    core.end.cancel();
    stop.cancel();
    core.operations.cancel_all();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while core.operations.unfinished() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let renewed = lxd_core::instances::backup_yaml::renew(core);
    if !matches!(tokio::time::timeout(PATIENCE, renewed).await, Ok(Ok(()))) {
        tracing::warn!("Some backup.yaml are not up to date");
    }
    let db = core.db.clone();
    if tokio::task::spawn_blocking(move || db.close()).await.is_err() {
        tracing::warn!("Closing the database panicked");
    }
    // The socket of systemd stays; our own would only mislead clients.
    if !of_systemd {
        let _ = std::fs::remove_file(core.paths.unix_socket());
    }
    tracing::info!("Daemon stopped");
}
