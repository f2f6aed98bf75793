//! What every driver promises, as tests: run by each driver and by the fake (architecture section 9).

use std::io::Write;
use std::sync::Arc;

use lxd_storage::driver::{Pool, fill_with};
use lxd_storage::{VolumeKind, VolumeRef};
use lxd_types::Kind;
use lxd_types::names::{InstanceName, ProjectName, VolumeName};

mod snapshots;

/// Runs all promises, each on a pool of its own that was created and mounted by `make`.
///
/// # Panics
/// When a promise is broken.
pub async fn contract<K>(make: impl AsyncFn() -> (Arc<dyn Pool>, K)) {
    macro_rules! promises {
        ($($promise:ident),* $(,)?) => {$(
            let (pool, keep) = make().await;
            $promise(&*pool).await;
            drop(keep);
        )*};
    }
    promises!(
        a_created_volume_is_listed,
        creating_twice_is_a_conflict,
        deleting_twice_is_not_found,
        a_failed_fill_leaves_nothing,
        a_renamed_volume_keeps_its_content,
        rename_never_replaces,
        a_copy_is_independent,
        types_and_projects_do_not_meet,
        mounting_what_is_missing_is_not_found,
        a_pool_with_volumes_is_not_deleted,
        mounting_the_pool_again_changes_nothing,
    );
    snapshots::contract(make).await;
}

fn custom(name: &str) -> VolumeRef {
    let name: VolumeName = name.parse().expect("a valid name");
    VolumeRef::custom(&ProjectName::default_project(), &name)
}

async fn with_file<P: Pool + ?Sized>(pool: &P, volume: &VolumeRef, text: &'static str) {
    let fill = fill_with(move |dir| async move {
        dir.create("file", 0o600)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("a writable volume");
        Ok(())
    });
    pool.create(volume, None, Some(fill)).await.expect("a new volume");
}

async fn text<P: Pool + ?Sized>(pool: &P, volume: &VolumeRef) -> String {
    pool.mount(volume).await.expect("a volume").dir.read_text("file", 100).expect("the file")
}

async fn a_created_volume_is_listed<P: Pool + ?Sized>(pool: &P) {
    pool.create(&custom("v1"), None, None).await.unwrap();
    assert!(pool.exists(&custom("v1")).await.unwrap());
    assert_eq!(pool.list(VolumeKind::Custom).await.unwrap(), ["default_v1"]);
    assert!(pool.list(VolumeKind::Container).await.unwrap().is_empty());
}

async fn creating_twice_is_a_conflict<P: Pool + ?Sized>(pool: &P) {
    with_file(pool, &custom("v1"), "one").await;
    let again = pool.create(&custom("v1"), None, None).await.unwrap_err();
    assert_eq!(
        (again.kind(), again.chain().as_str()),
        (Kind::Conflict, "Volume by that name already exists")
    );
    assert_eq!(text(pool, &custom("v1")).await, "one");
}

async fn deleting_twice_is_not_found<P: Pool + ?Sized>(pool: &P) {
    with_file(pool, &custom("v1"), "one").await;
    pool.delete(&custom("v1")).await.unwrap();
    assert_eq!(pool.delete(&custom("v1")).await.unwrap_err().kind(), Kind::NotFound);
    assert!(!pool.exists(&custom("v1")).await.unwrap());
}

async fn a_failed_fill_leaves_nothing<P: Pool + ?Sized>(pool: &P) {
    let fill = fill_with(|dir| async move {
        dir.create("file", 0o600).expect("a writable volume");
        Err(lxd_types::Error::bad_request("no"))
    });
    let failed = pool.create(&custom("v1"), None, Some(fill)).await.unwrap_err();
    assert_eq!((failed.kind(), failed.chain().as_str()), (Kind::BadRequest, "no"));
    assert!(pool.list(VolumeKind::Custom).await.unwrap().is_empty());
}

async fn a_renamed_volume_keeps_its_content<P: Pool + ?Sized>(pool: &P) {
    with_file(pool, &custom("v1"), "one").await;
    pool.rename(&custom("v1"), &custom("v2")).await.unwrap();
    assert_eq!(text(pool, &custom("v2")).await, "one");
    assert_eq!(pool.rename(&custom("v1"), &custom("v3")).await.unwrap_err().kind(), Kind::NotFound);
    let other: ProjectName = "other".parse().expect("a valid name");
    let there = VolumeRef::custom(&other, &custom("v2").name);
    pool.rename(&custom("v2"), &there).await.unwrap();
    assert_eq!(text(pool, &there).await, "one");
}

async fn rename_never_replaces<P: Pool + ?Sized>(pool: &P) {
    with_file(pool, &custom("v1"), "one").await;
    with_file(pool, &custom("v2"), "two").await;
    assert_eq!(pool.rename(&custom("v1"), &custom("v2")).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(text(pool, &custom("v2")).await, "two");
}

async fn a_copy_is_independent<P: Pool + ?Sized>(pool: &P) {
    with_file(pool, &custom("v1"), "one").await;
    pool.copy(&(&custom("v1")).into(), &custom("v2"), &[]).await.unwrap();
    pool.delete(&custom("v1")).await.unwrap();
    assert_eq!(text(pool, &custom("v2")).await, "one");
    let missing = pool.copy(&(&custom("v1")).into(), &custom("v3"), &[]).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    assert!(!pool.exists(&custom("v3")).await.unwrap());
}

async fn types_and_projects_do_not_meet<P: Pool + ?Sized>(pool: &P) {
    let name: InstanceName = "same".parse().expect("a valid name");
    let other: ProjectName = "other".parse().expect("a valid name");
    with_file(pool, &custom("same"), "custom").await;
    with_file(pool, &VolumeRef::container(&ProjectName::default_project(), &name), "default").await;
    with_file(pool, &VolumeRef::container(&other, &name), "other").await;
    assert_eq!(text(pool, &custom("same")).await, "custom");
    assert_eq!(pool.list(VolumeKind::Container).await.unwrap(), ["other_same", "same"]);
}

async fn mounting_what_is_missing_is_not_found<P: Pool + ?Sized>(pool: &P) {
    assert_eq!(pool.mount(&custom("v1")).await.unwrap_err().kind(), Kind::NotFound);
}

async fn a_pool_with_volumes_is_not_deleted<P: Pool + ?Sized>(pool: &P) {
    with_file(pool, &custom("v1"), "one").await;
    assert_eq!(pool.delete_pool().await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(text(pool, &custom("v1")).await, "one");
    pool.delete(&custom("v1")).await.unwrap();
    pool.delete_pool().await.unwrap();
    pool.delete_pool().await.unwrap();
}

async fn mounting_the_pool_again_changes_nothing<P: Pool + ?Sized>(pool: &P) {
    with_file(pool, &custom("v1"), "one").await;
    pool.mount_pool().await.unwrap();
    pool.mount_pool().await.unwrap();
    assert_eq!(text(pool, &custom("v1")).await, "one");
    assert!(pool.resources().await.unwrap().space_total > 0);
}
