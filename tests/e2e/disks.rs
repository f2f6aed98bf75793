//! Disk devices, seen from the host and from inside.

use std::path::{Path, PathBuf};
use std::process::Command;

use lxd_testkit::Daemon;
use serde_json::{Value, json};

use crate::world::World;

/// A loop device with a file system; it goes with this.
struct Loop {
    device: String,
}

impl Loop {
    fn new(daemon: &Daemon, name: &str, mkfs: &[&str]) -> Self {
        let file = daemon.scratch().join(name);
        std::fs::File::create(&file).unwrap().set_len(128 << 20).unwrap();
        assert!(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&file).status().unwrap().success());
        let made = Command::new("losetup").args(["-f", "--show"]).arg(&file).output().unwrap();
        Self { device: String::from_utf8(made.stdout).unwrap().trim().to_owned() }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.device]).status();
    }
}

/// The directory of a running instance in a hierarchy of version 1.
fn group(daemon: &Daemon, name: &str, controller: &str) -> PathBuf {
    let pid = daemon.get(&format!("/1.0/instances/{name}/state")).metadata()["pid"].as_u64().unwrap();
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let line = text.lines().find(|line| line.split(':').nth(1) == Some(controller)).unwrap();
    Path::new("/sys/fs/cgroup")
        .join(controller)
        .join(line.rsplit(':').next().unwrap().trim_start_matches('/'))
}

/// Gives an instance these devices and no others.
fn only(daemon: &Daemon, name: &str, devices: &Value) -> Value {
    let mut instance = daemon.get(&format!("/1.0/instances/{name}")).metadata();
    instance["devices"] = devices.clone();
    daemon.ok("PUT", &format!("/1.0/instances/{name}"), &instance)
}

#[test]
fn limits_of_disks_are_in_the_control_group_and_change_live() {
    if !Path::new("/sys/fs/cgroup/blkio").exists() {
        println!("skipped: blkio is not a hierarchy of version 1 here");
        return;
    }
    let daemon = Daemon::start().with_pool_and_image();
    let root = |more: Value| {
        let mut root = json!({"type": "disk", "path": "/", "pool": "default"});
        root.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"root": root})
    };
    let slow = root(json!({"limits.read": "10MB", "limits.write": "20iops"}));
    daemon.create("c1", &json!({"devices": slow}));
    daemon.state("c1", "start", "");
    let group = group(&daemon, "c1", "blkio");
    let file = |name: &str| {
        let text = std::fs::read_to_string(group.join(format!("blkio.throttle.{name}_device"))).unwrap();
        text.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((file("read_bps"), file("write_iops")), (vec!["10000000".to_owned()], vec!["20".to_owned()]));
    assert_eq!((file("write_bps").len(), file("read_iops").len()), (0, 0));
    // A further disk on the same disk of the host: the average, as the manual says.
    let source = daemon.scratch().join("source");
    std::fs::create_dir(&source).unwrap();
    let disk = json!({"type": "disk", "path": "/mnt", "source": source, "limits.read": "30MB"});
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"devices": {"d": disk}}));
    let same = std::fs::metadata(&source).unwrap();
    let pool = std::fs::metadata(daemon.lxd_dir().join("storage-pools/default")).unwrap();
    use std::os::unix::fs::MetadataExt;
    if same.dev() == pool.dev() {
        assert_eq!(file("read_bps"), ["20000000"]);
    }
    only(&daemon, "c1", &root(json!({"limits.max": "5MB"})));
    assert_eq!(
        (file("read_bps"), file("write_bps")),
        (vec!["5000000".to_owned()], vec!["5000000".to_owned()])
    );
    assert_eq!(file("write_iops").len(), 0);
    only(&daemon, "c1", &root(json!({})));
    assert_eq!((file("read_bps").len(), file("write_bps").len()), (0, 0));
    daemon.remove("c1");
}

