//! The core: what all use cases share. Registries are fields, there is no global state.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lxd_db::Db;
use lxd_task::journal::Store;
use lxd_task::lane::Lane;
use lxd_task::{EventHub, Gates, Operations};
use lxd_types::{Error, Kind, Result};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
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
    /// The databases.
    pub db: Db,
    /// The undo journal.
    pub journal: Arc<dyn Store>,
    /// Operations of this member.
    pub operations: Operations,
    /// Readers of `/1.0/events`.
    pub events: EventHub,
    /// Gates of instances, by `project/name`.
    pub gates: Gates,
    /// Becomes true when everything that belongs to the start is done.
    pub ready: watch::Sender<bool>,
    /// Cancelled when the daemon is to end.
    pub end: CancellationToken,
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
        let dir = options.dir.clone();
        let db = tokio::task::spawn_blocking(move || Db::open(&dir))
            .await
            .map_err(|panic| Error::with_source(Kind::Internal, "Opening the database panicked", panic))??;
        let events = EventHub::default();
        Ok(Arc::new(Self {
            journal: Arc::new(Journal(db.clone())),
            db,
            operations: Operations::new(events.clone()),
            events,
            gates: Gates::default(),
            ready: watch::Sender::new(false),
            end: CancellationToken::new(),
            lanes: Mutex::default(),
            paths,
            options,
        }))
    }

    /// The lane of an object, by its URL without query.
    pub fn lane(&self, object: &str) -> Lane {
        let mut lanes = self.lanes.lock().expect("no panic happens while the lock is held");
        lanes.entry(object.to_owned()).or_insert_with(|| Lane::new(object)).clone()
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
