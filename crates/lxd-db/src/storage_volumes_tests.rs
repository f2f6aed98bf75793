//! Tests of `storage_volumes.rs`.

use super::*;
use crate::instances::{self, NewInstance};
use crate::projects::DEFAULT;
use crate::testing::{config, devices, temporary};
use crate::{Db, profiles, storage_pools};
use lxd_types::Kind;

async fn pool(db: &Db) -> i64 {
    db.write(|tx| {
        storage_pools::insert(tx, nodes::LONE, "p", "dir", "", &Config::new(), storage_pools::CREATED)
    })
    .await
    .unwrap()
}

fn custom(pool_id: i64, name: &str) -> NewVolume {
    let config = config(&[("size", "10MiB"), ("user.empty", "")]);
    NewVolume { name: name.into(), pool_id, kind: CUSTOM, config, ..NewVolume::here(DEFAULT) }
}

#[tokio::test]
async fn whole_life() {
    let (db, _dir) = temporary();
    let pool = pool(&db).await;
    let id = db.write(move |tx| insert(tx, &custom(pool, "v1"))).await.unwrap();
    let taken = db.write(move |tx| insert(tx, &custom(pool, "v1"))).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Conflict);
    let volume = db.read(move |tx| get(tx, pool, DEFAULT, CUSTOM, "v1")).await.unwrap();
    assert_eq!(
        (volume.id, volume.pool.as_str(), volume.node.as_str(), volume.content),
        (id, "p", "none", FILESYSTEM)
    );
    assert_eq!(volume.config, config(&[("size", "10MiB")]));
    db.write(move |tx| {
        update(tx, id, "d", &config(&[("size", "20MiB")]))?;
        set_key(tx, id, "volatile.idmap.last", "[]")?;
        relocate(tx, id, pool, DEFAULT, "v2")
    })
    .await
    .unwrap();
    let all = db.read(|tx| list(tx, Filter { kind: Some(CUSTOM), ..Filter::default() })).await.unwrap();
    assert_eq!(all, db.read(|tx| anywhere(tx, DEFAULT, CUSTOM, "v2")).await.unwrap());
    assert_eq!(all[0].config, config(&[("size", "20MiB"), ("volatile.idmap.last", "[]")]));
    assert!(
        db.read(|tx| list(tx, Filter { kind: Some(IMAGE), ..Filter::default() })).await.unwrap().is_empty()
    );
    db.write(move |tx| delete(tx, id)).await.unwrap();
    let gone = db.read(move |tx| by_id(tx, id)).await.unwrap_err();
    assert_eq!(gone.chain(), "Storage pool volume not found");
}

#[tokio::test]
async fn volumes_and_snapshots_never_share_an_id() {
    let (db, _dir) = temporary();
    let pool = pool(&db).await;
    let ids = db
        .write(move |tx| {
            let mut ids = Vec::new();
            for n in 0..5 {
                let volume = insert(tx, &custom(pool, &format!("v{n}")))?;
                ids.push(volume);
                ids.push(insert_snapshot(tx, volume, "s", "", None, &Config::new())?);
            }
            Ok(ids)
        })
        .await
        .unwrap();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    let seen: i64 = db
        .read(|tx| {
            Ok(tx.first("SELECT COUNT(DISTINCT id) FROM storage_volumes_all", [], |row| row.get(0))?.unwrap())
        })
        .await
        .unwrap();
    assert_eq!(seen, 10);
}

#[tokio::test]
async fn snapshots_of_a_volume() {
    let (db, _dir) = temporary();
    let pool = pool(&db).await;
    let soon = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let id = db
        .write(move |tx| {
            let id = insert(tx, &custom(pool, "v1"))?;
            insert_snapshot(tx, id, "b", "", Some(soon), &config(&[("size", "1GiB")]))?;
            let a = insert_snapshot(tx, id, "a", "", None, &Config::new())?;
            update_snapshot(tx, a, "text", None)?;
            rename_snapshot(tx, a, "c")?;
            Ok(id)
        })
        .await
        .unwrap();
    let all = db.read(move |tx| snapshots(tx, id)).await.unwrap();
    assert_eq!(all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!((all[0].expiry, &all[0].config), (Some(soon), &config(&[("size", "1GiB")])));
    assert_eq!(db.read(move |tx| get_snapshot(tx, id, "c")).await.unwrap().description, "text");
    let expired = db.read(move |tx| expired_snapshots(tx, soon)).await.unwrap();
    assert_eq!(expired.iter().map(|s| (s.volume_id, s.name.as_str())).collect::<Vec<_>>(), [(id, "b")]);
    let first = all[0].id;
    db.write(move |tx| delete_snapshot(tx, first)).await.unwrap();
    assert_eq!(db.read(move |tx| snapshots(tx, id)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn users_of_a_custom_volume() {
    let (db, _dir) = temporary();
    let pool = pool(&db).await;
    let volume = db
        .write(move |tx| {
            let id = insert(tx, &custom(pool, "v1"))?;
            let disk =
                devices(&[("d", &[("type", "disk"), ("pool", "p"), ("source", "v1"), ("path", "/mnt")])]);
            profiles::insert(tx, DEFAULT, "a", "", &Config::new(), &disk)?;
            for (name, devices) in [("c1", disk), ("c2", devices(&[]))] {
                let new = NewInstance {
                    project_id: DEFAULT,
                    node_id: 1,
                    name: name.into(),
                    devices,
                    ..Default::default()
                };
                instances::insert(tx, &new)?;
            }
            by_id(tx, id)
        })
        .await
        .unwrap();
    let users = db.read(move |tx| used_by(tx, &volume)).await.unwrap();
    assert_eq!(users.iter().map(User::url).collect::<Vec<_>>(), ["/1.0/instances/c1", "/1.0/profiles/a"]);
}
