//! Where images and backups are kept: in folders of the data directory, or in custom volumes (manual 3.2.7,
//! `storage.images_volume` and `storage.backups_volume`; API extension `daemon_storage`).
//!
//! The recorded key is the truth, and recording it the commit point: before it the copy is removed again, after it the
//! folder's name is made to lead to the new place and the old content goes. In the data directory a store is a folder, or a
//! symbolic link to the volume; what takes that name next waits beside it as `NAME.new`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lxd_db::{Tx, nodes, projects, storage_pools, storage_volumes};
use lxd_image::{Inside, Occupancy};
use lxd_storage::{VolumeKind, VolumeRef, tree};
use lxd_sys::{Dir, FileKind};
use lxd_task::gate;
use lxd_types::error::Context;
use lxd_types::names::{Fingerprint, PoolName, ProjectName, VolumeName};
use lxd_types::{Config, ConfigExt, Error, Kind, Result};
use serde::{Deserialize, Serialize};

use crate::journal::Log;
use crate::paths::Paths;
use crate::storage_volumes::VolumeKey;
use crate::{Core, SharedCore, Undo};

/// How long a move waits for whoever is writing into the store.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something of the whole server that may live in a volume.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// The files of images.
    Images,
    /// Backups that wait for their download.
    Backups,
}

impl Store {
    const ALL: [Self; 2] = [Self::Images, Self::Backups];

    fn key(self) -> &'static str {
        match self {
            Self::Images => "storage.images_volume",
            Self::Backups => "storage.backups_volume",
        }
    }

    /// Its name in the data directory.
    fn folder(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Backups => "backups",
        }
    }

    /// What takes the name next.
    fn next(self) -> String {
        format!("{}.new", self.folder())
    }

    /// Whether something of this name in a volume is of the store. Nothing else is ever removed.
    fn owns(self, name: &str) -> bool {
        match self {
            Self::Images => {
                name.starts_with('.') || name.trim_end_matches(".rootfs").parse::<Fingerprint>().is_ok()
            }
            Self::Backups => ["custom", "instances"].contains(&name),
        }
    }

    fn occupancy(self, core: &Core) -> &Occupancy {
        match self {
            Self::Images => &core.image_store.occupancy,
            Self::Backups => &core.backup_store,
        }
    }
}

/// A volume for a store, as its key names it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    pool: PoolName,
    name: VolumeName,
}

impl Place {
    /// Reads a key's value; nothing when that is empty: the place is the data directory.
    fn parse(text: &str) -> Result<Option<Self>> {
        // The reference's answer, status included.
        let wrong = || Error::internal("Invalid syntax for volume, must be <pool>/<volume>");
        if text.is_empty() {
            return Ok(None);
        }
        let (pool, name) = text.split_once('/').ok_or_else(wrong)?;
        let (Ok(pool), Ok(name)) = (pool.parse(), name.parse()) else { return Err(wrong()) };
        Ok(Some(Self { pool, name }))
    }

    fn key(&self) -> VolumeKey {
        let (pool, name) = (self.pool.clone(), self.name.clone());
        VolumeKey { pool, kind: VolumeKind::Custom, project: ProjectName::default_project(), name }
    }

    fn volume(&self) -> VolumeRef {
        VolumeRef::custom(&ProjectName::default_project(), &self.name)
    }

    /// The volume's directory, whether or not its pool is there.
    fn path(&self, paths: &Paths) -> PathBuf {
        paths.storage_pools().join(self.pool.as_str()).join(self.volume().path())
    }

    /// Opens the volume.
    async fn open(&self, core: &Core) -> Result<std::sync::Arc<Dir>> {
        let pool = crate::storage_pools::open(core, self.pool.as_str()).await?;
        Ok(pool.mount(&self.volume()).await?.dir)
    }
}

/// Whether the server itself keeps something in a volume.
pub(crate) fn is_used(config: &Config, row: &storage_volumes::Volume) -> bool {
    row.kind == VolumeKind::Custom.number()
        && row.project_id == projects::DEFAULT
        && Store::ALL.iter().any(|store| {
            config.value(store.key()).split_once('/') == Some((row.pool.as_str(), row.name.as_str()))
        })
}

/// A store on its way. Nobody works in it, and nobody acts on the new volume, as long as this lives.
pub(super) struct Moving {
    store: Store,
    from: String,
    to: String,
    place: Option<Place>,
    _alone: Inside,
    _gate: Option<gate::Guard>,
}

/// The stores whose keys change, ready to be moved.
///
/// # Errors
/// A volume cannot be used for it, somebody works in the store.
pub(super) async fn enter(core: &SharedCore, old: &Config, new: &Config) -> Result<Vec<Moving>> {
    let mut moves = Vec::new();
    for store in Store::ALL {
        let (from, to) = (old.value(store.key()), new.value(store.key()));
        if from == to {
            continue;
        }
        // What an earlier run left is put right first.
        let mut ready = core.ready.subscribe();
        let started = tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready)).await;
        started.map_err(|_| Error::unavailable("The server is still starting")).map(drop)?;
        let moving = enter_one(core, store, (from, to), new).await;
        moves.push(moving.context(format!("Failed validation of {:?}", store.key()))?);
    }
    Ok(moves)
}