#[test]
fn the_file_system_of_a_block_device_is_shown() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    let before = World::of(&daemon);
    for mkfs in [&["mkfs.ext4", "-q"][..], &["mkfs.btrfs", "-q"]] {
        let device = Loop::new(&daemon, mkfs[0], mkfs);
        let disk = |more: &[(&str, &str)]| {
            let mut disk =
                json!({"type": "disk", "path": "/mnt/d", "source": device.device, "shift": "true"});
            for (key, value) in more {
                disk[*key] = json!(value);
            }
            json!({"devices": {"d": disk}})
        };
        let run = |script: &str| {
            let done = daemon.lxc(&["exec", "c1", "--", "sh", "-c", script]);
            (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned())
        };
        daemon.ok("PATCH", "/1.0/instances/c1", &disk(&[]));
        assert!(run("echo kept > /mnt/d/f && stat -c %u /mnt/d/f").0);
        assert_eq!(run("stat -c %u /mnt/d/f").1, "0\n");
        // Another property: it is taken out and put in again.
        daemon.ok("PATCH", "/1.0/instances/c1", &disk(&[("readonly", "true")]));
        assert_eq!(run("cat /mnt/d/f").1, "kept\n");
        assert!(!run("echo more > /mnt/d/f").0);
        daemon.ok("PATCH", "/1.0/instances/c1", &disk(&[("raw.mount.options", "noexec,noatime")]));
        let mounts = run("grep ' /mnt/d ' /proc/mounts").1;
        assert!(mounts.contains("noexec"), "{mounts}");
        let wrong =
            daemon.fails("PATCH", "/1.0/instances/c1", &disk(&[("raw.mount.options", "no_such_option")]));
        assert!(wrong.contains("d"), "{wrong}");
        only(&daemon, "c1", &json!({}));
        assert!(!run("test -e /mnt/d/f").0);
        // At the next start as well.
        daemon.state("c1", "stop", "force");
        daemon.ok("PATCH", "/1.0/instances/c1", &disk(&[]));
        daemon.state("c1", "start", "");
        assert_eq!(run("cat /mnt/d/f").1, "kept\n");
        only(&daemon, "c1", &json!({}));
    }
    let empty = daemon.scratch().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let disk = json!({"type": "disk", "path": "/x", "source": empty, "raw.mount.options": "subvol=a"});
    let refused = daemon.fails("PATCH", "/1.0/instances/c1", &json!({"devices": {"e": disk}}));
    assert!(refused.contains("must be a block device"), "{refused}");
    only(&daemon, "c1", &json!({}));
    let left: Vec<_> =
        before.difference(&World::of(&daemon)).into_iter().filter(|what| what.contains("mount")).collect();
    assert_eq!(left, Vec::<String>::new());
    daemon.remove("c1");
}

