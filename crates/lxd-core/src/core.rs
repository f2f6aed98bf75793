//! The core: what all use cases share. Registries are fields, there is no global state.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use chrono::Utc;
use lxd_auth::password::Guard;
use lxd_auth::{ServerCertificate, TrustStore};
use lxd_container::Containers;
use lxd_db::Db;
use lxd_device::Registry;
use lxd_host::netlink::Netlink;
use lxd_host::{Helper, RealRunner, Runner};
use lxd_image::{Occupancy, Store};
use lxd_network::bridge::Bridges;
use lxd_task::background::Runs;
use lxd_task::journal;
use lxd_task::lane::Lane;
use lxd_task::{EventHub, Gates, Operations};
use lxd_types::{Config, Error, Kind, Result};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::faults::Faults;
use crate::images::{Downloads, Known, Updates};
use crate::instances::guest::GuestEvents;
use crate::instances::snapshots::schedule::Seen;
use crate::instances::{FileSessions, HostIds, Idmapped, ListCache, Runtime};
use crate::journal::Journal;
use crate::quiet::Quiet;
use crate::server::Server;
use crate::switches::Switches;
use crate::turns::Turns;
use crate::{Paths, SharedCore};

/// How the daemon was started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory (`LXD_DIR`).
    pub dir: PathBuf,
    /// Group that owns the unix socket.
    pub group: Option<String>,
}

/// State of the server and the handles to everything that it drives.
pub struct Core {
    /// Layout of the data directory.
    pub paths: Paths,
    /// How the daemon was started.
    pub options: Options,
    /// What is switched off by environment variables.
    pub switches: Switches,
    /// The databases.
    pub db: Db,
    /// The undo journal.
    pub journal: Arc<dyn journal::Store>,
    /// What the journal held when the daemon started: what interrupted runs left to undo.
    pub left_to_undo: tokio::sync::Mutex<Vec<journal::Entry>>,
    /// Faults on purpose, for the tests.
    pub faults: Arc<Faults>,
    /// Operations of this member.
    pub operations: Operations,
    /// Readers of `/1.0/events`.
    pub events: EventHub,
    /// Readers of events inside instances.
    pub guests: GuestEvents,
    /// Gates of instances, by `project/name`.
    pub gates: Gates,
    /// Up to when schedules of snapshots were looked at.
    pub schedule_seen: Seen,
    /// What was seen of the background tasks.
    pub background: Runs,
    /// Instances as they were found last.
    pub lists: ListCache,
    /// File systems that can shift ids.
    pub idmapped: Idmapped,
    /// Requests, and whether there are none.
    pub quiet: Quiet,
    /// Helpers that touch files of instances, kept for the next request.
    pub file_sessions: FileSessions,
    /// Held while an instance is packed into an image.
    pub publishing: tokio::sync::Mutex<()>,
    /// Work that is done once however many want it.
    pub turns: Turns,
    /// By instance (`project/name`): held while its `backup.yaml` is written, and by whoever removes, renames or replaces its volume.
    pub backup_files: Turns,
    /// Who works in the folder of all backups.
    pub backup_store: Occupancy,
    /// What runs on this member.
    pub runtime: Runtime,
    /// Told when an instance began to have device nodes that may come and go.
    pub nodes: tokio::sync::Notify,
    /// Ids of this host for unprivileged instances; the error is told to whom needs them.
    pub host_ids: Result<HostIds, String>,
    /// The only door to child processes.
    pub runner: Arc<dyn Runner>,
    /// The storage drivers that work on this host.
    pub storage_drivers: Vec<lxd_storage::Driver>,
    /// Managed bridges.
    pub bridges: Bridges,
    /// The helper program; the error is told to whom needs it.
    pub helper: Result<Helper, String>,
    /// The container driver; the error is told to whom needs it.
    containers: Result<Containers, String>,
    /// Set right after the core was made, because device types hold it weakly.
    registry: OnceLock<Registry>,
    /// Becomes true when everything that belongs to the start is done.
    pub ready: watch::Sender<bool>,
    /// The server itself: configuration, certificate, listeners.
    pub server: Server,
    /// Trusted client certificates.
    pub trust: TrustStore,
    /// Counts the changes of `trust`: who holds a connection open looks again.
    pub trust_changes: watch::Sender<u64>,
    /// Users that an identity server names.
    pub identities: crate::identity::Identities,
    /// Limits guesses of the trust password.
    pub guesses: Guard,
    /// Cancelled when the daemon is to end.
    pub end: CancellationToken,
    /// The lanes of the pools: calls that may hang.
    pub pool_lanes: crate::storage_pools::Lanes,
    /// Storage pools that cannot be used at present.
    pub unavailable_pools: crate::storage_pools::Unavailable,
    /// Files of images.
    pub image_store: Store,
    /// Images that are being fetched.
    pub downloads: Downloads,
    /// When the images of each project were looked at for newer ones.
    pub image_updates: Updates,
    /// What simplestreams servers said last, and when.
    pub streams: Known,
    me: Weak<Core>,
    /// Held for a look-up or an insertion, never across an await.
    lanes: Mutex<HashMap<String, Lane>>,
}

