//! Backups of custom volumes, and volumes made of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use lxd_testkit::{Daemon, request_raw};
use serde_json::{Value, json};

use crate::world::World;

const V1: &str = "/1.0/storage-pools/d/volumes/custom/v1";

/// A daemon with the pools `d` (dir) and `b` (btrfs).
fn pools(daemon: Daemon) -> Daemon {
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "d", "driver": "dir"}));
    let size = json!({"size": "512MiB"});
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "b", "driver": "btrfs", "config": size}));
    daemon
}

fn place(daemon: &Daemon, pool: &str, volume: &str) -> PathBuf {
    daemon.lxd_dir().join(format!("storage-pools/{pool}/custom/default_{volume}"))
}

fn run(program: &str, args: &[&str], path: &Path) {
    assert!(Command::new(program).args(args).arg(path).status().unwrap().success(), "{program} {args:?}");
}

/// The volume `v1` with the snapshots `s0` and `s1`; the file `f` says `0` and `1` in these and `2` now.
fn filled(daemon: &Daemon, pool: &str) {
    let volumes = format!("/1.0/storage-pools/{pool}/volumes/custom");
    let config = json!({"user.a": "1", "size": "100MiB"});
    daemon.ok("POST", &volumes, &json!({"name": "v1", "description": "text", "config": config}));
    let root = place(daemon, pool, "v1");
    std::fs::create_dir(root.join("dir")).unwrap();
    std::fs::write(root.join("dir/x"), vec![7; 100_000]).unwrap();
    std::os::unix::fs::chown(root.join("dir/x"), Some(1234), Some(4321)).unwrap();
    std::fs::hard_link(root.join("dir/x"), root.join("y")).unwrap();
    for snapshot in ["s0", "s1"] {
        std::fs::write(root.join("f"), &snapshot[1..]).unwrap();
        let post = json!({"name": snapshot, "expires_at": "2037-01-01T00:00:00Z"});
        daemon.ok("POST", &format!("{volumes}/v1/snapshots"), &post);
    }
    std::fs::write(root.join("f"), "2").unwrap();
}

/// Checks that a volume has what [`filled`] made.
fn check(daemon: &Daemon, pool: &str, name: &str) {
    use std::os::unix::fs::MetadataExt;
    let url = format!("/1.0/storage-pools/{pool}/volumes/custom/{name}");
    let volume = daemon.get(&url).metadata();
    assert_eq!((&volume["description"], &volume["config"]["user.a"]), (&json!("text"), &json!("1")));
    let root = place(daemon, pool, name);
    let kept = daemon.lxd_dir().join(format!("storage-pools/{pool}/custom-snapshots/default_{name}"));
    for (path, text) in [(root.join("f"), "2"), (kept.join("s0/f"), "0"), (kept.join("s1/f"), "1")] {
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{}", path.display());
    }
    let stat = std::fs::metadata(root.join("dir/x")).unwrap();
    assert_eq!((stat.uid(), stat.gid(), stat.nlink(), stat.len()), (1234, 4321, 2, 100_000));
    assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o7777, 0o711);
    let snapshots = daemon.get(&format!("{url}/snapshots?recursion=1")).metadata();
    let names: Vec<_> =
        snapshots.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.iter().all(|name| name.ends_with("s0") || name.ends_with("s1")), "{names:?}");
    assert_eq!((names.len(), &snapshots[0]["expires_at"]), (2, &json!("2037-01-01T00:00:00Z")));
    daemon.ok("PUT", &url, &json!({"restore": "s0"}));
    assert_eq!(std::fs::read_to_string(root.join("f")).unwrap(), "0");
    daemon.ok("DELETE", &url, &Value::Null);
}