#[test]
fn volumes_are_shared_with_and_without_an_id_map() {
    use std::os::unix::fs::MetadataExt;
    let daemon = Daemon::start().with_pool_and_image();
    for (name, config) in
        [("shared", json!({"security.shifted": "true"})), ("raw", json!({"security.unmapped": "true"}))]
    {
        daemon.ok(
            "POST",
            "/1.0/storage-pools/default/volumes/custom",
            &json!({"name": name, "config": config}),
        );
    }
    let disk =
        |name: &str| json!({"type": "disk", "pool": "default", "source": name, "path": format!("/{name}")});
    let devices = json!({"shared": disk("shared"), "raw": disk("raw")});
    let place = |name: &str| daemon.lxd_dir().join(format!("storage-pools/default/custom/default_{name}"));
    std::fs::set_permissions(place("raw"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    for (name, config) in [
        ("c1", json!({"security.idmap.isolated": "true"})),
        ("c2", json!({"security.idmap.isolated": "true"})),
        ("c3", json!({"security.privileged": "true"})),
    ] {
        daemon.create(name, &json!({"config": config, "devices": devices}));
        daemon.state(name, "start", "");
        let script = format!("echo > /shared/{name}; echo > /raw/{name}; stat -c %u /shared/c1 /raw/{name}");
        let seen = daemon.lxc_ok(&["exec", name, "--", "sh", "-c", &script]);
        assert_eq!(seen, "0\n0\n", "{name}");
        assert_eq!(std::fs::metadata(place("shared").join(name)).unwrap().uid(), 0);
    }
    let owner = |name: &str| std::fs::metadata(place("raw").join(name)).unwrap().uid();
    assert!(owner("c1") > 0 && owner("c2") > 0 && owner("c1") != owner("c2") && owner("c3") == 0);
    let refused = daemon.fails(
        "PATCH",
        "/1.0/storage-pools/default/volumes/custom/raw",
        &json!({"config": {"security.unmapped": "false"}}),
    );
    assert_eq!(refused, "Cannot modify shifting with running instances using the volume");
    for name in ["c1", "c2", "c3"] {
        daemon.remove(name);
    }
}

/// A directory of the host that is a shared mount of its own.
struct SharedMount(PathBuf);

impl SharedMount {
    fn new(place: PathBuf) -> Self {
        std::fs::create_dir_all(place.join("late")).unwrap();
        std::fs::create_dir(place.join("inside")).unwrap();
        std::os::unix::fs::chown(place.join("inside"), Some(65534), None).unwrap();
        for args in [&["--bind"][..], &["--make-shared"]] {
            let mut mount = Command::new("mount");
            let places = if args == ["--bind"] { vec![&place, &place] } else { vec![&place] };
            assert!(mount.args(args).args(places).status().unwrap().success());
        }
        Self(place)
    }

    fn mount_late(&self) {
        let done = Command::new("mount").args(["-t", "tmpfs", "late"]).arg(self.0.join("late")).status();
        assert!(done.unwrap().success());
        std::fs::write(self.0.join("late/here"), "").unwrap();
    }

    fn unmount_late(&self) -> bool {
        Command::new("umount").arg(self.0.join("late")).status().unwrap().success()
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", "-R"]).arg(&self.0).status();
    }
}

#[test]
fn mounts_of_the_host_appear_as_propagation_says_and_none_leaves_the_instance() {
    let daemon = Daemon::start().with_pool_and_image();
    let source = SharedMount::new(daemon.scratch().join("shared"));
    let words = ["private", "rprivate", "unbindable", "slave", "rslave", "shared", "rshared"];
    let devices = |prefix: &str| {
        let one = |word: &&str| {
            let path = format!("/{prefix}-{word}");
            let disk = json!({"type": "disk", "source": source.0, "path": path, "propagation": word});
            (format!("{prefix}-{word}"), disk)
        };
        json!({"devices": words.iter().map(one).collect::<serde_json::Map<_, _>>()})
    };
    daemon.create("c1", &devices("start"));
    daemon.state("c1", "start", "");
    daemon.ok("PATCH", "/1.0/instances/c1", &devices("live"));
    let run = |script: &str| daemon.lxc(&["exec", "c1", "--", "sh", "-c", script]).status.success();
    source.mount_late();
    for prefix in ["start", "live"] {
        for word in words {
            let appears = word.ends_with("slave") || word.ends_with("shared");
            assert_eq!(run(&format!("test -e /{prefix}-{word}/late/here")), appears, "{prefix} {word}");
        }
    }
    assert!(source.unmount_late());
    // Root of the instance mounts in it what must never come out.
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for prefix in ["start", "live"] {
        for word in words {
            let place = format!("/{prefix}-{word}/inside");
            assert!(run(&format!("mount -t tmpfs evil {place}")), "{prefix} {word}");
            assert!(!mounts().contains(" evil "), "{prefix} {word} reaches the host:\n{}", mounts());
            assert!(run(&format!("umount {place}")), "{prefix} {word}");
        }
    }
    daemon.remove("c1");
}

#[test]
fn a_btrfs_pool_takes_an_empty_block_device_and_finds_it_again() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let before = World::of(&daemon);
    let (empty, used) =
        (Loop::new(&daemon, "empty", &["true"]), Loop::new(&daemon, "used", &["mkfs.ext4", "-q"]));
    let pool = |device: &Loop| json!({"name": "b", "driver": "btrfs", "config": {"source": device.device}});
    let error = daemon.fails("POST", "/1.0/storage-pools", &pool(&used));
    assert!(error.starts_with("Failed to format block device: ") && error.contains("ext4"), "{error}");
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
    daemon.ok("POST", "/1.0/storage-pools", &pool(&empty));
    let config = daemon.get("/1.0/storage-pools/b").metadata()["config"].clone();
    assert_eq!(config, json!({"source": empty.device, "volatile.initial_source": empty.device}));
    let twice = json!({"name": "c", "driver": "btrfs", "config": {"source": empty.device}});
    assert!(
        daemon.fails("POST", "/1.0/storage-pools", &twice).starts_with("Failed to format block device: ")
    );
    let root = json!({"root": {"type": "disk", "path": "/", "pool": "b"}});
    daemon.create("c1", &json!({"devices": root}));
    daemon.ok("POST", "/1.0/instances/c1/snapshots", &json!({"name": "s"}));
    daemon.stop();
    // As after a start of the host.
    let place = daemon.lxd_dir().join("storage-pools/b");
    rustix::mount::unmount(&place, rustix::mount::UnmountFlags::NOFOLLOW).unwrap();
    daemon.launch();
    daemon.state("c1", "start", "");
    daemon.remove("c1");
    let images = "/1.0/storage-pools/b/volumes/image";
    for image in daemon.get(&format!("{images}?recursion=1")).metadata().as_array().unwrap() {
        daemon.ok("DELETE", &format!("{images}/{}", image["name"].as_str().unwrap()), &Value::Null);
    }
    daemon.ok("DELETE", "/1.0/storage-pools/b", &Value::Null);
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}
