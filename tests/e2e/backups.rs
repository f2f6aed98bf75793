//! Backups of instances, and instances made of them.

use std::path::Path;
use std::process::Command;

use lxd_testkit::{Daemon, request_raw, wait_for};
use serde_json::{Value, json};

use crate::world::World;

/// A daemon with the instance `c1` and its snapshot `s1`; the file `data` says `one` in the snapshot and `two` now.
fn prepared() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({"config": {"user.a": "1"}}));
    let root = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs");
    std::fs::write(root.join("data"), "one").unwrap();
    std::os::unix::fs::chown(root.join("data"), Some(1234), Some(4321)).unwrap();
    std::fs::hard_link(root.join("data"), root.join("link")).unwrap();
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s1"}));
    std::fs::write(root.join("data"), "two").unwrap();
    daemon
}

fn list(archive: &Path) -> Vec<String> {
    let output = Command::new("tar").arg("tf").arg(archive).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| !line.contains("/rootfs/"))
        .map(|line| line.trim_end_matches('/').to_owned())
        .collect()
}

#[test]
fn an_exported_instance_comes_back() {
    let daemon = prepared();
    let archive = daemon.scratch().join("b.tar.gz");
    let told = daemon.lxc_ok(&["export", "c1", archive.to_str().unwrap()]);
    assert_eq!(told, "Backup exported successfully!\n");
    assert_eq!(daemon.get("/1.0/instances/c1/backups").metadata(), json!([]));
    let mut names = list(&archive);
    assert_eq!(names[0], "backup/index.yaml");
    names.sort();
    for name in ["backup/container", "backup/container/backup.yaml", "backup/snapshots/s1/rootfs"] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
    let taken = daemon.lxc(&["import", archive.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("already exists"));
    daemon.lxc_ok(&["import", archive.to_str().unwrap(), "c2"]);
    let pool = daemon.lxd_dir().join("storage-pools/default");
    assert_eq!(std::fs::read_to_string(pool.join("containers/c2/rootfs/data")).unwrap(), "two");
    assert_eq!(std::fs::read_to_string(pool.join("containers-snapshots/c2/s1/rootfs/data")).unwrap(), "one");
    let stat = |path: &str| {
        let found = std::fs::metadata(pool.join(path)).unwrap();
        use std::os::unix::fs::MetadataExt;
        (found.uid(), found.gid(), found.mode(), found.nlink(), found.mtime(), found.mtime_nsec())
    };
    assert_eq!(stat("containers/c2/rootfs/data"), stat("containers/c1/rootfs/data"));
    let config = |name: &str, key: &str| {
        daemon.get(&format!("/1.0/instances/{name}")).metadata()["config"][key].clone()
    };
    assert_eq!(config("c2", "user.a"), "1");
    assert_ne!(config("c2", "volatile.uuid"), config("c1", "volatile.uuid"));
    daemon.ok("PUT", "/1.0/instances/c2", &json!({"restore": "s1"}));
    assert_eq!(std::fs::read_to_string(pool.join("containers/c2/rootfs/data")).unwrap(), "one");
    daemon.state("c2", "start", "");
    wait_for("the image's init", 20, || {
        daemon.lxc(&["exec", "c2", "--", "test", "-e", "/run/booted"]).status.success().then_some(())
    });
    daemon.state("c2", "stop", "force");
    daemon.ok("DELETE", "/1.0/instances/c1", &Value::Null);
    daemon.lxc_ok(&["import", archive.to_str().unwrap()]);
    assert_eq!(config("c1", "user.a"), "1");
}

#[test]
fn a_backup_is_listed_renamed_fetched_and_leaves_nothing() {
    let daemon = prepared();
    daemon.state("c1", "start", "");
    let before = World::of(&daemon);
    let folder = daemon.lxd_dir().join("backups/instances");
    let post = json!({"name": "bk", "compression_algorithm": "none", "instance_only": true});
    daemon.ok("POST", "/1.0/instances/c1/backups", &post);
    assert_eq!(daemon.status("c1"), "Running");
    let again = daemon.fails("POST", "/1.0/instances/c1/backups", &json!({"name": "bk"}));
    assert_eq!(again, "Create backup: Backup \"c1/bk\" already exists");
    let slash = daemon.fails("POST", "/1.0/instances/c1/backups", &json!({"name": "bad/name"}));
    assert_eq!(slash, "Backup names may not contain slashes");
    daemon.ok("POST", "/1.0/instances/c1/backups/bk", &json!({"name": "bk2"}));
    assert!(folder.join("c1/bk2").exists() && !folder.join("c1/bk").exists());
    let listed = daemon.get("/1.0/instances/c1/backups?recursion=1").metadata();
    assert_eq!((&listed[0]["name"], &listed[0]["instance_only"]), (&json!("bk2"), &json!(true)));
    let fetched =
        request_raw(&daemon.socket(), "GET", "/1.0/instances/c1/backups/bk2/export", &[], b"").unwrap();
    let archive = daemon.scratch().join("fetched.tar");
    std::fs::write(&archive, &fetched.bytes).unwrap();
    assert!(!list(&archive).iter().any(|name| name.starts_with("backup/snapshots")));
    daemon.ok("DELETE", "/1.0/instances/c1/backups/bk2", &Value::Null);
    let gone = daemon.get("/1.0/instances/c1/backups/bk2");
    assert_eq!(
        (gone.status, gone.error().as_str()),
        (404, "Load backup from database: Instance backup not found")
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn what_is_no_backup_is_refused_and_leaves_nothing() {
    let daemon = prepared();
    let before = World::of(&daemon);
    let send = |bytes: &[u8]| {
        let headers = [("Content-Type", "application/octet-stream")];
        let answer = request_raw(&daemon.socket(), "POST", "/1.0/instances", &headers, bytes).unwrap();
        if answer.status != 202 {
            return answer.error();
        }
        let operation = answer.json()["operation"].as_str().unwrap().to_owned();
        daemon.get(&format!("{operation}/wait?timeout=60")).metadata()["err"].as_str().unwrap().to_owned()
    };
    assert_eq!(send(b"garbage"), "Unsupported compression");
    let place = daemon.scratch().join("evil");
    let pack = |index: &str| {
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(place.join("backup/container/rootfs")).unwrap();
        std::fs::write(place.join("backup/index.yaml"), index).unwrap();
        let archive = daemon.scratch().join("evil.tar");
        let done = Command::new("tar").arg("cf").arg(&archive).arg("-C").arg(&place).arg("backup").status();
        assert!(done.unwrap().success());
        std::fs::read(&archive).unwrap()
    };
    let index = |name: &str, more: &str| {
        format!(
            "name: {name}\ntype: container\nconfig:\n  container:\n    name: {name}\n    architecture: x86_64\n    profiles: [default]\n{more}"
        )
    };
    assert!(send(&pack("name: x\n")).contains("does not say"));
    assert!(send(&pack(&index("../x", ""))).contains("name"));
    assert!(
        send(&pack(&index("x", "    config:\n      raw.lxc: lxc.ephemeral = 1\n"))).contains("not allowed")
    );
    let shifted = "    config:\n      volatile.last_state.idmap: '[{\"Isuid\":true}]'\n";
    assert!(send(&pack(&index("x", shifted))).contains("Invalid volatile.last_state.idmap"));
    let snapshot = "  snapshots:\n  - name: ../../x\n";
    assert!(send(&pack(&index("x", snapshot))).contains("snapshot name"));
    let absent = "  snapshots:\n  - name: absent\n";
    assert!(send(&pack(&index("x", absent))).contains("lacks files"));
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(daemon.lxd_dir().join("backups")).unwrap().count(), 2);
}

/// Hosts whose mounts cannot shift ids have files with the owners of the map.
#[test]
fn owners_that_a_host_shifted_are_those_of_the_inside_again() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s1"}));
    let pool = daemon.lxd_dir().join("storage-pools/default");
    let place = daemon.scratch().join("shifted");
    let capability = [&[1, 0, 0, 3, 0, 0x20][..], &[0; 14], &100_000_u32.to_le_bytes()].concat();
    for (part, base) in [("snapshots/s1", 200_000), ("container", 100_000)] {
        let root = place.join("backup").join(part).join("rootfs");
        std::fs::create_dir_all(&root).unwrap();
        for (name, uid, gid) in [("file", base + 1000, base + 5), ("host", 7, base), ("tool", base, base)] {
            std::fs::write(root.join(name), name).unwrap();
            chown(root.join(name), Some(uid), Some(gid)).unwrap();
        }
        std::fs::set_permissions(root.join("file"), std::fs::Permissions::from_mode(0o6755)).unwrap();
        symlink("file", root.join("link")).unwrap();
        lchown(root.join("link"), Some(base + 1), Some(base + 2)).unwrap();
        chown(&root, Some(base), Some(base)).unwrap();
    }
    let tool = place.join("backup/container/rootfs/tool");
    rustix::fs::setxattr(&tool, "security.capability", &capability, rustix::fs::XattrFlags::empty()).unwrap();
    let map = |base: u32| {
        let one =
            |user: bool| json!({"Isuid": user, "Isgid": !user, "Hostid": base, "Nsid": 0, "Maprange": 65536});
        json!({"volatile.last_state.idmap": json!([one(true), one(false)]).to_string(), "user.a": "1"})
    };
    let snapshot = json!({"name": "s1", "config": map(200_000)});
    let container =
        json!({"name": "c2", "architecture": "x86_64", "profiles": ["default"], "config": map(100_000)});
    let index = json!({"name": "c2", "type": "container", "snapshots": ["s1"],
        "config": {"container": container, "snapshots": [snapshot]}});
    std::fs::write(place.join("backup/index.yaml"), index.to_string()).unwrap();
    let archive = daemon.scratch().join("shifted.tar");
    let mut tar = Command::new("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "-cf"]).arg(&archive).arg("-C").arg(&place);
    assert!(
        tar.args(["backup/index.yaml", "backup/snapshots", "backup/container"]).status().unwrap().success()
    );
    daemon.lxc_ok(&["import", archive.to_str().unwrap()]);
    for root in [pool.join("containers/c2/rootfs"), pool.join("containers-snapshots/c2/s1/rootfs")] {
        let owner = |name: &str| {
            let found = std::fs::symlink_metadata(root.join(name)).unwrap();
            (found.uid(), found.gid())
        };
        assert_eq!(["", "file", "link", "tool"].map(owner), [(0, 0), (1000, 5), (1, 2), (0, 0)]);
        // What belonged to the host belonged to nobody inside.
        assert_eq!(owner("host"), (65534, 0));
        assert_eq!(std::fs::metadata(root.join("file")).unwrap().mode() & 0o7777, 0o6755);
    }
    let mut value = [0; 32];
    let tool = pool.join("containers/c2/rootfs/tool");
    let length = rustix::fs::getxattr(&tool, "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..length], [&[1, 0, 0, 2][..], &capability[4..20]].concat());
    for url in ["/1.0/instances/c2", "/1.0/instances/c2/snapshots/s1"] {
        let config = daemon.get(url).metadata()["config"].clone();
        assert_eq!(
            (&config["volatile.last_state.idmap"], &config["user.a"]),
            (&json!("[]"), &json!("1")),
            "{url}"
        );
    }
}