#[test]
fn exported_volumes_come_back_on_any_driver() {
    let daemon = pools(Daemon::start());
    let before = World::of(&daemon);
    for (pool, flags) in [("d", &[][..]), ("b", &[]), ("b", &["--compression", "none"])] {
        filled(&daemon, pool);
        let file = daemon.scratch().join("backup");
        let file = file.to_str().unwrap();
        let mut words = vec!["storage", "volume", "export", pool, "v1", file];
        words.extend_from_slice(flags);
        assert_eq!(daemon.lxc_ok(&words), "Backup exported successfully!\n");
        let backups = format!("/1.0/storage-pools/{pool}/volumes/custom/v1/backups");
        assert_eq!(daemon.get(&backups).metadata(), json!([]));
        let taken = daemon.lxc(&["storage", "volume", "import", pool, file]);
        assert!(String::from_utf8_lossy(&taken.stderr).contains("already exists"));
        for target in ["d", "b"] {
            daemon.lxc_ok(&["storage", "volume", "import", target, file, "v2"]);
            check(&daemon, target, "v2");
        }
        check(&daemon, pool, "v1");
    }
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn optimized_backups_keep_nested_subvolumes() {
    let daemon = pools(Daemon::start());
    let before = World::of(&daemon);
    filled(&daemon, "b");
    let root = place(&daemon, "b", "v1");
    let nested = root.join("dir/na me_-x");
    run("btrfs", &["-q", "subvolume", "create"], &nested);
    run("btrfs", &["-q", "subvolume", "create"], &nested.join("inner"));
    std::fs::write(nested.join("inner/n"), "old").unwrap();
    for (node, numbers) in [("disk", ["b", "7", "0"]), ("null", ["c", "1", "3"])] {
        let made = Command::new("mknod").arg(nested.join("inner").join(node)).args(numbers).status();
        assert!(made.unwrap().success());
    }
    daemon.ok("POST", "/1.0/storage-pools/b/volumes/custom/v1/snapshots", &json!({"name": "s1_dir"}));
    std::fs::write(nested.join("inner/n"), "new").unwrap();
    let file = daemon.scratch().join("backup");
    let name = file.to_str().unwrap();
    let export =
        ["storage", "volume", "export", "b", "v1", name, "--optimized-storage", "--compression", "none"];
    daemon.lxc_ok(&export);
    let listed = Command::new("tar").arg("tf").arg(&file).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for member in
        ["index.yaml", "optimized_header.yaml", "volume-snapshots/s0.bin", "volume_dir-na me_--x-inner.bin"]
    {
        assert!(listed.lines().any(|line| line == format!("backup/{member}")), "{member}: {listed}");
    }
    // What is in both is there once.
    assert!(std::fs::metadata(&file).unwrap().len() < 200_000);
    daemon.lxc_ok(&["storage", "volume", "import", "b", name, "v2"]);
    let come = place(&daemon, "b", "v2");
    run("btrfs", &["subvolume", "show"], &come.join("dir/na me_-x/inner"));
    assert_eq!(std::fs::read_to_string(come.join("dir/na me_-x/inner/n")).unwrap(), "new");
    std::fs::write(come.join("dir/na me_-x/inner/n"), "writable").unwrap();
    let nodes = ["disk", "null"].map(|node| come.join("dir/na me_-x/inner").join(node).exists());
    assert_eq!(nodes, [false, true], "disks of the host do not come with a stream");
    let kept =
        daemon.lxd_dir().join("storage-pools/b/custom-snapshots/default_v2/s1_dir/dir/na me_-x/inner/n");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "old");
    assert!(!kept.with_file_name("disk").exists() && kept.with_file_name("null").exists());
    assert!(std::fs::write(&kept, "").is_err(), "snapshots cannot be written");
    daemon.ok("DELETE", "/1.0/storage-pools/b/volumes/custom/v2/snapshots/s1_dir", &Value::Null);
    check(&daemon, "b", "v2");
    let other = daemon.lxc(&["storage", "volume", "import", "d", name, "v2"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(said.contains("driver \"btrfs\" differs from the target storage pool driver \"dir\""), "{said}");
    daemon.ok("DELETE", "/1.0/storage-pools/b/volumes/custom/v1", &Value::Null);
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn disks_of_machines_are_packed_and_unpacked_with_holes() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    let daemon = pools(Daemon::start());
    for pool in ["d", "b"] {
        let post = json!({"name": "disk", "content_type": "block", "config": {"size": "64MiB"}});
        daemon.ok("POST", &format!("/1.0/storage-pools/{pool}/volumes/custom"), &post);
        let disk =
            std::fs::OpenOptions::new().write(true).open(place(&daemon, pool, "disk").join("root.img"));
        disk.unwrap().write_all_at(b"data", 50 << 20).unwrap();
        let file = daemon.scratch().join("disk");
        let name = file.to_str().unwrap();
        for flags in [&[][..], &["--optimized-storage"]] {
            let mut words = vec!["storage", "volume", "export", pool, "disk", name];
            words.extend_from_slice(flags);
            daemon.lxc_ok(&words);
            daemon.lxc_ok(&["storage", "volume", "import", pool, name, "copy"]);
            let copy = place(&daemon, pool, "copy").join("root.img");
            let stat = std::fs::metadata(&copy).unwrap();
            assert!(stat.len() == 64 << 20 && stat.blocks() < 8192, "{} {}", stat.len(), stat.blocks());
            assert_eq!(&std::fs::read(&copy).unwrap()[50 << 20..][..4], b"data");
            let url = format!("/1.0/storage-pools/{pool}/volumes/custom/copy");
            assert_eq!(daemon.get(&url).metadata()["content_type"], "block");
            daemon.ok("DELETE", &url, &Value::Null);
        }
    }
}

#[test]
fn a_backup_is_listed_renamed_goes_with_its_volume_and_leaves_nothing() {
    let daemon = pools(Daemon::start());
    let before = World::of(&daemon);
    filled(&daemon, "d");
    let backups = format!("{V1}/backups");
    daemon.ok("POST", &backups, &json!({"name": "bk", "compression_algorithm": "none", "volume_only": true}));
    let again = daemon.fails("POST", &backups, &json!({"name": "bk"}));
    assert_eq!(again, "Create volume backup: Backup \"v1/bk\" already exists");
    let slash = daemon.fails("POST", &backups, &json!({"name": "a/b"}));
    assert_eq!(slash, "Backup names may not contain slashes");
    daemon.ok("POST", &format!("{backups}/bk"), &json!({"name": "bk2"}));
    daemon.ok("POST", &backups, &json!({"expires_at": "2001-01-01T00:00:00Z", "name": "over"}));
    let folder = daemon.lxd_dir().join("backups/custom/d/default_v1");
    assert!(folder.join("bk2").exists() && !folder.join("bk").exists());
    let listed = daemon.get(&format!("{backups}?recursion=1")).metadata();
    assert_eq!((&listed[0]["name"], &listed[0]["volume_only"]), (&json!("bk2"), &json!(true)));
    let gone = daemon.get(&format!("{backups}/bk"));
    assert_eq!((gone.status, gone.error().as_str()), (404, "Storage volume backup not found"));

    // A new name, and another pool.
    daemon.ok("POST", V1, &json!({"name": "v2"}));
    let moved = "/1.0/storage-pools/d/volumes/custom/v2";
    daemon.ok("POST", moved, &json!({"name": "v3", "pool": "b"}));
    let moved = "/1.0/storage-pools/b/volumes/custom/v3";
    let archive = daemon.get(&format!("{moved}/backups/bk2/export")).bytes;
    assert!(archive.windows(16).any(|bytes| bytes == b"backup/volume/di"));
    assert!(!archive.windows(23).any(|bytes| bytes == b"backup/volume-snapshots"));
    daemon.ok("DELETE", moved, &Value::Null);
    let image = daemon.get("/1.0/storage-pools/d/volumes/image/x/backups");
    assert_eq!((image.status, image.error().as_str()), (400, "Invalid storage volume type \"image\""));
    assert_eq!(std::fs::read_dir(daemon.lxd_dir().join("backups/custom")).unwrap().count(), 0);
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn what_is_no_backup_of_a_volume_is_refused_and_leaves_nothing() {
    let daemon = pools(Daemon::start());
    let before = World::of(&daemon);
    let send = |pool: &str, bytes: &[u8]| {
        let headers = [("Content-Type", "application/octet-stream")];
        let url = format!("/1.0/storage-pools/{pool}/volumes/custom");
        let answer = request_raw(&daemon.socket(), "POST", &url, &headers, bytes).unwrap();
        if answer.status != 202 {
            return answer.error();
        }
        let operation = answer.json()["operation"].as_str().unwrap().to_owned();
        daemon.get(&format!("{operation}/wait?timeout=60")).metadata()["err"].as_str().unwrap().to_owned()
    };
    assert_eq!(send("d", b"garbage"), "Unsupported compression");
    let folder = daemon.scratch().join("evil");
    let pack = |index: &str, more: &[&str]| {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("backup/volume/d")).unwrap();
        std::fs::write(folder.join("backup/index.yaml"), index).unwrap();
        for file in more {
            std::fs::write(folder.join("backup").join(file), "no stream").unwrap();
        }
        let archive = daemon.scratch().join("evil.tar");
        run("tar", &["cf", archive.to_str().unwrap(), "-C", folder.to_str().unwrap()], Path::new("backup"));
        std::fs::read(&archive).unwrap()
    };
    let index = |head: &str, more: &str| {
        format!("{head}\ntype: custom\nconfig:\n  volume:\n    name: x\n    type: custom\n{more}")
    };
    let plain = |head: &str, more: &str| send("d", &pack(&index(head, more), &[]));
    assert!(send("d", &pack("name: x\ntype: container\n", &[])).contains("does not hold a custom volume"));
    assert!(plain("name: ../x", "").contains("name"));
    assert!(plain("name: x\nsnapshots: [../../x]", "").contains("snapshot name"));
    assert!(plain("name: x\nsnapshots: [absent]", "").contains("lacks files"));
    assert!(plain("name: x", "    config:\n      no.such: a\n").contains("Invalid option"));
    let bad = "  volume_snapshots:\n  - name: s\n    config:\n      no.such: a\n";
    assert!(plain("name: x\nsnapshots: [s]", bad).contains("Invalid option"));
    assert!(plain("name: x", "    content_type: block\n").contains("lacks files"));
    let optimized = index("name: x\noptimized: true\nbackend: btrfs", "");
    assert!(send("b", &pack(&optimized, &[])).contains("lacks \"volume.bin\""));
    assert!(send("b", &pack(&optimized, &["volume.bin"])).contains("Failed to receive"));
    assert!(send("b", &pack(&optimized, &["volume.bin", "volume_-etc.bin"])).contains("wrong name"));
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn volumes_and_instances_go_to_the_original_and_back() {
    let program = Path::new("/usr/bin/lxd");
    if !program.exists() {
        println!("skipped: /usr/bin/lxd (package lxd) is not installed");
        return;
    }
    let daemon = pools(Daemon::start());
    let original = pools(daemon.beside(program.to_owned(), &[]));
    let [out, back] = ["out", "back"].map(|name| daemon.scratch().join(name).to_str().unwrap().to_owned());
    for (pool, flags) in [("d", &[][..]), ("b", &[]), ("b", &["--optimized-storage"])] {
        filled(&daemon, pool);
        let mut words = vec!["storage", "volume", "export", pool, "v1", &out];
        words.extend_from_slice(flags);
        daemon.lxc_ok(&words);
        daemon.ok("DELETE", &format!("/1.0/storage-pools/{pool}/volumes/custom/v1"), &Value::Null);
        original.lxc_ok(&["storage", "volume", "import", pool, &out, "v2"]);
        words[4..6].copy_from_slice(&["v2", &back]);
        original.lxc_ok(&words);
        original.ok("DELETE", &format!("/1.0/storage-pools/{pool}/volumes/custom/v2"), &Value::Null);
        daemon.lxc_ok(&["storage", "volume", "import", pool, &back, "v3"]);
        check(&daemon, pool, "v3");
    }
    for name in ["d", "b"] {
        original.ok("DELETE", &format!("/1.0/storage-pools/{name}"), &Value::Null);
    }
}