async fn enter_one(
    core: &SharedCore,
    store: Store,
    (from, to): (&str, &str),
    new: &Config,
) -> Result<Moving> {
    let place = Place::parse(to)?;
    let gate = match &place {
        None => None,
        Some(place) => {
            let gate = crate::storage_volumes::enter(core, [&place.key()], "move").await;
            let wanted = place.clone();
            core.db.read(move |tx| check(tx, &wanted)).await?;
            let gate = gate?;
            let dir = place.open(core).await?;
            let empty = blocking(move || Ok(dir.read_dir(".")?.is_empty())).await?;
            let wanted_twice = Store::ALL.iter().any(|other| *other != store && new.value(other.key()) == to);
            if !empty || wanted_twice {
                return Err(Error::internal(format!("Storage volume {to:?} isn't empty")));
            }
            Some(gate)
        }
    };
    let alone = store.occupancy(core).alone(PATIENCE).await;
    let alone = alone.ok_or_else(|| {
        Error::busy(format!(
            "Somebody is writing into the {} of this server: try again later",
            store.folder()
        ))
    })?;
    let (from, to) = (from.to_owned(), to.to_owned());
    Ok(Moving { store, from, to, place, _alone: alone, _gate: gate })
}

/// The reference's checks, in its words; beyond it a volume must not be attached: who is root in the instance could put
/// anything into everybody's images.
fn check(tx: &Tx<'_>, place: &Place) -> Result<()> {
    let shown = format!("\"{}/{}\"", place.pool, place.name);
    let pool = storage_pools::get(tx, place.pool.as_str(), nodes::LONE)
        .map_err(|error| error.context(format!("Unable to load storage pool \"{}\"", place.pool)))?;
    let kind = VolumeKind::Custom.number();
    let row =
        storage_volumes::get(tx, pool.id, projects::DEFAULT, kind, place.name.as_str()).map_err(|error| {
            let error = match error.kind() {
                Kind::NotFound => Error::not_found("Storage volume not found"),
                _ => error,
            };
            error.context(format!("Failed loading storage volume {shown} in \"default\" project"))
        })?;
    if row.content == storage_volumes::BLOCK {
        let text = format!("Storage volume {shown} in \"default\" project is not filesystem content type");
        return Err(Error::internal(text));
    }
    if !storage_volumes::snapshots(tx, row.id)?.is_empty() {
        return Err(Error::internal("Storage volumes for use by LXD itself cannot have snapshots"));
    }
    if let Some(user) = storage_volumes::used_by(tx, &row)?.first() {
        let text = format!(
            "Storage volume {shown} is attached ({}): LXD shares its volumes with nobody",
            user.url()
        );
        return Err(Error::bad_request(text));
    }
    Ok(())
}

/// Carries the stores to their new places; `commit` records the keys.
///
/// # Errors
/// Something cannot be copied (then all is as before), or what is left of an old place cannot be removed.
pub(super) async fn carry(
    core: &SharedCore,
    moves: &[Moving],
    commit: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    if moves.is_empty() {
        return commit().await;
    }
    core.undoable(async |undo: &mut Log| {
        for moving in moves {
            let Moving { store, from, to, .. } = moving;
            undo.push(Undo::MoveStore { store: *store, from: from.clone(), to: to.clone() }).await?;
            let failed = || format!("Failed to move the {} of this server", store.folder());
            copy(core, moving).await.map_err(|error| error.context(failed()))?;
        }
        core.faults.point("stores copied")?;
        commit().await?;
        core.faults.point("stores recorded")?;
        for moving in moves {
            settle(core, moving.store, &moving.from, &moving.to).await?;
        }
        core.faults.point("stores moved")
    })
    .await
}

/// Copies a store to its new place and waits until the disk has it.
async fn copy(core: &Core, moving: &Moving) -> Result<()> {
    let target = match &moving.place {
        Some(place) => Some(place.open(core).await?),
        None => None,
    };
    let (root, store) = (core.paths.root().to_owned(), moving.store);
    let copied = tokio::task::spawn_blocking(move || {
        let failed = "Failed to open the folders";
        let source = Dir::open(root.join(store.folder()).join(".")).context(failed)?;
        let target = match target {
            Some(target) => target,
            None => {
                let root = Dir::open(&root).context(failed)?;
                root.remove_tree(store.next()).context("Failed to remove an earlier try")?;
                root.mkdir(store.next(), 0o700).context("Failed to create the folder")?;
                root.open_dir(store.next()).context(failed)?.into()
            }
        };
        tree::copy(&source, &target)?;
        rustix::fs::syncfs(&*target).map_err(io::Error::from).context("Failed to write to the disk")
    });
    copied.await.map_err(|panic| Error::internal(panic.to_string()))?
}

