//! What every driver promises of snapshots and copies.

use std::io::Write;
use std::sync::Arc;

use lxd_storage::driver::Pool;
use lxd_storage::{Origin, SnapshotRef, VolumeKind, VolumeRef, transfer};
use lxd_types::Kind;
use lxd_types::names::{InstanceName, ProjectName, SnapshotName};

use super::{custom, text, with_file};

/// Runs the promises about snapshots.
pub(super) async fn contract<K>(make: impl AsyncFn() -> (Arc<dyn Pool>, K)) {
    macro_rules! promises {
        ($($promise:ident),* $(,)?) => {$(
            let (pool, keep) = make().await;
            $promise(&pool).await;
            drop(keep);
        )*};
    }
    promises!(
        a_snapshot_does_not_change,
        a_snapshot_cannot_be_written,
        snapshots_are_listed_renamed_and_removed,
        a_snapshot_is_made_once,
        restoring_brings_everything_back,
        a_restored_container_has_its_mode,
        snapshots_follow_their_volume,
        an_interrupted_renaming_is_finished,
        copies_take_snapshots_along,
        a_copy_of_a_snapshot_is_what_that_was,
        a_failed_copy_leaves_nothing,
        a_refresh_adds_what_is_missing,
    );
    let ((here, keep), (there, keep_too)) = (make().await, make().await);
    copies_go_to_other_pools(&here, &there).await;
    drop((keep, keep_too));
}

fn name(text: &str) -> SnapshotName {
    text.parse().expect("a valid name")
}

fn of(volume: &str, snapshot: &str) -> SnapshotRef {
    custom(volume).snapshot(&name(snapshot))
}

async fn write(pool: &Arc<dyn Pool>, volume: &VolumeRef, content: &str) {
    let dir = pool.mount(volume).await.expect("a volume").dir;
    dir.create("file", 0o600)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .expect("a writable volume");
}

async fn in_snapshot(pool: &Arc<dyn Pool>, snapshot: &SnapshotRef) -> String {
    let content = pool.mount_snapshot(snapshot).await.expect("a snapshot");
    let text = content.dir.read_text("file", 100).expect("the file");
    drop(content);
    pool.unmount_snapshot(snapshot).await.expect("no other user");
    text
}

async fn a_snapshot_does_not_change(pool: &Arc<dyn Pool>) {
    with_file(&**pool, &custom("v1"), "one").await;
    pool.create_snapshot(&of("v1", "s1")).await.unwrap();
    write(pool, &custom("v1"), "two").await;
    assert_eq!(in_snapshot(pool, &of("v1", "s1")).await, "one");
    assert_eq!(text(&**pool, &custom("v1")).await, "two");
}

async fn a_snapshot_cannot_be_written(pool: &Arc<dyn Pool>) {
    with_file(&**pool, &custom("v1"), "one").await;
    pool.create_snapshot(&of("v1", "s1")).await.unwrap();
    let dir = pool.mount_snapshot(&of("v1", "s1")).await.unwrap().dir;
    assert!(dir.create("file", 0o600).is_err() && dir.remove_file("file").is_err());
}

