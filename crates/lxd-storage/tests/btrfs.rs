//! The driver `btrfs`: the contract and what only it does, on file systems in loop files.

mod contract;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lxd_host::runner::RealRunner;
use lxd_storage::{Pool, PoolDriver, PoolSpec, Quota, VolumeRef, open_pool};
use lxd_sys::{Dir, btrfs};
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

    fn pool(&self, name: &str, keys: &[(&str, &str)]) -> Arc<dyn Pool> {
        let name: PoolName = name.parse().unwrap();
        let given = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let lxd_dir = self.0.path().to_owned();
        let config = PoolDriver::Btrfs.plan(&lxd_dir, &name, given).unwrap();
        let spec = PoolSpec { name, lxd_dir, source: config["source"].clone().into(), config };
        open_pool(PoolDriver::Btrfs, spec, Arc::new(RealRunner), lxd_task::lane::Lane::new("p"))
    }

    async fn made(&self) -> Arc<dyn Pool> {
        let pool = self.pool("p1", &[("size", "256MiB")]);
        pool.create_pool().await.unwrap();
        pool
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }
}

impl Drop for LxdDir {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.path("storage-pools")).unwrap().flatten() {
            let _ = rustix::mount::unmount(entry.path(), rustix::mount::UnmountFlags::DETACH);
        }
    }
}

fn v1() -> VolumeRef {
    VolumeRef::custom(&ProjectName::default_project(), &"v1".parse().unwrap())
}

#[tokio::test]
async fn btrfs_keeps_the_contract() {
    contract::contract(async || {
        let lxd = LxdDir::new();
        let pool = lxd.made().await;
        (pool, lxd)
    })
    .await;
}

#[tokio::test]
async fn a_pool_comes_and_goes_with_its_loop_file() {
    let lxd = LxdDir::new();
    let pool = lxd.made().await;
    let file = lxd.path("disks/p1.img");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    pool.resize_pool(300 << 20).await.unwrap();
    assert_eq!(pool.resources().await.unwrap().space_total, 300 << 20);
    assert!(pool.resize_pool(200 << 20).await.is_err());
    pool.create(&v1(), None, None).await.unwrap();
    // As after a restart of the machine: without the mount the pool is not there, and nothing is written beneath.
    rustix::mount::unmount(lxd.path("storage-pools/p1"), rustix::mount::UnmountFlags::empty()).unwrap();
    assert_eq!(pool.exists(&v1()).await.unwrap_err().kind(), lxd_types::Kind::Unavailable);
    pool.mount_pool().await.unwrap();
    assert!(pool.exists(&v1()).await.unwrap());
    pool.delete(&v1()).await.unwrap();
    pool.delete_pool().await.unwrap();
    assert!(!file.exists() && !lxd.path("storage-pools/p1").exists());
}

#[tokio::test]
async fn a_failed_create_leaves_nothing() {
    let lxd = LxdDir::new();
    let failed = lxd.pool("p1", &[("size", "10MiB")]).create_pool().await.unwrap_err();
    assert!(failed.chain().contains("too small"), "{failed:?}");
    let plain = tempfile::tempdir().unwrap();
    let failed =
        lxd.pool("p1", &[("source", plain.path().to_str().unwrap())]).create_pool().await.unwrap_err();
    assert!(failed.chain().contains("does not reside on a btrfs filesystem"), "{failed:?}");
    assert_eq!(std::fs::read_dir(lxd.path("storage-pools")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(lxd.path("disks")).unwrap().count(), 0);
}

#[tokio::test]
async fn subvolumes_of_another_file_system_can_be_pools() {
    let (lxd, host) = (LxdDir::new(), LxdDir::new());
    let _keep = host.made().await;
    let place = host.path("storage-pools/p1/place");
    let pool = lxd.pool("p2", &[("source", place.to_str().unwrap())]);
    pool.create_pool().await.unwrap();
    pool.create(&v1(), None, None).await.unwrap();
    assert!(place.join("custom/default_v1").is_dir());
    let again = lxd.pool("p3", &[("source", place.to_str().unwrap())]).create_pool().await.unwrap_err();
    assert!(again.chain().contains("isn't empty"), "{again:?}");
    pool.delete(&v1()).await.unwrap();
    pool.delete_pool().await.unwrap();
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
}

#[tokio::test]
async fn sizes_are_limits() {
    let lxd = LxdDir::new();
    let pool = lxd.made().await;
    pool.create(&v1(), Some(20 << 20), None).await.unwrap();
    let place = lxd.path("storage-pools/p1/custom/default_v1");
    assert!(fill(&place.join("one"), 40).is_err(), "the limit holds");
    assert!(pool.usage(&v1()).await.unwrap() <= 20 << 20);
    assert_eq!(pool.resize(&v1(), Some(60 << 20)).await.unwrap(), Quota::Enforced);
    fill(&place.join("two"), 20).unwrap();
    let shrunk = pool.resize(&v1(), Some(1 << 20)).await.unwrap_err();
    assert!(shrunk.chain().contains("cannot be limited"), "{shrunk:?}");
    // The limit outlives a restore.
    let snapshot = v1().snapshot(&"s1".parse().unwrap());
    pool.create_snapshot(&snapshot).await.unwrap();
    pool.restore_snapshot(&snapshot).await.unwrap();
    assert!(fill(&place.join("three"), 60).is_err(), "the limit holds");
    pool.delete(&v1()).await.unwrap();
}

/// Writes so many MiB that cannot be compressed away, and makes sure that they arrive.
fn fill(path: &Path, mib: usize) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    for _ in 0..mib {
        file.write_all(&[7; 1 << 20])?;
        file.sync_data()?;
    }
    Ok(())
}

#[tokio::test]
async fn nested_subvolumes_are_kept_and_removed() {
    let lxd = LxdDir::new();
    let pool = lxd.made().await;
    pool.create(&v1(), None, None).await.unwrap();
    let place = Dir::open(lxd.path("storage-pools/p1/custom/default_v1")).unwrap();
    place.mkdir("var", 0o755).unwrap();
    btrfs::create(&place.open_dir("var").unwrap(), "inner".as_ref()).unwrap();
    let inner = place.open_dir("var/inner").unwrap();
    inner.create("file", 0o644).unwrap().write_all(b"deep").unwrap();
    btrfs::create(&inner, "innermost".as_ref()).unwrap();
    let snapshot = v1().snapshot(&"s1".parse().unwrap());
    pool.create_snapshot(&snapshot).await.unwrap();
    inner.remove_file("file").unwrap();
    let kept = pool.mount_snapshot(&snapshot).await.unwrap().dir;
    assert_eq!(kept.read_text("var/inner/file", 10).unwrap(), "deep");
    assert!(kept.create("var/inner/new", 0o600).is_err(), "read-only inside, too");
    drop((inner, place, kept));
    pool.restore_snapshot(&snapshot).await.unwrap();
    let copy = v1().renamed(&"v2".parse().unwrap());
    pool.copy(&(&snapshot).into(), &copy, &[]).await.unwrap();
    for volume in [v1(), copy] {
        let dir = pool.mount(&volume).await.unwrap().dir;
        assert_eq!(dir.read_text("var/inner/file", 10).unwrap(), "deep");
        assert!(btrfs::is_subvolume(&dir.open_dir("var/inner/innermost").unwrap()).unwrap());
        dir.create("var/inner/new", 0o600).unwrap();
        drop(dir);
        pool.delete(&volume).await.unwrap();
    }
    let root = Dir::open(lxd.path("storage-pools/p1")).unwrap();
    assert!(btrfs::nested(&root).unwrap().is_empty(), "no subvolume is left");
}
