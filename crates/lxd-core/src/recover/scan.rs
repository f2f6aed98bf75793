//! Looking through pools: which volumes are not recorded, and what they say of themselves. Volumes may come from anywhere:
//! their names and files are checked as those of an archive are.

use std::path::PathBuf;
use std::sync::Arc;

use lxd_api::storage_pool::StoragePoolsPost;
use lxd_db::{nodes, storage_pools};
use lxd_instance::backup_yaml::{BackupYaml, FILE_NAME, LIMIT};
use lxd_storage::{
    Content, Pool, PoolDriver, PoolSpec, VolumeKind, VolumeRef, config, driver_by_name, open_pool,
};
use lxd_types::error::Context;
use lxd_types::names::{PoolName, ProjectName, SnapshotName};
use lxd_types::{Config, ConfigExt, Error, Result};

use super::shift;
use crate::instances::InstanceKey;
use crate::inventory::recorded;
use crate::journal::Log;
use crate::{Core, SharedCore, Undo};

/// Everything that was found.
#[derive(Clone)]
pub struct Scan {
    /// The pools, in the order of the request.
    pub pools: Vec<Looked>,
}

/// A pool that was looked through.
#[derive(Clone)]
pub struct Looked {
    /// Its driver.
    pub driver: PoolDriver,
    /// What it was opened with.
    pub spec: PoolSpec,
    /// Text of the user.
    pub description: String,
    /// Its row; none when it is not recorded.
    pub id: Option<i64>,
    /// What lies in it and is not recorded.
    pub volumes: Vec<Unknown>,
    pool: Arc<dyn Pool>,
    /// It was not in use before.
    opened: bool,
}

/// A volume that is not recorded.
#[derive(Clone)]
pub struct Unknown {
    /// Type, project, name.
    pub volume: VolumeRef,
    /// The names of its snapshots on disk.
    pub snapshots: Vec<SnapshotName>,
    /// The instance whose root it is.
    pub instance: Option<Described>,
}

/// What an instance's volume says of it.
#[derive(Clone)]
pub struct Described {
    /// Project and name.
    pub key: InstanceKey,
    /// Its `backup.yaml`; the member `container` is there.
    pub file: BackupYaml,
}

impl Scan {
    /// Looks through the pools.
    ///
    /// # Errors
    /// A pool cannot be opened, or a volume and what it says of itself do not agree; no pool stays open then.
    pub async fn of(core: &SharedCore, undo: &mut Log, posts: Vec<StoragePoolsPost>) -> Result<Self> {
        let mut scan = Self { pools: Vec::new() };
        for post in posts {
            if let Err(error) = scan.add(core, undo, post).await {
                scan.close().await;
                return Err(error);
            }
        }
        Ok(scan)
    }

    async fn add(&mut self, core: &SharedCore, undo: &mut Log, post: StoragePoolsPost) -> Result<()> {
        let name = post.name.clone();
        if self.pools.iter().any(|pool| pool.name() == name) {
            return Err(Error::bad_request(format!("Storage pool {name:?} is named twice")));
        }
        let looked = Looked::open(core, undo, post).await;
        let looked = looked.map_err(|error| error.context(format!("Failed mounting pool {name:?}")))?;
        // Recorded here first, so that it is closed whatever comes.
        self.pools.push(looked);
        let Some(looked) = self.pools.last_mut() else { return Ok(()) };
        let found = looked.look(core).await;
        looked.volumes =
            found.map_err(|error| error.context(format!("Failed checking volumes on pool {name:?}")))?;
        looked.take_config();
        Ok(())
    }

    /// Makes what lacks of the lay-out of pools that are not recorded.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn lay_out(&self) -> Result<()> {
        for pool in self.pools.iter().filter(|pool| pool.id.is_none()) {
            pool.pool.mount_pool().await?;
        }
        Ok(())
    }

    /// Leaves pools alone again that were not in use before.
    pub async fn close(&self) {
        for pool in self.pools.iter().filter(|pool| pool.opened) {
            if let Err(error) = pool.pool.unmount_pool().await {
                tracing::warn!(pool = pool.name(), error = error.chain(), "A storage pool stays open");
            }
        }
    }
}

