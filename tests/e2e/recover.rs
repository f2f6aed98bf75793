//! `lxd recover`: what lies in pools comes back after the database was lost.

use std::path::{Path, PathBuf};

use lxd_testkit::{Daemon, binary};
use serde_json::{Value, json};

/// Ends the daemon and starts it with an empty database.
fn without_database(daemon: &mut Daemon) {
    daemon.stop();
    // As after a start of the host.
    let _ = rustix::mount::unmount(
        &daemon.lxd_dir().join("storage-pools/bt"),
        rustix::mount::UnmountFlags::NOFOLLOW,
    );
    std::fs::remove_dir_all(daemon.lxd_dir().join("database")).unwrap();
    daemon.launch();
}

/// The answers of `lxd recover` for these pools (name, driver, source).
fn answers(pools: &[(&str, &str, &Path)], rest: &str) -> String {
    let one = |(name, driver, source): &(&str, &str, &Path)| {
        format!("yes\n{name}\n{driver}\n{}\n\n", source.display())
    };
    let all: String = pools.iter().map(one).collect();
    format!("{all}no\nyes\n{rest}")
}

pub fn recover(daemon: &Daemon, input: &str) -> (bool, String, String) {
    let output = daemon.client_with(&binary("lxd"), &["recover"], input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// What of an instance must come back.
fn state(daemon: &Daemon, url: &str) -> Value {
    let mut found = daemon.get(url).metadata();
    for key in ["used_by", "status", "status_code", "last_used_at", "size"] {
        found.as_object_mut().unwrap().remove(key);
    }
    found
}

const URLS: [&str; 7] = [
    "/1.0/instances/c1",
    "/1.0/instances/c1/snapshots/s1",
    "/1.0/instances/c1/snapshots/s2",
    "/1.0/instances/b1",
    "/1.0/instances/b1/snapshots/s1",
    "/1.0/storage-pools/default/volumes/custom/v1/snapshots/v1s",
    "/1.0/storage-pools/bt/volumes/custom/v2",
];

fn filled() -> (Daemon, PathBuf, PathBuf) {
    let daemon = Daemon::start_with(&[("LXD_TEST_FAULTS", "1")]).with_pool_and_image();
    daemon.ok(
        "POST",
        "/1.0/storage-pools",
        &json!({"name": "bt", "driver": "btrfs", "config": {"size": "1GiB"}}),
    );
    daemon.ok(
        "POST",
        "/1.0/projects",
        &json!({"name": "p1", "config": {"features.images": "false", "features.profiles": "false"}}),
    );
    let device = json!({"null": {"type": "unix-char", "source": "/dev/null", "path": "/dev/mine"},
        "root": {"type": "disk", "path": "/", "pool": "default"}});
    daemon.create("c1", &json!({"config": {"user.a": "1", "limits.memory": "64MiB"}, "devices": device, "description": "first"}));
    let expiry = json!({"name": "s1", "expires_at": "2099-01-02T03:04:05Z"});
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &expiry);
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"user.a": "2"}}));
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s2"}));
    let root = json!({"root": {"type": "disk", "path": "/", "pool": "bt", "size": "300MiB"}});
    daemon.create("b1", &json!({"devices": root}));
    daemon.ok("POST", "/1.0/instances/b1/snapshots", &json!({"name": "s1"}));
    let image = json!({"name": "c1", "source": {"type": "image", "alias": "busybox"}});
    daemon.ok("POST", "/1.0/instances?project=p1", &image);
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &json!({"name": "v1"}));
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom/v1/snapshots", &json!({"name": "v1s"}));
    daemon.ok("POST", "/1.0/storage-pools/bt/volumes/custom", &json!({"name": "v2"}));
    let (dir, disk) = (daemon.lxd_dir().join("storage-pools/default"), daemon.lxd_dir().join("disks/bt.img"));
    (daemon, dir, disk)
}