impl Core {
    /// Opens the data directory. Nothing slow, and nothing that a broken entity could fail, happens here.
    ///
    /// # Errors
    /// The directory is foreign, newer, or cannot be used.
    pub async fn open(options: Options) -> Result<SharedCore> {
        let paths = Paths::new(&options.dir);
        let faults = Arc::new(Faults::from_environment());
        let runner = faults.around(Arc::new(RealRunner));
        // Asks programs of the host, which takes as long as opening the database.
        let asking = runner.clone();
        let storage_drivers = tokio::spawn(async move { lxd_storage::available(&*asking).await });
        let dir = options.dir.clone();
        let db = tokio::task::spawn_blocking(move || Db::open(&dir))
            .await
            .map_err(|panic| Error::with_source(Kind::Internal, "Opening the database panicked", panic))??;
        let config = stored_config(&db).await?;
        crate::server::stores::point_all(&paths, &config);
        let images = paths.images();
        let image_store =
            tokio::task::spawn_blocking(move || open_images(images)).await.map_err(|panic| {
                Error::with_source(Kind::Internal, "Opening the image store panicked", panic)
            })??;
        let server = Server::new(config, certificate(&paths).await?);
        let trust = TrustStore::default();
        trust.replace(crate::certificates::known(&db).await?);
        let helper = Helper::beside_executable().map_err(|error| error.chain());
        let containers =
            helper.clone().and_then(|helper| Containers::new(helper).map_err(|error| error.chain()));
        let storage_drivers = storage_drivers.await.map_err(|panic| {
            Error::with_source(Kind::Internal, "Looking for storage drivers panicked", panic)
        })?;
        let bridges = Bridges::new(runner.clone(), Netlink::open()?, paths.networks(), options.group.clone());
        let journal: Arc<dyn journal::Store> = Arc::new(Journal { db: db.clone(), faults: faults.clone() });
        // Before any request: its entries are those of a use case that runs.
        let left_to_undo = journal.all().await?;
        let events = EventHub::default();
        let file_sessions = FileSessions::default();
        let core = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            image_store,
            downloads: Downloads::default(),
            image_updates: Updates::default(),
            streams: Known::default(),
            journal,
            left_to_undo: tokio::sync::Mutex::new(left_to_undo),
            faults: faults.clone(),
            db,
            operations: Operations::new(events.clone()),
            events,
            guests: GuestEvents::default(),
            schedule_seen: Seen::default(),
            background: Runs::default(),
            gates: Gates::telling(sessions_end_at_actions(&file_sessions)),
            file_sessions,
            lists: ListCache::default(),
            idmapped: Idmapped::default(),
            quiet: Quiet::default(),
            publishing: tokio::sync::Mutex::default(),
            turns: Turns::default(),
            backup_files: Turns::default(),
            backup_store: Occupancy::default(),
            runtime: Runtime::default(),
            runner,
            storage_drivers,
            bridges,
            host_ids: HostIds::of_host().map_err(|error| error.chain()),
            nodes: tokio::sync::Notify::new(),
            switches: Switches::read(|name| std::env::var_os(name)),
            helper,
            containers,
            registry: OnceLock::new(),
            ready: watch::Sender::new(false),
            server,
            trust,
            trust_changes: watch::Sender::new(0),
            identities: crate::identity::Identities::default(),
            guesses: Guard::default(),
            pool_lanes: crate::storage_pools::Lanes::default(),
            unavailable_pools: crate::storage_pools::Unavailable::default(),
            end: CancellationToken::new(),
            lanes: Mutex::default(),
            paths,
            options,
        });
        let registry = crate::devices::registry(&core);
        core.registry.get_or_init(|| registry);
        crate::identity::apply(&core);
        // Before any request: an action must know what runs.
        crate::instances::reconcile::find_running(&core).await?;
        Ok(core)
    }

    /// This core as everything holds it.
    ///
    /// # Errors
    /// The daemon is ending.
    pub fn shared(&self) -> Result<SharedCore> {
        self.me.upgrade().ok_or_else(|| Error::unavailable("LXD is shutting down"))
    }

    /// The device types of this server.
    pub fn device_registry(&self) -> Registry {
        self.registry.get().cloned().unwrap_or_default()
    }

    /// The helper program.
    ///
    /// # Errors
    /// It was not found at the start.
    pub fn helper(&self) -> Result<&Helper> {
        self.helper.as_ref().map_err(|text| Error::internal(text.clone()))
    }

    /// The container driver.
    ///
    /// # Errors
    /// liblxc or the helper is not on this machine.
    pub fn containers(&self) -> Result<&Containers> {
        self.containers.as_ref().map_err(|text| Error::not_implemented(text.clone()))
    }

    /// Ids of this host for unprivileged instances.
    ///
    /// # Errors
    /// The host gives none.
    pub fn host_ids(&self) -> Result<HostIds> {
        self.host_ids.clone().map_err(Error::internal)
    }

    /// The lane of an object, by its URL without query.
    pub fn lane(&self, object: &str) -> Lane {
        let mut lanes = self.lanes.lock().expect("no panic happens while the lock is held");
        lanes.entry(object.to_owned()).or_insert_with(|| Lane::new(object)).clone()
    }

    /// All lanes.
    pub(crate) fn all_lanes(&self) -> Vec<Lane> {
        self.lanes.lock().expect("no panic happens while the lock is held").values().cloned().collect()
    }

    /// Runs a change on a task that the daemon owns and waits for it: a client that goes away does not leave
    /// it half done.
    ///
    /// # Errors
    /// What the change answers; a panic in it is an internal error.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match tokio::spawn(change).await {
            Ok(result) => result,
            Err(panic) => {
                tracing::error!(change = name, error = %panic, "A change panicked");
                Err(Error::new(Kind::Internal, format!("{name} panicked, see the log")))
            }
        }
    }
}