/// Makes a store be where the server's configuration says, and removes what is left of it at the other place.
///
/// # Errors
/// The pool is not there, files cannot be removed.
pub(crate) async fn settle(core: &Core, store: Store, from: &str, to: &str) -> Result<()> {
    let recorded = core.server.config().value(store.key()).to_owned();
    let gone = if recorded == to { from } else { to };
    let (paths, place) = (core.paths.clone(), Place::parse(&recorded)?);
    blocking(move || point(&paths, store, place.as_ref())).await?;
    core.faults.point("store leads to its place")?;
    let root = core.paths.root().to_owned();
    blocking(move || Dir::open(root)?.remove_tree(store.next())).await?;
    let Some(gone) = Place::parse(gone)? else { return Ok(()) };
    let opened = match gone.open(core).await {
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        other => other?,
    };
    blocking(move || empty(&opened, store)).await
}

/// Removes a store from a volume, which is like a new one then.
fn empty(volume: &Dir, store: Store) -> io::Result<()> {
    for entry in volume.read_dir(".")? {
        if entry.name.to_str().is_some_and(|name| store.owns(name)) {
            volume.remove_tree(&entry.name)?;
        }
    }
    let fresh = VolumeRef::custom(&ProjectName::default_project(), &"any".parse().map_err(io::Error::other)?);
    volume.chmod(".", fresh.mode())
}

/// Makes the names of all stores lead to where the configuration says; for the start, before anybody uses them. A move that
/// was interrupted behind its commit goes on here, and a data directory that was itself moved gets its new links.
pub(crate) fn point_all(paths: &Paths, config: &Config) {
    for store in Store::ALL {
        let pointed = Place::parse(config.value(store.key()))
            .and_then(|place| point(paths, store, place.as_ref()).context("Failed to place the folder"));
        if let Err(error) = pointed {
            tracing::error!(
                folder = store.folder(),
                error = error.chain(),
                "This folder is not where it is recorded"
            );
        }
    }
}

/// Makes a store's name lead to its place.
fn point(paths: &Paths, store: Store, place: Option<&Place>) -> io::Result<()> {
    let root = Dir::open(paths.root())?;
    let (name, next) = (store.folder(), store.next());
    let (present, waiting) = (root.kind(name)?, root.kind(&next)?);
    match place {
        None if present == Some(FileKind::Dir) => return Ok(()),
        // The copy that the configuration was recorded for.
        None if waiting == Some(FileKind::Dir) => {}
        None => {
            return Err(io::Error::other(format!("\"{name}\" leads elsewhere, and there is no \"{next}\"")));
        }
        Some(place) => {
            let target = place.path(paths);
            if present == Some(FileKind::Symlink) && root.read_link(name)? == target {
                return Ok(());
            }
            match waiting {
                None => {}
                Some(FileKind::Symlink) => root.remove_file(&next)?,
                // Nobody knows what that is.
                Some(_) => return Err(io::Error::other(format!("\"{next}\" is in the way"))),
            }
            root.symlink(target, &next)?;
        }
    }
    root.exchange(name, &next)?;
    root.sync()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|panic| Error::internal(panic.to_string()))?;
    done.context("Failed to move a folder of this server")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        std::fs::create_dir(dir.path().join("images")).unwrap();
        (dir, paths)
    }

    #[test]
    fn only_what_a_store_made_is_removed() {
        let hash = "ab".repeat(32);
        for (store, name, owned) in [
            (Store::Images, hash.clone(), true),
            (Store::Images, format!("{hash}.rootfs"), true),
            (Store::Images, ".incoming-1".to_owned(), true),
            (Store::Images, "notes".to_owned(), false),
            (Store::Backups, "instances".to_owned(), true),
            (Store::Backups, hash, false),
        ] {
            assert_eq!(store.owns(&name), owned, "{store:?} {name}");
        }
    }

    #[test]
    fn names_lead_where_the_configuration_says() {
        let (dir, paths) = paths();
        let images = dir.path().join("images");
        std::fs::write(images.join("a"), "a").unwrap();
        let place = Place::parse("p/v").unwrap().unwrap();
        point(&paths, Store::Images, Some(&place)).unwrap();
        assert_eq!(std::fs::read_link(&images).unwrap(), dir.path().join("storage-pools/p/custom/default_v"));
        // What was there waits for its removal, and a repeated call leaves it alone.
        point(&paths, Store::Images, Some(&place)).unwrap();
        assert!(dir.path().join("images.new/a").exists());
        // And back: the folder takes its name again.
        point(&paths, Store::Images, None).unwrap();
        assert!(images.join("a").exists());
        // Nothing is put away for which there is no name.
        std::fs::remove_file(dir.path().join("images.new")).unwrap();
        std::fs::create_dir(dir.path().join("images.new")).unwrap();
        point(&paths, Store::Images, Some(&place)).unwrap_err();
        assert!(images.join("a").exists());
    }

    #[test]
    fn places_have_two_names() {
        for wrong in ["v", "/v", "p/", "p/v/x", "../v", "p/.."] {
            let error = Place::parse(wrong).unwrap_err();
            assert_eq!(error.chain(), "Invalid syntax for volume, must be <pool>/<volume>", "{wrong}");
        }
        assert_eq!(Place::parse("").unwrap(), None);
    }
}
