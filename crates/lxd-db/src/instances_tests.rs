//! Tests of `instances.rs`.

use std::time::{Duration, Instant};

use super::*;
use crate::instance_briefs::{Brief, briefs};
use crate::profiles;
use crate::projects::DEFAULT;
use crate::testing::{config, devices, temporary};
use lxd_types::Kind;

fn new(name: &str) -> NewInstance {
    NewInstance {
        project_id: DEFAULT,
        node_id: 1,
        name: name.to_owned(),
        architecture: 2,
        created: DateTime::from_timestamp(1_700_000_000, 123_000).unwrap(),
        config: config(&[("limits.cpu", "2"), ("volatile.uuid", "x"), ("user.empty", "")]),
        devices: devices(&[("root", &[("type", "disk"), ("path", "/"), ("pool", "default")])]),
        profiles: vec![1],
        ..NewInstance::default()
    }
}

#[tokio::test]
async fn reads_what_was_recorded() {
    let (db, _dir) = temporary();
    let id = db.write(|tx| insert(tx, &new("c1"))).await.unwrap();
    let c1 = db.read(|tx| get(tx, DEFAULT, "c1")).await.unwrap();
    assert_eq!((c1.id, c1.project.as_str(), c1.node.as_str()), (id, "default", "none"));
    assert_eq!(c1.config, config(&[("limits.cpu", "2"), ("volatile.uuid", "x")]));
    assert_eq!(c1.devices, new("c1").devices);
    assert_eq!(c1.profiles, ["default"]);
    assert_eq!((c1.created, c1.last_used), (new("c1").created, None));
    assert_eq!(db.read(|tx| get_in(tx, "default", "c1")).await.unwrap(), c1);
    assert_eq!(db.read(move |tx| by_id(tx, id)).await.unwrap(), c1);
    assert_eq!(db.read(|tx| list(tx, Filter::default())).await.unwrap(), [c1]);
    let taken = db.write(|tx| insert(tx, &new("c1"))).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Conflict);
    let missing = db.read(|tx| get(tx, DEFAULT, "c2")).await.unwrap_err();
    assert_eq!((missing.kind(), missing.chain().as_str()), (Kind::NotFound, "Instance not found"));
}

#[tokio::test]
async fn update_writes_what_differs() {
    let (db, _dir) = temporary();
    let (id, web) = db
        .write(|tx| {
            let web = profiles::insert(tx, DEFAULT, "web", "", &Config::new(), &Devices::new())?;
            Ok((insert(tx, &new("c1"))?, web))
        })
        .await
        .unwrap();
    db.write(move |tx| {
        let change = Change {
            architecture: 2,
            ephemeral: true,
            description: "d".into(),
            config: config(&[("limits.cpu", "4"), ("user.a", "b")]),
            devices: devices(&[("eth0", &[("type", "nic"), ("network", "br0")])]),
            profiles: vec![web, 1],
        };
        update(tx, id, &change)
    })
    .await
    .unwrap();
    let c1 = db.read(move |tx| by_id(tx, id)).await.unwrap();
    assert_eq!(c1.config, config(&[("limits.cpu", "4"), ("user.a", "b")]));
    assert_eq!(c1.devices, devices(&[("eth0", &[("type", "nic"), ("network", "br0")])]));
    assert_eq!(c1.profiles, ["web", "default"]);
    assert!(c1.ephemeral && c1.description == "d");
    let users = db.read(move |tx| profiles::used_by(tx, web)).await.unwrap();
    assert_eq!(users.iter().map(crate::used_by::User::url).collect::<Vec<_>>(), ["/1.0/instances/c1"]);
    assert_eq!(db.read(move |tx| by_profile(tx, web)).await.unwrap(), [(id, "default".into(), "c1".into())]);
}

