//! Bad luck with volumes: `kill -9` in the middle, full pools, a pool that hangs.

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lxd_testkit::{Daemon, request, request_raw, wait_for};
use serde_json::{Value, json};

use crate::world::World;

/// How often each operation is interrupted on each driver. A long run asks for 13, which is more than 100 kills on each.
fn rounds() -> usize {
    std::env::var("LXD_TEST_VOLUME_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The operations; `v1` is there, with the snapshot `s0`.
const OPERATIONS: [(&str, &str, &str, &str); 9] = [
    ("create", "POST", "", r#"{"name": "new", "config": {"size": "50MiB"}}"#),
    ("copy", "POST", "", r#"{"name": "copy", "source": {"type": "copy", "name": "v1", "pool": "POOL"}}"#),
    ("snapshot", "POST", "/v1/snapshots", r#"{"name": "s1"}"#),
    ("restore", "PUT", "/v1", r#"{"restore": "s0"}"#),
    ("resize", "PATCH", "/v1", r#"{"config": {"size": "90MiB"}}"#),
    ("rename", "POST", "/v1", r#"{"name": "v2"}"#),
    ("delete", "DELETE", "/v1", ""),
    (
        "backup",
        "POST",
        "/v1/backups",
        r#"{"name": "b1", "compression_algorithm": "none", "optimized_storage": true}"#,
    ),
    ("move", "POST", "/v1", r#"{"name": "v1", "pool": "OTHER"}"#),
];

const FILES: usize = 40;

fn pools(daemon: &Daemon) {
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "d", "driver": "dir"}));
    let size = json!({"size": "512MiB"});
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "b", "driver": "btrfs", "config": size}));
}

fn volumes(pool: &str) -> String {
    format!("/1.0/storage-pools/{pool}/volumes/custom")
}

/// The volume `v1`: every file says "old" in the snapshot and "new" now.
fn prepare(daemon: &Daemon, pool: &str) {
    daemon.ok("POST", &volumes(pool), &json!({"name": "v1", "config": {"size": "100MiB"}}));
    let root = daemon.lxd_dir().join(format!("storage-pools/{pool}/custom/default_v1"));
    let write = |text: &str| {
        for file in 0..FILES {
            std::fs::write(root.join(format!("f{file}")), text.repeat(20_000)).unwrap();
        }
    };
    write("old");
    daemon.ok("POST", &format!("{}/v1/snapshots", volumes(pool)), &json!({"name": "s0"}));
    write("new");
}

/// What rows say is there.
fn rows(daemon: &Daemon, pool: &str) -> BTreeSet<String> {
    let listed = daemon.get(&format!("{}?recursion=1", volumes(pool))).metadata();
    listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What the pool has.
fn files(daemon: &Daemon, pool: &str) -> BTreeSet<String> {
    let root = daemon.lxd_dir().join(format!("storage-pools/{pool}"));
    let own = |name: &String| name.strip_prefix("default_").unwrap_or(name).to_owned();
    let mut found: BTreeSet<String> = names(&root.join("custom")).iter().map(own).collect();
    for volume in names(&root.join("custom-snapshots")) {
        let snapshots = names(&root.join("custom-snapshots").join(&volume));
        found.extend(snapshots.iter().map(|snapshot| format!("{}/{snapshot}", own(&volume))));
    }
    found.extend(names(&root.join("restoring")).iter().map(|name| format!("restoring/{name}")));
    found
}

/// Backups in rows and files.
fn backups(daemon: &Daemon) -> [BTreeSet<String>; 2] {
    let mut recorded = BTreeSet::new();
    for pool in ["d", "b"] {
        for volume in rows(daemon, pool).iter().filter(|name| !name.contains('/')) {
            let listed = daemon.get(&format!("{}/{volume}/backups?recursion=1", volumes(pool))).metadata();
            for backup in listed.as_array().unwrap() {
                recorded.insert(format!("{pool}/default_{volume}/{}", backup["name"].as_str().unwrap()));
            }
        }
    }
    let top = daemon.lxd_dir().join("backups/custom");
    let mut there = BTreeSet::new();
    for pool in names(&top) {
        for volume in names(&top.join(&pool)) {
            let archives = names(&top.join(&pool).join(&volume));
            there.extend(archives.iter().map(|name| format!("{pool}/{volume}/{name}")));
        }
    }
    [recorded, there]
}

/// Rows and files agree, contents are whole, and the pools work.
fn check(daemon: &Daemon, what: &str) {
    for pool in ["d", "b"] {
        wait_for(&format!("rows and files to agree after {what}"), 30, || {
            (rows(daemon, pool) == files(daemon, pool)).then_some(())
        });
        let root = daemon.lxd_dir().join(format!("storage-pools/{pool}"));
        for name in rows(daemon, pool).iter().filter(|name| *name != "new") {
            let place = match name.split_once('/') {
                Some((volume, snapshot)) => {
                    root.join(format!("custom-snapshots/default_{volume}/{snapshot}"))
                }
                None => root.join(format!("custom/default_{name}")),
            };
            let contents: BTreeSet<String> = (0..FILES)
                .map(|file| std::fs::read_to_string(place.join(format!("f{file}"))).unwrap())
                .collect();
            assert_eq!(contents.len(), 1, "{what}: {name} is of one time");
            assert_eq!(contents.first().map(String::len), Some(60_000), "{what}: {name}");
        }
        daemon.ok("POST", &volumes(pool), &json!({"name": "probe"}));
        daemon.ok("DELETE", &format!("{}/probe", volumes(pool)), &Value::Null);
    }
    wait_for(&format!("backups to agree after {what}"), 30, || {
        let [recorded, there] = backups(daemon);
        (recorded == there).then_some(())
    });
}

fn clean_up(daemon: &Daemon) {
    for pool in ["d", "b"] {
        for name in rows(daemon, pool).iter().filter(|name| !name.contains('/')) {
            daemon.ok("DELETE", &format!("{}/{name}", volumes(pool)), &Value::Null);
        }
    }
}

#[test]
fn volumes_are_whole_after_kill_9_at_any_moment() {
    let mut daemon = Daemon::start();
    pools(&daemon);
    let clean = World::of(&daemon);
    // A small generator: the same moments at each run, spread over the operation.
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut kills = 0;
    for round in 0..rounds() {
        for (pool, other) in [("d", "b"), ("b", "d")] {
            for (name, method, path, body) in OPERATIONS {
                prepare(&daemon, pool);
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let moment = Duration::from_micros(random % 60_000);
                let body = body.replace("POOL", pool).replace("OTHER", other);
                let url = format!("{}{path}", volumes(pool));
                std::thread::scope(|scope| {
                    let socket = daemon.socket();
                    scope.spawn(move || request_raw(&socket, method, &url, &[], body.as_bytes()).ok());
                    std::thread::sleep(moment);
                    daemon.signal(rustix::process::Signal::KILL);
                });
                daemon.kill();
                daemon.launch();
                check(&daemon, &format!("{name} on {pool}, round {round}, after {moment:?}"));
                clean_up(&daemon);
                kills += 1;
            }
        }
        assert_eq!(clean.difference(&World::of(&daemon)), Vec::<String>::new(), "round {round}");
    }
    println!("{kills} kills");
}

/// A small file system in memory, over a directory.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn over(place: &Path, options: &str) -> Self {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place);
        assert!(mount.status().unwrap().success());
        Self(place.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Fills a file system; the file goes with this.
struct Filler(PathBuf);

impl Filler {
    fn new(folder: &Path) -> Self {
        use std::io::Write;
        let path = folder.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; size]).and_then(|()| file.sync_data()).is_ok() {}
        }
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_full_pool_says_so_and_keeps_what_it_has() {
    let daemon = Daemon::start();
    let small = daemon.scratch().join("small");
    std::fs::create_dir(&small).unwrap();
    let _tmpfs = Tmpfs::over(&small, "size=24M");
    daemon.ok(
        "POST",
        "/1.0/storage-pools",
        &json!({"name": "d", "driver": "dir", "config": {"source": small}}),
    );
    let size = json!({"size": "256MiB"});
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "b", "driver": "btrfs", "config": size}));
    for (pool, other) in [("d", "b"), ("b", "d")] {
        prepare(&daemon, pool);
        let archive = daemon.scratch().join("archive");
        let export =
            ["storage", "volume", "export", pool, "v1", archive.to_str().unwrap(), "--compression", "none"];
        daemon.lxc_ok(&export);
        let archive = std::fs::read(&archive).unwrap();
        let from_other = json!({"name": "come", "source": {"type": "copy", "name": "v1", "pool": pool}});
        daemon.ok("POST", &volumes(other), &from_other);
        let before = (rows(&daemon, pool), files(&daemon, pool));
        {
            let _full = Filler::new(&daemon.lxd_dir().join(format!("storage-pools/{pool}")));
            let fails = |what: &str, error: String| {
                let is_told = error.contains("No space left") || error.contains("Disk quota");
                assert!(is_told, "{what} on {pool}: {error:?}");
                assert_eq!((rows(&daemon, pool), files(&daemon, pool)), before, "{what} on {pool}");
            };
            let copy = json!({"name": "x", "source": {"type": "copy", "name": "come", "pool": other}});
            fails("copy", daemon.fails("POST", &volumes(pool), &copy));
            let headers = [("Content-Type", "application/octet-stream"), ("X-LXD-name", "y")];
            let sent = request_raw(&daemon.socket(), "POST", &volumes(pool), &headers, &archive).unwrap();
            let operation = sent.json()["operation"].as_str().unwrap().to_owned();
            let end = daemon.get(&format!("{operation}/wait?timeout=60")).metadata();
            fails("import", end["err"].as_str().unwrap().to_owned());
            if pool == "d" {
                // These copy; on btrfs they share what is there.
                let snapshot = json!({"name": "s1"});
                let url = format!("{}/v1", volumes(pool));
                fails("snapshot", daemon.fails("POST", &format!("{url}/snapshots"), &snapshot));
                fails("restore", daemon.fails("PUT", &url, &json!({"restore": "s0"})));
            }
        }
        // The pool works as before.
        check(&daemon, "a full pool");
        daemon.ok("PUT", &format!("{}/v1", volumes(pool)), &json!({"restore": "s0"}));
        clean_up(&daemon);
    }
    for pool in ["d", "b"] {
        daemon.ok("DELETE", &format!("/1.0/storage-pools/{pool}"), &Value::Null);
    }
}

/// A file system of which nobody answers a call, over a directory; the calls end with this.
struct Hanging {
    place: PathBuf,
    _device: std::fs::File,
}

impl Hanging {
    fn over(place: &Path) -> Self {
        let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = std::ffi::CString::new(options).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("hanging", place, "fuse", flags, Some(options.as_c_str())).unwrap();
        Self { place: place.to_owned(), _device: device }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.place, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_pool_that_hangs_holds_nobody_up() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    pools(&daemon);
    for pool in ["d", "b"] {
        daemon.ok("POST", &volumes(pool), &json!({"name": "v1"}));
    }
    let hanging = Hanging::over(&daemon.lxd_dir().join("storage-pools/d"));
    let socket = daemon.socket();
    let within = |seconds: u64, method: &str, path: &str, body: &Value| {
        let begun = Instant::now();
        let answer = request(&socket, method, path, Some(body));
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(seconds), "{method} {path} took {took:?}");
        answer
    };
    // More of them than a lane has places, and than the daemon would have threads for if each held one for long.
    let stuck: Vec<_> = (0..40)
        .map(|number| {
            let (socket, body) = (socket.clone(), json!({"name": format!("x{number}")}));
            std::thread::spawn(move || request(&socket, "POST", &volumes("d"), Some(&body)))
        })
        .collect();
    for list in [
        "/1.0/storage-pools?recursion=1",
        "/1.0/storage-pools/d/volumes?recursion=1",
        "/1.0/storage-pools/b/volumes?recursion=1",
        "/1.0/instances?recursion=2",
        "/1.0/warnings?recursion=1",
    ] {
        assert_eq!(within(3, "GET", list, &Value::Null).status, 200, "{list}");
    }
    assert_eq!(within(5, "POST", &volumes("b"), &json!({"name": "v2"})).status, 200);
    assert_eq!(within(5, "DELETE", &format!("{}/v2", volumes("b")), &Value::Null).status, 200);
    daemon.state("c1", "start", "");
    daemon.state("c1", "stop", "force");
    for thread in stuck {
        let answer = thread.join().unwrap();
        assert!(answer.status == 503 && answer.error().contains("not answering"), "{}", answer.error());
    }
    let space = within(10, "GET", "/1.0/storage-pools/d/resources", &Value::Null);
    assert!(space.status == 503 && space.error().contains("not answering"), "{}", space.error());
    drop(hanging);
    wait_for("the pool to answer again", 30, || {
        (daemon.get("/1.0/storage-pools/d/resources").status == 200).then_some(())
    });
    daemon.ok("DELETE", &format!("{}/v1", volumes("d")), &Value::Null);
    daemon.remove("c1");
}

#[test]
fn a_pool_that_is_nearly_full_is_a_warning() {
    let mut daemon = Daemon::start();
    let small = daemon.scratch().join("small");
    std::fs::create_dir(&small).unwrap();
    let _tmpfs = Tmpfs::over(&small, "size=8M");
    daemon.ok(
        "POST",
        "/1.0/storage-pools",
        &json!({"name": "d", "driver": "dir", "config": {"source": small}}),
    );
    let warned = |daemon: &Daemon| {
        let all = daemon.get("/1.0/warnings?recursion=1").metadata();
        let all = all.as_array().unwrap().clone();
        all.into_iter().find(|one| one["type"] == "Storage pool is nearly full")
    };
    assert_eq!(warned(&daemon), None);
    let full = Filler::new(&small);
    daemon.restart();
    let warning = wait_for("the warning", 20, || warned(&daemon));
    assert!(warning["last_message"].as_str().unwrap().contains("\"d\" is 100 % full"), "{warning}");
    drop(full);
    daemon.restart();
    wait_for("its end", 20, || (warned(&daemon)?["status"] == "resolved").then_some(()));
    daemon.ok("DELETE", "/1.0/storage-pools/d", &Value::Null);
}

/// Instances, backups, sizes and deletions on full pools: each is done or told, and nothing half made remains.
#[test]
fn a_full_pool_takes_no_instance_and_no_backup_and_gives_back() {
    let daemon = Daemon::start().with_pool_and_image();
    let small = daemon.scratch().join("small");
    std::fs::create_dir(&small).unwrap();
    let _tmpfs = Tmpfs::over(&small, "size=24M");
    let dir = json!({"name": "d", "driver": "dir", "config": {"source": small}});
    daemon.ok("POST", "/1.0/storage-pools", &dir);
    let size = json!({"size": "256MiB"});
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "b", "driver": "btrfs", "config": size}));
    for pool in ["d", "b"] {
        prepare(&daemon, pool);
        for name in ["gone", "keeps"] {
            daemon.ok("POST", &volumes(pool), &json!({"name": name}));
        }
        let key = |value: &str| json!({"config": {"storage.backups_volume": value}});
        daemon.ok("PATCH", "/1.0", &key(&format!("{pool}/keeps")));
        let root = daemon.lxd_dir().join(format!("storage-pools/{pool}"));
        let before = (World::of(&daemon), files(&daemon, pool));
        let v1 = format!("{}/v1", volumes(pool));
        {
            let full = Filler::new(&root);
            let fails = |what: &str, error: String| {
                let is_told = error.contains("No space left") || error.contains("Disk quota");
                assert!(is_told, "{what} on {pool}: {error:?}");
            };
            let disk = json!({"root": {"type": "disk", "path": "/", "pool": pool}});
            let image = json!({"type": "image", "alias": "busybox"});
            let instance = json!({"name": "c1", "source": image, "devices": disk});
            fails("create of an instance", daemon.fails("POST", "/1.0/instances", &instance));
            let backup = json!({"name": "b1", "compression_algorithm": "none"});
            fails("backup", daemon.fails("POST", &format!("{v1}/backups"), &backup));
            let left: Vec<_> = before.0.difference(&World::of(&daemon));
            let filler = full.0.display().to_string();
            assert!(left.iter().all(|one| one.contains(&filler)), "{pool}: {left:#?}");
            assert_eq!(files(&daemon, pool), before.1, "{pool}");
            // What needs no space is done.
            daemon.ok("PATCH", &v1, &json!({"config": {"size": "80MiB"}}));
            daemon.ok("DELETE", &format!("{}/gone", volumes(pool)), &Value::Null);
        }
        daemon.ok("POST", &format!("{v1}/backups"), &json!({"name": "b1", "compression_algorithm": "none"}));
        daemon.ok("PATCH", "/1.0", &key(""));
        let root = json!({"root": {"type": "disk", "path": "/", "pool": pool}});
        daemon.create("c1", &json!({"devices": root}));
        daemon.remove("c1");
        for name in ["keeps", "v1"] {
            daemon.ok("DELETE", &format!("{}/{name}", volumes(pool)), &Value::Null);
        }
    }
    for image in daemon.get("/1.0/storage-pools/b/volumes/image?recursion=1").metadata().as_array().unwrap() {
        let url = format!("/1.0/storage-pools/b/volumes/image/{}", image["name"].as_str().unwrap());
        daemon.ok("DELETE", &url, &Value::Null);
    }
    for pool in ["d", "b"] {
        daemon.ok("DELETE", &format!("/1.0/storage-pools/{pool}"), &Value::Null);
    }
}