fn unrecorded(core: &Core, driver: PoolDriver, spec: PoolSpec) -> Arc<dyn Pool> {
    let lane = core.pool_lanes.of(spec.name.as_str());
    open_pool(driver, spec, core.runner.clone(), lane)
}

/// Leaves a pool alone again that was being looked at, unless it was recorded.
///
/// # Errors
/// Something uses it.
pub async fn leave(core: &Core, name: &PoolName, driver: &str, source: PathBuf) -> Result<()> {
    let rows = core.db.read(|tx| storage_pools::list(tx, nodes::LONE)).await?;
    if rows.iter().any(|row| row.name == name.as_str()) {
        return Ok(());
    }
    let (lxd_dir, config) = (core.paths.root().to_owned(), Config::new());
    let spec = PoolSpec { name: name.clone(), lxd_dir, source, config };
    unrecorded(core, driver_by_name(driver)?, spec).unmount_pool().await
}

impl Looked {
    /// Its name.
    pub fn name(&self) -> &str {
        self.spec.name.as_str()
    }

    /// The pool itself.
    pub fn pool(&self) -> &Arc<dyn Pool> {
        &self.pool
    }

    async fn open(core: &SharedCore, undo: &mut Log, post: StoragePoolsPost) -> Result<Self> {
        let wanted = post.name.clone();
        let rows = core.db.read(|tx| storage_pools::list(tx, nodes::LONE)).await?;
        if let Some(row) = rows.into_iter().find(|row| row.name == wanted) {
            let pool = crate::storage_pools::open_row(core, &row).await?;
            let driver = driver_by_name(&row.driver)?;
            let (spec, id) = (pool.spec().clone(), Some(row.id));
            let (description, volumes) = (row.description, Vec::new());
            return Ok(Self { driver, spec, description, id, volumes, pool, opened: false });
        }
        let driver = driver_by_name(&post.driver)?;
        config::check_pool(driver, &post.config)?;
        let config: Config = post.config.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let source = PathBuf::from(config.value("source"));
        if !source.is_absolute() {
            return Err(Error::bad_request("The source of a storage pool must be an absolute path"));
        }
        let name = post.name.parse()?;
        let spec = PoolSpec { name, lxd_dir: core.paths.root().to_owned(), source, config };
        let pool = unrecorded(core, driver, spec.clone());
        undo.push(Undo::LeaveStoragePool {
            name: spec.name.clone(),
            driver: driver.as_str().to_owned(),
            source: spec.source.clone(),
        })
        .await?;
        let opened = pool.adopt_pool().await?;
        let (description, volumes) = (post.description, Vec::new());
        Ok(Self { driver, spec, description, id: None, volumes, pool, opened })
    }

    /// What lies in it and is not recorded.
    async fn look(&self, core: &SharedCore) -> Result<Vec<Unknown>> {
        let known = match self.id {
            Some(id) => core.db.read(move |tx| recorded(tx, id)).await?,
            None => Default::default(),
        };
        let mut found = Vec::new();
        for kind in [VolumeKind::Custom, VolumeKind::Container] {
            for name in self.pool.list(kind).await? {
                if !known.contains(&(kind, name.clone())) {
                    found.push(self.look_at(kind, &name).await?);
                }
            }
        }
        if let Some(name) = self.pool.list(VolumeKind::VirtualMachine).await?.first() {
            tracing::warn!(pool = self.name(), name, "Virtual machines are not supported yet: left alone");
        }
        Ok(found)
    }