#[tokio::test]
async fn briefs_have_what_was_asked_for() {
    let (db, _dir) = temporary();
    let one = NewInstance {
        config: config(&[("limits.cpu", "2"), ("user.a", "b")]),
        devices: [("root".to_owned(), config(&[("type", "disk"), ("size", "1GiB")]))].into(),
        ..new("c1")
    };
    db.write(move |tx| insert(tx, &one).map(drop)).await.unwrap();
    let bare = db.read(|tx| briefs(tx, DEFAULT, &[], false)).await.unwrap();
    assert_eq!(bare, [Brief { name: "c1".into(), ..Brief::default() }]);
    let full = db.read(|tx| briefs(tx, DEFAULT, &["limits.cpu", "limits.memory"], true)).await.unwrap();
    assert_eq!(full[0].config, config(&[("limits.cpu", "2")]));
    assert_eq!(full[0].devices["root"]["size"], "1GiB");
    assert_eq!(db.read(|tx| briefs(tx, 99, &["limits.cpu"], true)).await.unwrap(), []);
}

#[tokio::test]
async fn small_changes() {
    let (db, _dir) = temporary();
    let id = db.write(|tx| insert(tx, &new("c1"))).await.unwrap();
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    db.write(move |tx| {
        let keys = [("volatile.uuid".to_owned(), None), ("volatile.a".to_owned(), Some("1".to_owned()))];
        set_keys(tx, id, &keys.into())?;
        set_power(tx, id, "RUNNING")?;
        set_last_used(tx, id, now)?;
        set_stateful(tx, id, true)?;
        relocate(tx, id, DEFAULT, "c2")
    })
    .await
    .unwrap();
    let c2 = db.read(|tx| get(tx, DEFAULT, "c2")).await.unwrap();
    let wanted = [("limits.cpu", "2"), ("volatile.a", "1"), ("volatile.last_state.power", "RUNNING")];
    assert_eq!(c2.config, config(&wanted));
    assert_eq!((c2.last_used, c2.stateful), (Some(now), true));
    db.write(move |tx| delete(tx, id)).await.unwrap();
    assert!(db.read(|tx| names(tx, Filter::default())).await.unwrap().is_empty());
}

#[tokio::test]
async fn backup_yaml_stays_stale_when_something_changed_meanwhile() {
    let (db, _dir) = temporary();
    let id = db.write(|tx| insert(tx, &new("c1"))).await.unwrap();
    let seen = db.read(|tx| stale(tx, 1)).await.unwrap();
    assert_eq!(seen, [(id, 1)]);
    let profile = db.read(|tx| profiles::get(tx, DEFAULT, "default")).await.unwrap();
    db.write(move |tx| profiles::update(tx, profile.id, "", &config(&[("user.a", "b")]), &Devices::new()))
        .await
        .unwrap();
    db.write(move |tx| clear_stale(tx, &seen)).await.unwrap();
    let seen = db.read(|tx| stale(tx, 1)).await.unwrap();
    assert_eq!(seen, [(id, 2)]);
    db.write(move |tx| clear_stale(tx, &seen)).await.unwrap();
    assert!(db.read(|tx| stale(tx, 1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_of_500() {
    let (db, _dir) = temporary();
    db.write(|tx| {
        for n in 0..500 {
            let mut one = new(&format!("c{n:03}"));
            for k in 0..12 {
                one.config.insert(format!("volatile.key{k}"), format!("value {n} {k}"));
            }
            insert(tx, &one)?;
        }
        Ok(())
    })
    .await
    .unwrap();
    let all = db.read(|tx| list(tx, Filter::default())).await.unwrap();
    let mut listed = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        db.read(|tx| list(tx, Filter::default())).await.unwrap();
        listed = listed.min(started.elapsed());
    }
    assert_eq!(
        (all.len(), all[7].config.len(), all[7].devices.len(), all[7].profiles.len()),
        (500, 14, 1, 1)
    );
    let started = Instant::now();
    for n in 0..500 {
        let name = format!("c{n:03}");
        db.read(move |tx| get(tx, DEFAULT, &name)).await.unwrap();
    }
    // For those who look (`--nocapture`); a loaded machine makes no good judge, so nothing is demanded here.
    println!("500 listed in {listed:?}, one read in {:?}", started.elapsed() / 500);
    let filter = Filter { kind: Some(VIRTUAL_MACHINE), ..Filter::default() };
    assert!(db.read(move |tx| list(tx, filter)).await.unwrap().is_empty());
}