/// Whoever begins an action on an instance finds none of our helpers in its files.
fn sessions_end_at_actions(sessions: &FileSessions) -> impl Fn(&str) + Send + Sync + 'static {
    let sessions = sessions.clone();
    move |key| sessions.end(key)
}

/// The server's configuration as stored, global and local keys together.
async fn stored_config(db: &Db) -> Result<Config> {
    let mut config = db.read(lxd_db::config::all).await?;
    config.extend(db.local_read(lxd_db::config::all).await?);
    Ok(config)
}

async fn certificate(paths: &Paths) -> Result<ServerCertificate> {
    let (crt, key) = (paths.server_crt(), paths.server_key());
    let load = move || {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy().into_owned();
        ServerCertificate::load_or_make(&crt, &key, &host, Utc::now())
    };
    tokio::task::spawn_blocking(load)
        .await
        .map_err(|panic| Error::with_source(Kind::Internal, "Loading the certificate panicked", panic))?
}

/// The image store, without what uploads of an earlier run left: nothing is being received yet.
fn open_images(path: std::path::PathBuf) -> std::result::Result<Store, lxd_image::ImageError> {
    let store = Store::open(path)?;
    // It may be in a volume whose pool is not there yet, or not any more.
    if let Err(error) = store.sweep() {
        tracing::warn!(%error, "The folder of images cannot be used now");
    }
    Ok(store)
}