#[test]
fn everything_comes_back_after_the_database_was_lost() {
    let (mut daemon, dir, disk) = filled();
    let before: Vec<Value> = URLS.iter().map(|url| state(&daemon, url)).collect();
    let pool = daemon.get("/1.0/storage-pools/bt").metadata()["config"].clone();
    without_database(&mut daemon);
    let pools = [("default", "dir", &*dir), ("bt", "btrfs", &*disk)];
    // The project and what the profile has lack: nothing is written.
    let (_, shown, error) = recover(&daemon, &answers(&pools, ""));
    assert!(shown.contains(" - NEW: \"bt\" (backend=\"btrfs\", source=\""), "{shown}");
    assert!(
        shown.contains(
            " - Container \"c1\" on pool \"default\" in project \"default\" (includes 2 snapshots)\n"
        ),
        "{shown} {error}"
    );
    assert!(
        shown.contains(" - Volume \"v2\" on pool \"bt\" in project \"default\" (includes 0 snapshots)\n"),
        "{shown}"
    );
    assert!(shown.ends_with("You are currently missing the following:\n - Project \"p1\"\nPlease create those missing entries and then hit ENTER: "), "{shown}");
    assert_eq!(daemon.get("/1.0/storage-pools").metadata(), json!([]));
    assert!(!daemon.lxd_dir().join("storage-pools/bt").exists(), "a pool that was only looked at stays open");
    daemon.ok(
        "POST",
        "/1.0/projects",
        &json!({"name": "p1", "config": {"features.images": "false", "features.profiles": "false"}}),
    );
    let root = json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "default"}}});
    let (done, shown, error) = recover(&daemon, &answers(&pools, "no\n"));
    assert!(
        done && shown.ends_with("Would you like those to be recovered? (yes/no) [default=no]: "),
        "{shown} {error}"
    );
    assert_eq!(daemon.get("/1.0/instances").metadata(), json!([]));
    let (done, shown, error) = recover(&daemon, &answers(&pools, "yes\n"));
    assert!(done && shown.ends_with("Starting recovery...\n"), "{shown} {error}");
    // The profile has no root disk any more: the instance that had it from there has it by itself.
    let devices = daemon.get("/1.0/instances/c1?project=p1").metadata()["devices"].clone();
    assert_eq!(devices, root["devices"]);
    daemon.ok("PATCH", "/1.0/profiles/default", &root);
    for (url, before) in URLS.iter().zip(&before) {
        assert_eq!(&state(&daemon, url), before, "{url}");
    }
    assert_eq!(daemon.get("/1.0/storage-pools/bt").metadata()["config"], pool);
    // It is of use, and once more nothing is found.
    daemon.state("c1", "start", "");
    daemon.state("b1", "start", "");
    daemon.ok("DELETE", "/1.0/instances/c1/snapshots/s1", &Value::Null);
    let (done, shown, _) = recover(&daemon, "no\nyes\n");
    assert!(
        done && shown
            .ends_with("Scanning for unknown volumes...\nNo unknown volumes found. Nothing to do.\n"),
        "{shown}"
    );
    for name in ["c1", "b1"] {
        daemon.remove(name);
    }
}

#[test]
fn what_does_not_agree_or_is_forbidden_is_not_taken_over() {
    let mut daemon = Daemon::start_with(&[("LXD_TEST_FAULTS", "1")]).with_pool_and_image();
    let features = json!({"features.images": "false"});
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1", "config": features}));
    let root = json!({"root": {"type": "disk", "path": "/", "pool": "default"}});
    let image = json!({"name": "c1", "source": {"type": "image", "alias": "busybox"}, "devices": root,
        "config": {"security.nesting": "true"}});
    daemon.ok("POST", "/1.0/instances?project=p1", &image);
    let dir = daemon.lxd_dir().join("storage-pools/default");
    without_database(&mut daemon);
    let pools = [("default", "dir", &*dir)];
    let mut restricted = features.clone();
    restricted["restricted"] = json!("true");
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1", "config": restricted}));
    let (done, _, error) = recover(&daemon, &answers(&pools, "yes\n"));
    assert!(!done && error.contains("Container nesting is forbidden"), "{error}");
    assert_eq!(daemon.get("/1.0/storage-pools").metadata(), json!([]));
    daemon.ok("PUT", "/1.0/projects/p1", &json!({"config": features}));
    // A link in place of the file, then one that says other things.
    let file = dir.join("containers/p1_c1/backup.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    let (done, _, error) = recover(&daemon, &answers(&pools, "yes\n"));
    assert!(!done && error.contains("Failed parsing backup file"), "{error}");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, good.replace("name: c1", "name: c2")).unwrap();
    let (done, _, error) = recover(&daemon, &answers(&pools, "yes\n"));
    assert!(!done && error.contains("has a different name in its backup.yaml"), "{error}");
    std::fs::write(&file, &good).unwrap();
    std::fs::create_dir_all(dir.join("containers-snapshots/p1_c1/extra")).unwrap();
    let (done, _, error) = recover(&daemon, &answers(&pools, "yes\n"));
    assert!(!done && error.contains("has snapshot inconsistency"), "{error}");
    std::fs::remove_dir_all(dir.join("containers-snapshots/p1_c1")).unwrap();
    // What is no pool stays as it is.
    let foreign = daemon.scratch().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    let (done, _, error) = recover(&daemon, &answers(&[("x", "dir", &foreign)], "yes\n"));
    assert!(!done && error.contains("Failed mounting pool \"x\""), "{error}");
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 0);
    assert!(!daemon.lxd_dir().join("storage-pools/x").exists());
    // Killed before and after the one transaction, it is done by the next try.
    for at in 1.. {
        daemon.ok("PUT", &format!("/internal/faults?fault=kill&at={at}"), &Value::Null);
        let (done, _, _) = recover(&daemon, &answers(&pools, "yes\n"));
        if done {
            break;
        }
        assert!(at < 20, "{}", daemon.log());
        daemon.kill();
        daemon.launch();
        if daemon.get("/1.0/instances/c1?project=p1").status == 200 {
            break;
        }
    }
    daemon.ok("PUT", "/internal/faults?fault=none", &Value::Null);
    assert_eq!(daemon.get("/1.0/instances/c1?project=p1").metadata()["config"]["security.nesting"], "true");
    daemon.ok("DELETE", "/1.0/instances/c1?project=p1", &Value::Null);
}

