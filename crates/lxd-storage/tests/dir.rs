//! The driver `dir`: the contract, its sources and its modes, on real directories.

mod contract;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use lxd_host::runner::RealRunner;
use lxd_storage::{Pool, PoolDriver, PoolSpec, VolumeRef, open_pool};
use lxd_types::names::{PoolName, ProjectName};
use tempfile::TempDir;

/// A data directory whose mounts end with it.
struct LxdDir(TempDir);

impl LxdDir {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("storage-pools")).unwrap();
        Self(temp)
    }

    fn pool(&self, name: &str, source: Option<&Path>) -> Arc<dyn Pool> {
        let name: PoolName = name.parse().unwrap();
        let given = source.map(|path| ("source".to_owned(), path.to_str().unwrap().to_owned()));
        let lxd_dir = self.0.path().to_owned();
        let config = PoolDriver::Dir.plan(&lxd_dir, &name, given.into_iter().collect()).unwrap();
        let spec = PoolSpec { name, lxd_dir, source: config["source"].clone().into(), config };
        open_pool(PoolDriver::Dir, spec, Arc::new(RealRunner), lxd_task::lane::Lane::new("p"))
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join("storage-pools").join(path)
    }
}

impl Drop for LxdDir {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.path("")).unwrap().flatten() {
            let _ = rustix::mount::unmount(entry.path(), rustix::mount::UnmountFlags::DETACH);
        }
    }
}

#[tokio::test]
async fn dir_keeps_the_contract() {
    contract::contract(async || {
        let lxd = LxdDir::new();
        let pool = lxd.pool("p1", None);
        pool.create_pool().await.unwrap();
        (pool, lxd)
    })
    .await;
}

#[tokio::test]
async fn dir_with_a_source_elsewhere_keeps_the_contract() {
    contract::contract(async || {
        let (lxd, source) = (LxdDir::new(), tempfile::tempdir().unwrap());
        let pool = lxd.pool("p1", Some(source.path()));
        pool.create_pool().await.unwrap();
        (pool, (lxd, source))
    })
    .await;
}

#[tokio::test]
async fn unusable_sources_are_named_and_nothing_is_left() {
    let (lxd, source) = (LxdDir::new(), tempfile::tempdir().unwrap());
    std::fs::write(source.path().join("stranger"), "").unwrap();
    std::fs::create_dir(lxd.0.path().join("foo")).unwrap();
    for (path, text) in [
        (source.path().to_owned(), "isn't empty"),
        ("/no/such/path".into(), "Source path '/no/such/path' doesn't exist"),
        ("relative".into(), "Source path 'relative' doesn't exist"),
        (lxd.0.path().join("foo"), "is within the LXD directory"),
        (source.path().join("stranger"), "Failed to read source path"),
    ] {
        let error = lxd.pool("p1", Some(&path)).create_pool().await.unwrap_err();
        assert!(error.chain().contains(text), "{error:?}");
        assert_eq!(std::fs::read_dir(lxd.path("")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn modes_keep_host_users_out() {
    let lxd = LxdDir::new();
    let pool = lxd.pool("p1", None);
    pool.create_pool().await.unwrap();
    let custom = VolumeRef::custom(&ProjectName::default_project(), &"v1".parse().unwrap());
    let container = VolumeRef::container(&ProjectName::default_project(), &"c1".parse().unwrap());
    pool.create(&custom, None, None).await.unwrap();
    pool.create(&container, None, None).await.unwrap();
    for (path, mode) in [
        ("p1", 0o711),
        ("p1/containers", 0o711),
        ("p1/containers/c1", 0o100),
        ("p1/custom", 0o700),
        ("p1/custom/default_v1", 0o711),
        ("p1/images", 0o700),
        ("p1/virtual-machines", 0o700),
    ] {
        let metadata = std::fs::metadata(lxd.path(path)).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.uid()), (mode, 0), "{path}");
    }
}

#[tokio::test]
async fn a_source_that_is_gone_is_unavailable_and_strangers_stay() {
    let (lxd, source) = (LxdDir::new(), tempfile::tempdir().unwrap());
    let place = source.path().join("data");
    std::fs::create_dir(&place).unwrap();
    let pool = lxd.pool("p1", Some(&place));
    pool.create_pool().await.unwrap();
    std::fs::write(place.join("stranger"), "").unwrap();
    pool.delete_pool().await.unwrap();
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
    std::fs::remove_file(place.join("stranger")).unwrap();
    std::fs::remove_dir(&place).unwrap();
    let error = pool.mount_pool().await.unwrap_err();
    assert_eq!(error.kind(), lxd_types::Kind::Unavailable, "{error:?}");
}