    async fn look_at(&self, kind: VolumeKind, name: &str) -> Result<Unknown> {
        let volume = named(kind, name).map_err(|error| {
            error.context(format!("{}/{name} is not the name of a volume", kind.directory()))
        })?;
        let mut snapshots: Vec<SnapshotName> = Vec::new();
        for name in self.pool.list_snapshots(&volume).await? {
            snapshots.push(name.parse()?);
        }
        let dir = self.pool.mount(&volume).await?.dir;
        if kind == VolumeKind::Custom {
            let content = tokio::task::spawn_blocking(move || content_of(&dir));
            let content = content.await.map_err(|panic| Error::internal(panic.to_string()))?;
            return Ok(Unknown { volume: volume.with_content(content?), snapshots, instance: None });
        }
        let text = tokio::task::spawn_blocking(move || dir.read_limited(FILE_NAME, LIMIT));
        let text = text.await.map_err(|panic| Error::internal(panic.to_string()))?;
        let place = self.spec.mount_path().join(volume.path()).join(FILE_NAME);
        let failed = format!("Failed parsing backup file {place:?}");
        let file: BackupYaml = lxd_image::parse_yaml(&text.context(&*failed)?)
            .map_err(|error| Error::from(error).context(failed))?;
        let key = InstanceKey { project: volume.project.clone(), name: volume.name.as_str().parse()? };
        agree(&key, self.name(), self.driver, &snapshots, &file)?;
        Ok(Unknown { volume, snapshots, instance: Some(Described { key, file }) })
    }

    /// The keys of a pool that is not recorded are those that its instances remember, as far as they are valid here; it stays
    /// at the source that was given.
    fn take_config(&mut self) {
        let files = self.volumes.iter().filter_map(|volume| volume.instance.as_ref()?.file.pool.as_ref());
        let Some(remembered) = files.into_iter().next().filter(|_| self.id.is_none()) else { return };
        let mut config: Config =
            remembered.config.clone().into_iter().filter(|(_, value)| !value.is_empty()).collect();
        config.insert("source".to_owned(), self.spec.source.to_string_lossy().into_owned());
        if config::check_pool(self.driver, &config).is_ok() {
            self.description.clone_from(&remembered.description);
            self.spec.config = config;
        }
    }
}

/// The volume of a storage name: the reverse of [`VolumeRef::storage_name`].
fn named(kind: VolumeKind, name: &str) -> Result<VolumeRef> {
    let (project, plain) = match name.split_once('_') {
        Some((project, plain)) => (project.parse()?, plain),
        None if kind == VolumeKind::Custom => return Err(Error::bad_request("The project lacks")),
        None => (ProjectName::default_project(), name),
    };
    let volume = match kind {
        VolumeKind::Custom => VolumeRef::new(kind, project, plain.parse()?),
        _ => VolumeRef::container(&project, &plain.parse()?),
    };
    match volume.storage_name() == name {
        true => Ok(volume),
        false => Err(Error::bad_request("The project is not the one that is meant")),
    }
}

/// A volume that holds one file, the disk of a virtual machine, is a block volume.
fn content_of(dir: &lxd_sys::Dir) -> Result<Content> {
    let entries = dir.read_dir(".").context("Failed to read a volume")?;
    let is_disk = |entry: &lxd_sys::dir::Entry| entry.name == "root.img";
    let is_block = entries.len() == 1 && entries.iter().all(is_disk);
    Ok(if is_block { Content::Block } else { Content::Filesystem })
}