#[test]
fn a_pool_that_was_only_looked_at_is_left_after_kill_9_at_any_point() {
    let mut daemon = Daemon::start_with(&[("LXD_TEST_FAULTS", "1")]);
    let outside = daemon.scratch().join("outside");
    std::fs::create_dir(&outside).unwrap();
    for pool in [
        json!({"name": "bt", "driver": "btrfs", "config": {"size": "512MiB"}}),
        json!({"name": "out", "driver": "dir", "config": {"source": outside}}),
    ] {
        daemon.ok("POST", "/1.0/storage-pools", &pool);
        let volumes = format!("/1.0/storage-pools/{}/volumes/custom", pool["name"].as_str().unwrap());
        daemon.ok("POST", &volumes, &json!({"name": "v1"}));
    }
    let disk = daemon.lxd_dir().join("disks/bt.img");
    let place = |name: &str| daemon.lxd_dir().join("storage-pools").join(name);
    let places = [place("bt"), place("out")];
    without_database(&mut daemon);
    rustix::mount::unmount(&places[1], rustix::mount::UnmountFlags::NOFOLLOW).unwrap();
    places.iter().for_each(|place| std::fs::remove_dir(place).unwrap());
    let pools = [("bt", "btrfs", &*disk), ("out", "dir", &*outside)];
    let mut looked = 0;
    for at in 1.. {
        daemon.ok("PUT", &format!("/internal/faults?fault=kill&at={at}"), &Value::Null);
        let (done, _, _) = recover(&daemon, &answers(&pools, "yes\n"));
        if done {
            break;
        }
        assert!(at < 40, "{}", daemon.log());
        daemon.kill();
        daemon.launch();
        if daemon.get("/1.0/storage-pools").metadata() != json!([]) {
            break;
        }
        looked += 1;
        let left: Vec<_> = places.iter().filter(|place| place.exists()).collect();
        assert!(left.is_empty(), "killed at point {at}: {left:?}");
    }
    assert!(looked > 5, "{looked} points");
    daemon.ok("PUT", "/internal/faults?fault=none", &Value::Null);
    for name in ["bt", "out"] {
        daemon.ok("DELETE", &format!("/1.0/storage-pools/{name}/volumes/custom/v1"), &Value::Null);
        daemon.ok("DELETE", &format!("/1.0/storage-pools/{name}"), &Value::Null);
    }
}

#[test]
fn a_copied_data_directory_is_the_same_server() {
    let (mut daemon, _, disk) = filled();
    let before: Vec<Value> = URLS.iter().map(|url| state(&daemon, url)).collect();
    daemon.stop();
    let place = daemon.lxd_dir().join("storage-pools/bt");
    let _ = rustix::mount::unmount(&place, rustix::mount::UnmountFlags::NOFOLLOW);
    let written = std::fs::metadata(&disk).unwrap().modified().unwrap();
    let original = daemon.lxd_dir();
    let copy = Daemon::start_in(&[], |to| {
        let mut cp = std::process::Command::new("cp");
        cp.args(["-a", "--sparse=always", "--one-file-system"]).arg(&original).arg(to);
        assert!(cp.status().unwrap().success());
    });
    for (url, before) in URLS.iter().zip(&before) {
        assert_eq!(&state(&copy, url), before, "{url}");
    }
    let source = copy.get("/1.0/storage-pools/bt").metadata()["config"]["source"].clone();
    assert_eq!(source, json!(copy.lxd_dir().join("disks/bt.img")));
    for name in ["c1", "b1"] {
        copy.state(name, "start", "");
        let link = std::fs::read_link(copy.lxd_dir().join("containers").join(name)).unwrap();
        assert!(link.starts_with(copy.lxd_dir()), "{link:?}");
        copy.remove(name);
    }
    drop(copy);
    assert_eq!(std::fs::metadata(&disk).unwrap().modified().unwrap(), written);
    daemon.launch();
    assert_eq!(state(&daemon, URLS[3]), before[3]);
}