async fn snapshots_are_listed_renamed_and_removed(pool: &Arc<dyn Pool>) {
    with_file(&**pool, &custom("v1"), "one").await;
    for snapshot in ["b", "a"] {
        pool.create_snapshot(&of("v1", snapshot)).await.unwrap();
    }
    assert_eq!(pool.list_snapshots(&custom("v1")).await.unwrap(), ["a", "b"]);
    assert_eq!(pool.list(VolumeKind::Custom).await.unwrap(), ["default_v1"]);
    assert_eq!(pool.rename_snapshot(&of("v1", "a"), &name("b")).await.unwrap_err().kind(), Kind::Conflict);
    pool.rename_snapshot(&of("v1", "a"), &name("c")).await.unwrap();
    assert_eq!(pool.rename_snapshot(&of("v1", "a"), &name("d")).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(in_snapshot(pool, &of("v1", "c")).await, "one");
    for snapshot in ["b", "c"] {
        pool.delete_snapshot(&of("v1", snapshot)).await.unwrap();
        assert_eq!(pool.delete_snapshot(&of("v1", snapshot)).await.unwrap_err().kind(), Kind::NotFound);
    }
    assert!(pool.list_snapshots(&custom("v1")).await.unwrap().is_empty());
    assert_eq!(pool.mount_snapshot(&of("v1", "b")).await.unwrap_err().kind(), Kind::NotFound);
}

async fn a_snapshot_is_made_once(pool: &Arc<dyn Pool>) {
    with_file(&**pool, &custom("v1"), "one").await;
    pool.create_snapshot(&of("v1", "s1")).await.unwrap();
    write(pool, &custom("v1"), "two").await;
    assert_eq!(pool.create_snapshot(&of("v1", "s1")).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(in_snapshot(pool, &of("v1", "s1")).await, "one");
    assert_eq!(pool.create_snapshot(&of("none", "s1")).await.unwrap_err().kind(), Kind::NotFound);
}

async fn restoring_brings_everything_back(pool: &Arc<dyn Pool>) {
    with_file(&**pool, &custom("v1"), "one").await;
    pool.create_snapshot(&of("v1", "s1")).await.unwrap();
    write(pool, &custom("v1"), "two").await;
    pool.mount(&custom("v1")).await.unwrap().dir.create("more", 0o600).unwrap();
    for _ in 0..2 {
        pool.restore_snapshot(&of("v1", "s1")).await.unwrap();
        assert_eq!(text(&**pool, &custom("v1")).await, "one");
        assert!(!pool.mount(&custom("v1")).await.unwrap().dir.exists("more").unwrap());
    }
    write(pool, &custom("v1"), "three").await;
    assert_eq!(in_snapshot(pool, &of("v1", "s1")).await, "one");
    assert_eq!(pool.restore_snapshot(&of("v1", "none")).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(text(&**pool, &custom("v1")).await, "three");
    pool.settle(&custom("v1")).await.unwrap();
    assert_eq!(pool.list(VolumeKind::Custom).await.unwrap(), ["default_v1"]);
}

async fn a_restored_container_has_its_mode(pool: &Arc<dyn Pool>) {
    let c1: InstanceName = "c1".parse().expect("a valid name");
    let volume = VolumeRef::container(&ProjectName::default_project(), &c1);
    with_file(&**pool, &volume, "one").await;
    let snapshot = volume.snapshot(&name("s1"));
    pool.create_snapshot(&snapshot).await.unwrap();
    pool.restore_snapshot(&snapshot).await.unwrap();
    let mode = pool.mount(&volume).await.unwrap().dir.stat(".").unwrap().st_mode;
    assert_eq!(mode & 0o7777, volume.mode());
}

async fn snapshots_follow_their_volume(pool: &Arc<dyn Pool>) {
    with_file(&**pool, &custom("v1"), "one").await;
    pool.create_snapshot(&of("v1", "s1")).await.unwrap();
    pool.rename(&custom("v1"), &custom("v2")).await.unwrap();
    assert!(pool.list_snapshots(&custom("v1")).await.unwrap().is_empty());
    assert_eq!(in_snapshot(pool, &of("v2", "s1")).await, "one");
    pool.delete(&custom("v2")).await.unwrap();
    assert!(pool.list_snapshots(&custom("v2")).await.unwrap().is_empty());
    pool.delete_pool().await.unwrap();
}

/// What a crash between the two halves leaves cannot be made from outside, but an attempt to repeat a finished one can.
async fn an_interrupted_renaming_is_finished(pool: &Arc<dyn Pool>) {
    with_file(&**pool, &custom("v1"), "one").await;
    pool.create_snapshot(&of("v1", "s1")).await.unwrap();
    pool.rename(&custom("v1"), &custom("v2")).await.unwrap();
    assert_eq!(pool.rename(&custom("v1"), &custom("v2")).await.unwrap_err().kind(), Kind::NotFound);
    pool.rename(&custom("v2"), &custom("v1")).await.unwrap();
    assert_eq!(in_snapshot(pool, &of("v1", "s1")).await, "one");
}

/// A volume "v1" with snapshots "s1" and "s2" of other content.
async fn with_history(pool: &Arc<dyn Pool>) {
    with_file(&**pool, &custom("v1"), "one").await;
    pool.create_snapshot(&of("v1", "s1")).await.unwrap();
    write(pool, &custom("v1"), "two").await;
    pool.create_snapshot(&of("v1", "s2")).await.unwrap();
    write(pool, &custom("v1"), "three").await;
}

async fn has_history(pool: &Arc<dyn Pool>, volume: &str) {
    assert_eq!(pool.list_snapshots(&custom(volume)).await.unwrap(), ["s1", "s2"]);
    assert_eq!(in_snapshot(pool, &of(volume, "s1")).await, "one");
    assert_eq!(in_snapshot(pool, &of(volume, "s2")).await, "two");
    assert_eq!(text(&**pool, &custom(volume)).await, "three");
}

async fn copies_take_snapshots_along(pool: &Arc<dyn Pool>) {
    with_history(pool).await;
    let from = Origin::from(&custom("v1"));
    transfer::copy(pool, &from, pool, &custom("v2"), &[name("s1"), name("s2")]).await.unwrap();
    transfer::copy(pool, &from, pool, &custom("v3"), &[]).await.unwrap();
    pool.delete(&custom("v1")).await.unwrap();
    has_history(pool, "v2").await;
    assert_eq!(text(&**pool, &custom("v3")).await, "three");
    assert!(pool.list_snapshots(&custom("v3")).await.unwrap().is_empty());
    write(pool, &custom("v2"), "four").await;
    assert_eq!(in_snapshot(pool, &of("v2", "s2")).await, "two");
}

async fn a_copy_of_a_snapshot_is_what_that_was(pool: &Arc<dyn Pool>) {
    with_history(pool).await;
    let from = Origin::from(&of("v1", "s1"));
    transfer::copy(pool, &from, pool, &custom("v2"), &[]).await.unwrap();
    assert_eq!(text(&**pool, &custom("v2")).await, "one");
    write(pool, &custom("v2"), "mine").await;
    assert_eq!(in_snapshot(pool, &of("v1", "s1")).await, "one");
}

async fn a_failed_copy_leaves_nothing(pool: &Arc<dyn Pool>) {
    with_history(pool).await;
    let from = Origin::from(&custom("v1"));
    let failed = transfer::copy(pool, &from, pool, &custom("v2"), &[name("s1"), name("none")]).await;
    assert_eq!(failed.unwrap_err().kind(), Kind::NotFound);
    assert!(!pool.exists(&custom("v2")).await.unwrap());
    assert!(pool.list_snapshots(&custom("v2")).await.unwrap().is_empty());
    with_file(&**pool, &custom("v3"), "mine").await;
    let taken = transfer::copy(pool, &from, pool, &custom("v3"), &[name("s1")]).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Conflict);
    assert_eq!(text(&**pool, &custom("v3")).await, "mine");
}

async fn a_refresh_adds_what_is_missing(pool: &Arc<dyn Pool>) {
    with_history(pool).await;
    let from = Origin::from(&custom("v1"));
    let first = Origin::from(&of("v1", "s1"));
    transfer::copy(pool, &first, pool, &custom("v2"), &[name("s1")]).await.unwrap();
    pool.mount(&custom("v2")).await.unwrap().dir.create("stranger", 0o600).unwrap();
    transfer::refresh(pool, &from, pool, &custom("v2"), &[name("s2")]).await.unwrap();
    has_history(pool, "v2").await;
    assert!(!pool.mount(&custom("v2")).await.unwrap().dir.exists("stranger").unwrap());
}

async fn copies_go_to_other_pools(here: &Arc<dyn Pool>, there: &Arc<dyn Pool>) {
    with_history(here).await;
    let from = Origin::from(&custom("v1"));
    transfer::copy(here, &from, there, &custom("v2"), &[name("s1"), name("s2")]).await.unwrap();
    let snapshot = Origin::from(&of("v1", "s2"));
    transfer::copy(here, &snapshot, there, &custom("v3"), &[]).await.unwrap();
    has_history(there, "v2").await;
    assert_eq!(text(&**there, &custom("v3")).await, "two");
    let failed = transfer::copy(here, &from, there, &custom("v4"), &[name("none")]).await.unwrap_err();
    assert_eq!(failed.kind(), Kind::NotFound);
    assert!(there.list_snapshots(&custom("v4")).await.unwrap().is_empty());
    assert!(!there.exists(&custom("v4")).await.unwrap());
}
