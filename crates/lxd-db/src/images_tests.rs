//! Tests of `images.rs` and `image_aliases.rs`.

use super::*;
use crate::projects::DEFAULT;
use crate::testing::{config, temporary};
use lxd_types::Kind;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn new(fingerprint: &str) -> Image {
    Image {
        project_id: DEFAULT,
        fingerprint: fingerprint.into(),
        filename: "a.tar.gz".into(),
        size: 1261,
        architecture: 2,
        created: Some(at(1_600_000_000)),
        uploaded: at(1_700_000_000),
        properties: config(&[("os", "Busybox"), ("empty", "")]),
        source: Some(Source {
            server: "https://x".into(),
            protocol: 2,
            alias: "12".into(),
            ..Source::default()
        }),
        ..Image::default()
    }
}

#[tokio::test]
async fn prefixes() {
    let (db, _dir) = temporary();
    db.write(|tx| {
        for fingerprint in ["abc1", "abd2", "ffff"] {
            insert(tx, 1, &new(fingerprint), &[1])?;
        }
        Ok(())
    })
    .await
    .unwrap();
    let found = |prefix: &'static str| {
        let db = db.clone();
        async move { db.read(move |tx| get(tx, DEFAULT, prefix, false)).await.map(|image| image.fingerprint) }
    };
    assert_eq!(found("abc").await.unwrap(), "abc1");
    assert_eq!(found("ffff").await.unwrap(), "ffff");
    assert_eq!(found("ab").await.unwrap_err().chain(), "More than one image matches");
    for missing in ["", "abc12", "%", "0", "g"] {
        assert_eq!(found(missing).await.unwrap_err().chain(), "Image not found", "{missing:?}");
    }
    let private = db.read(|tx| get(tx, DEFAULT, "abc1", true)).await.unwrap_err();
    assert_eq!(private.kind(), Kind::NotFound);
}

#[tokio::test]
async fn whole_life() {
    let (db, _dir) = temporary();
    let id = db.write(|tx| insert(tx, 1, &new("abc1"), &[1])).await.unwrap();
    let image = db.read(move |tx| by_id(tx, id)).await.unwrap();
    let wanted = Image {
        id,
        project: "default".into(),
        properties: config(&[("os", "Busybox")]),
        profiles: vec!["default".into()],
        ..new("abc1")
    };
    assert_eq!(image, wanted);
    assert_eq!(db.read(|tx| list(tx, Some(DEFAULT), false)).await.unwrap(), [image]);
    let taken = db.write(|tx| insert(tx, 1, &new("abc1"), &[])).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Conflict);

    db.write(move |tx| {
        update(tx, id, true, true, Some(at(5)), &config(&[("a", "b")]), &[])?;
        set_last_used(tx, id, at(1_800_000_000))?;
        set_cached(tx, id, true)
    })
    .await
    .unwrap();
    let image = db.read(|tx| get(tx, DEFAULT, "abc", true)).await.unwrap();
    assert_eq!((image.public, image.auto_update, image.expiry), (true, true, Some(at(5))));
    assert_eq!((image.properties, image.profiles), (config(&[("a", "b")]), vec![]));
    let source = new("").source.unwrap();
    let cached = db.read(move |tx| cached_from(tx, DEFAULT, &source, CONTAINER)).await.unwrap();
    assert_eq!(cached.as_deref(), Some("abc1"));
    let same = new("").source.unwrap();
    for other in [
        Source { certificate: "pem".into(), ..same.clone() },
        Source { project: "p1".into(), ..same.clone() },
        Source { server: "https://y".into(), ..same.clone() },
    ] {
        let found = db.read(move |tx| cached_from(tx, DEFAULT, &other, CONTAINER)).await.unwrap();
        assert_eq!(found, None);
    }
    assert_eq!(db.read(|tx| unused_since(tx, at(1_799_999_999))).await.unwrap(), Vec::<i64>::new());
    assert_eq!(db.read(|tx| unused_since(tx, at(1_800_000_000))).await.unwrap(), [id]);
    assert_eq!(db.read(|tx| projects_of(tx, "abc1")).await.unwrap(), [(DEFAULT, "default".to_owned())]);
    db.write(move |tx| delete(tx, id)).await.unwrap();
    assert!(db.read(|tx| fingerprints(tx, DEFAULT, false)).await.unwrap().is_empty());
}

#[tokio::test]
async fn aliases() {
    let (db, _dir) = temporary();
    let (old, young) = db
        .write(|tx| {
            let old = insert(tx, 1, &new("abc1"), &[])?;
            let young = insert(tx, 1, &new("abd2"), &[])?;
            image_aliases::insert(tx, DEFAULT, old, "z", "last")?;
            image_aliases::insert(tx, DEFAULT, old, "a", "")?;
            Ok((old, young))
        })
        .await
        .unwrap();
    let image = db.read(move |tx| by_id(tx, old)).await.unwrap();
    assert_eq!(image.aliases.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
    let sorted = db.read(|tx| image_aliases::list(tx, DEFAULT, false)).await.unwrap();
    assert_eq!(sorted.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["a", "z"]);
    assert!(db.read(|tx| image_aliases::list(tx, DEFAULT, true)).await.unwrap().is_empty());
    db.write(move |tx| {
        let z = image_aliases::get(tx, DEFAULT, "z")?;
        image_aliases::rename(tx, z.id, "y")?;
        image_aliases::update(tx, z.id, old, "text")?;
        image_aliases::move_all(tx, old, young)?;
        image_aliases::delete(tx, image_aliases::get(tx, DEFAULT, "a")?.id)
    })
    .await
    .unwrap();
    let left = db.read(|tx| image_aliases::list(tx, DEFAULT, false)).await.unwrap();
    assert_eq!((left.len(), left[0].name.as_str(), left[0].fingerprint.as_str()), (1, "y", "abd2"));
    assert_eq!(left[0].description, "text");
    let taken = db.write(move |tx| image_aliases::insert(tx, DEFAULT, old, "y", "")).await.unwrap_err();
    assert_eq!(taken.chain(), "This \"images_aliases\" entry already exists");
}