/// What a server leaves that shifts owners on disk: everything of the map's ids.
fn shift_by_hand(root: &Path, base: u32) {
    use std::os::unix::fs::{MetadataExt, lchown};
    let found = std::fs::symlink_metadata(root).unwrap();
    lchown(root, Some(base + found.uid()), Some(base + found.gid())).unwrap();
    if found.is_dir() {
        std::fs::read_dir(root).unwrap().for_each(|entry| shift_by_hand(&entry.unwrap().path(), base));
    }
}

#[test]
fn owners_that_a_server_shifted_are_shifted_back_whatever_interrupts_it() {
    use std::os::unix::fs::MetadataExt;
    let (mut daemon, dir, disk) = filled();
    let bt = daemon.lxd_dir().join("storage-pools/bt");
    let trees = [
        dir.join("containers/c1"),
        dir.join("containers-snapshots/c1/s1"),
        bt.join("containers/b1"),
        bt.join("containers-snapshots/b1/s1"),
    ];
    let before: Vec<Value> = URLS.iter().map(|url| state(&daemon, url)).collect();
    daemon.stop();
    let subvolume = |read_only: &str| {
        let mut btrfs = std::process::Command::new("btrfs");
        btrfs.args(["property", "set", "-ts"]).arg(&trees[3]).args(["ro", read_only]);
        assert!(btrfs.status().unwrap().success());
    };
    subvolume("false");
    let one = |user: bool| json!({"Isuid": user, "Isgid": !user, "Hostid": 100_000, "Nsid": 0, "Maprange": 1_000_000});
    let map = json!([one(true), one(false)]).to_string();
    for tree in &trees {
        shift_by_hand(&tree.join("rootfs"), 100_000);
    }
    for (tree, parts) in [(&trees[0], 3), (&trees[2], 2)] {
        let file = tree.join("backup.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let key = "volatile.last_state.idmap: '[]'";
        // The instance and its first snapshot; the other snapshot of `c1` was never shifted.
        let times = text.matches(key).count() * 2 / parts;
        assert!(times > 0);
        std::fs::write(&file, text.replacen(key, &format!("volatile.last_state.idmap: '{map}'"), times))
            .unwrap();
    }
    subvolume("true");
    daemon.launch();
    without_database(&mut daemon);
    daemon.ok(
        "POST",
        "/1.0/projects",
        &json!({"name": "p1", "config": {"features.images": "false", "features.profiles": "false"}}),
    );
    let pools = [("default", "dir", &*dir), ("bt", "btrfs", &*disk)];
    let mut killed = 0;
    for at in 1.. {
        daemon.ok("PUT", &format!("/internal/faults?fault=kill&at={at}"), &Value::Null);
        let (done, _, _) = recover(&daemon, &answers(&pools, "yes\n"));
        if done {
            break;
        }
        killed += 1;
        assert!(killed < 30, "{}", daemon.log());
        daemon.kill();
        daemon.launch();
        if daemon.get("/1.0/instances/c1").status == 200 {
            break;
        }
    }
    daemon.ok("PUT", "/internal/faults?fault=none", &Value::Null);
    assert!(killed > 3);
    let owner = |path: &Path| std::fs::symlink_metadata(path).unwrap().uid();
    for tree in &trees {
        assert_eq!((owner(&tree.join("rootfs")), owner(&tree.join("rootfs/bin"))), (0, 0), "{tree:?}");
        assert!(!tree.join("shift.plan").exists(), "{tree:?}");
    }
    assert!(std::fs::write(trees[3].join("x"), "").is_err(), "a snapshot stays one that nobody writes to");
    let root = json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "default"}}});
    daemon.ok("PATCH", "/1.0/profiles/default", &root);
    for (url, before) in URLS.iter().zip(&before) {
        assert_eq!(&state(&daemon, url), before, "{url}");
    }
    daemon.state("c1", "start", "");
    for name in ["c1", "b1"] {
        daemon.remove(name);
    }
}