/// Refuses a volume that says other things of itself than what can be seen. Pure.
fn agree(
    key: &InstanceKey,
    pool: &str,
    driver: PoolDriver,
    snapshots: &[SnapshotName],
    file: &BackupYaml,
) -> Result<()> {
    let what = format!("Instance {:?} in project {:?}", key.name.as_str(), key.project.as_str());
    let refuse = |text: String| {
        Err(Error::bad_request(format!(
            "{what} {text} (move its volume out of the pool to recover the others)"
        )))
    };
    let Some(instance) = &file.container else {
        return refuse("is not described by its backup.yaml".to_owned());
    };
    if instance.name != key.name.as_str() {
        return refuse(format!("has a different name in its backup.yaml: {:?}", instance.name));
    }
    let project = if instance.project.is_empty() { "default" } else { &instance.project };
    if project != key.project.as_str() {
        return refuse(format!("has a different project in its backup.yaml: {project:?}"));
    }
    if !matches!(instance.kind.as_str(), "" | "container") {
        return refuse(format!("has a different instance type in its backup.yaml: {:?}", instance.kind));
    }
    let Some(of) = &file.pool else { return refuse("has no pool in its backup.yaml".to_owned()) };
    if of.name != pool || of.driver != driver.as_str() {
        return refuse(format!(
            "belongs to the pool {:?} (driver {:?}) by its backup.yaml",
            of.name, of.driver
        ));
    }
    let names = |names: Vec<&str>| -> std::collections::BTreeSet<String> {
        names.into_iter().map(str::to_owned).collect()
    };
    let on_disk = names(snapshots.iter().map(SnapshotName::as_str).collect());
    let described = names(file.snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect());
    if on_disk.len() != file.snapshots.len() || on_disk != described {
        return refuse(
            "has snapshot inconsistency: Snapshots in backup config and storage device are different: Backup snapshots mismatch"
                .to_owned(),
        );
    }
    if !file.volume_snapshots.is_empty() {
        let volumes = names(file.volume_snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect());
        if volumes != on_disk {
            return refuse("has volume snapshots in its backup.yaml that are not its snapshots".to_owned());
        }
    }
    let snapshots = file.snapshots.iter().map(|snapshot| &snapshot.config);
    let mut maps = std::iter::once(&instance.config).chain(snapshots).map(shift::map);
    match maps.find_map(Result::err) {
        Some(error) => refuse(format!("has owners that cannot be understood: {}", error.chain())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_api::instance::{Instance, InstanceSnapshot};
    use lxd_api::storage_pool::StoragePool;

    #[test]
    fn names_on_disk_are_read_back() {
        let shown = |kind, name: &str| {
            named(kind, name)
                .map_or_else(|_| "-".to_owned(), |volume| format!("{} {}", volume.project, volume.name))
        };
        assert_eq!(shown(VolumeKind::Container, "c1"), "default c1");
        assert_eq!(shown(VolumeKind::Container, "p1_c1"), "p1 c1");
        assert_eq!(shown(VolumeKind::Custom, "default_v_1"), "default v_1");
        for (kind, name) in [
            (VolumeKind::Container, "default_c1"),
            (VolumeKind::Container, ".hidden"),
            (VolumeKind::Container, "_c1"),
            (VolumeKind::Custom, "v1"),
            (VolumeKind::Custom, "default_.."),
        ] {
            assert_eq!(shown(kind, name), "-", "{name}");
        }
    }

    fn file() -> BackupYaml {
        let instance =
            Instance { name: "c1".to_owned(), kind: "container".to_owned(), ..Instance::default() };
        let pool = StoragePool { name: "p".to_owned(), driver: "dir".to_owned(), ..StoragePool::default() };
        let snapshot = InstanceSnapshot { name: "s1".to_owned(), ..InstanceSnapshot::default() };
        let (container, pool, snapshots) = (Some(instance), Some(pool), vec![snapshot]);
        BackupYaml { container, pool, snapshots, ..BackupYaml::default() }
    }

    #[test]
    fn what_does_not_agree_is_refused() {
        let key = InstanceKey { project: ProjectName::default_project(), name: "c1".parse().unwrap() };
        let snapshots: Vec<SnapshotName> = vec!["s1".parse().unwrap()];
        let judge = |file: &BackupYaml| agree(&key, "p", PoolDriver::Dir, &snapshots, file);
        judge(&file()).unwrap();
        let instance = |change: fn(&mut Instance)| {
            let mut file = file();
            change(file.container.as_mut().unwrap());
            file
        };
        let shifted = |one: &mut Instance| {
            one.config.insert("volatile.last_state.idmap".to_owned(), "[{}]".to_owned());
        };
        let twice = BackupYaml { snapshots: [file().snapshots, file().snapshots].concat(), ..file() };
        for wrong in [
            BackupYaml::default(),
            instance(|one| one.name = "../c1".to_owned()),
            instance(|one| one.project = "p1".to_owned()),
            instance(|one| one.kind = "virtual-machine".to_owned()),
            instance(shifted),
            BackupYaml { pool: None, ..file() },
            BackupYaml { snapshots: Vec::new(), ..file() },
            twice,
        ] {
            let text = judge(&wrong).unwrap_err().chain();
            assert!(text.starts_with("Instance \"c1\" in project \"default\" "), "{text}");
        }
    }
}
