//! Bad luck: a full disk, things that somebody took away, yesterday's copy of the database. The daemon starts, says what
//! is wrong, serves the rest and deletes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::world::World;

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The text of the warning of a type that is not resolved.
fn warning(daemon: &Daemon, kind: &str) -> Option<String> {
    let all = daemon.get("/1.0/warnings?recursion=1").metadata();
    let all = all.as_array()?.clone();
    let found = all.into_iter().find(|w| w["type"] == kind && w["status"] != "resolved")?;
    Some(found["last_message"].as_str().unwrap_or_default().to_owned())
}

fn warned(daemon: &Daemon, kind: &str, word: &str) {
    let text = wait_for(&format!("the warning {kind:?}"), 20, || warning(daemon, kind));
    assert!(text.contains(word), "{kind}: {text}");
}

fn running(daemon: &Daemon, name: &str) {
    wait_for(&format!("{name} to run"), 30, || (daemon.status(name) == "Running").then_some(()));
}

/// All files below a folder with their bytes and modes.
fn contents(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        let bytes = match () {
            () if meta.is_file() => std::fs::read(&path).unwrap_or_default(),
            () if meta.is_symlink() => {
                std::fs::read_link(&path).unwrap_or_default().into_os_string().into_encoded_bytes()
            }
            () => Vec::new(),
        };
        if meta.is_dir() {
            left.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
        found.insert(path, (meta.permissions().mode(), bytes));
    }
    found
}

#[test]
fn a_pool_whose_directory_is_gone_waits_for_it() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let source = daemon.scratch().join("source");
    std::fs::create_dir(&source).unwrap();
    daemon.ok(
        "POST",
        "/1.0/storage-pools",
        &json!({"name": "p2", "driver": "dir", "config": {"source": source}}),
    );
    let on_p2 = json!({"root": {"type": "disk", "path": "/", "pool": "p2"}});
    daemon.create("c1", &json!({}));
    daemon.create("c2", &json!({"devices": on_p2}));
    daemon.state("c1", "start", "");
    daemon.state("c2", "start", "");
    daemon.state("c2", "stop", "force");
    // It would be started with the host.
    daemon.ok("PATCH", "/1.0/instances/c2", &json!({"config": {"boot.autostart": "true"}}));
    daemon.stop();
    let pool = daemon.lxd_dir().join("storage-pools/p2");
    run("umount", &[pool.to_str().unwrap()]);
    let away = daemon.scratch().join("away");
    std::fs::rename(&source, &away).unwrap();
    let before = contents(&away);

    daemon.launch();
    warned(&daemon, "Storage pool unavailable", "p2");
    assert_eq!(daemon.get("/1.0/storage-pools/p2").metadata()["status"], "Unavailable");
    assert_eq!(daemon.get("/1.0/storage-pools/default").metadata()["status"], "Created");
    assert_eq!(daemon.status("c1"), "Running");
    warned(&daemon, "Failed to start an instance automatically", "c2");
    let error = daemon.fails("PUT", "/1.0/instances/c2/state", &json!({"action": "start"}));
    assert!(error.contains("\"p2\"") && error.contains("unavailable"), "{error}");
    daemon.fails("DELETE", "/1.0/instances/c2", &Value::Null);
    assert_eq!(daemon.status("c2"), "Stopped", "an instance whose data cannot be deleted stays known");
    daemon.fails("POST", "/1.0/storage-pools/p2/volumes/custom", &json!({"name": "v1"}));
    daemon.state("c1", "restart", "force");
    assert!(contents(&away) == before, "what was on the pool is still there");

    std::fs::rename(&away, &source).unwrap();
    running(&daemon, "c2");
    assert_eq!(warning(&daemon, "Storage pool unavailable"), None);
    assert_eq!(daemon.get("/1.0/storage-pools/p2").metadata()["status"], "Created");
    daemon.remove("c2");
    daemon.ok("DELETE", "/1.0/storage-pools/p2", &Value::Null);
}

#[test]
fn an_instance_whose_files_are_gone_does_not_stop_the_others() {
    let mut daemon = Daemon::start().with_pool_and_image();
    for name in ["c1", "c2", "c3", "c4"] {
        daemon.create(name, &json!({"config": {"boot.autostart": "true"}}));
    }
    daemon.stop();
    let volumes = daemon.lxd_dir().join("storage-pools/default/containers");
    std::fs::remove_dir_all(volumes.join("c1")).unwrap();
    std::fs::remove_dir_all(volumes.join("c2")).unwrap();
    std::fs::write(volumes.join("c2"), "no directory").unwrap();
    // Nobody can enter a link that leads to itself.
    std::fs::remove_dir_all(volumes.join("c3/rootfs")).unwrap();
    std::os::unix::fs::symlink("rootfs", volumes.join("c3/rootfs")).unwrap();

    daemon.launch();
    running(&daemon, "c4");
    warned(&daemon, "Instance unavailable", "c1");
    wait_for("a warning about each instance that does not start", 20, || {
        let all = daemon.get("/1.0/warnings?recursion=1").metadata();
        let failed =
            all.as_array()?.iter().filter(|w| w["type"] == "Failed to start an instance automatically");
        (failed.count() == 3).then_some(())
    });
    for name in ["c1", "c2", "c3"] {
        let url = format!("/1.0/instances/{name}");
        assert_eq!(daemon.status(name), "Stopped");
        assert_eq!(daemon.get(&format!("{url}/state")).status, 200);
        let error = daemon.fails("PUT", &format!("{url}/state"), &json!({"action": "start"}));
        assert!(!error.is_empty(), "{name}");
    }
    assert_eq!(std::fs::read_to_string(volumes.join("c2")).unwrap(), "no directory");
    assert!(volumes.join("c3/rootfs").is_symlink());
    // What is left of them can be removed by whoever wants that.
    for name in ["c1", "c3"] {
        daemon.ok("DELETE", &format!("/1.0/instances/{name}"), &Value::Null);
    }
    std::fs::remove_file(volumes.join("c2")).unwrap();
    daemon.ok("DELETE", "/1.0/instances/c2", &Value::Null);
}

#[test]
fn a_bridge_that_somebody_removed() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let ip = |args: &[&str]| run("ip", &[&["-n", daemon.netns.name.as_str()], args].concat());
    ip(&["link", "add", "hostbr", "type", "bridge"]);
    ip(&["link", "set", "hostbr", "up"]);
    let network = json!({"name": "lbr0", "config": {"ipv4.address": "10.98.7.1/24", "ipv6.address": "none"}});
    daemon.ok("POST", "/1.0/networks", &network);
    let nic = |more: Value| {
        let mut nic = json!({"type": "nic", "name": "eth0"});
        nic.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"devices": {"eth0": nic}, "config": {"boot.autostart": "true"}})
    };
    daemon.create("c1", &nic(json!({"network": "lbr0"})));
    daemon.create("c2", &nic(json!({"nictype": "bridged", "parent": "hostbr"})));
    daemon.create("c3", &json!({"config": {"boot.autostart": "true"}}));
    let netns = daemon.netns.name.clone();
    daemon.stop();
    for bridge in ["hostbr", "lbr0"] {
        run("ip", &["-n", &netns, "link", "del", bridge]);
    }

    daemon.launch();
    running(&daemon, "c1");
    running(&daemon, "c3");
    warned(&daemon, "Failed to start an instance automatically", "hostbr");
    let error = daemon.fails("PUT", "/1.0/instances/c2/state", &json!({"action": "start"}));
    assert!(error.contains("hostbr"), "{error}");
    assert_eq!(daemon.get("/1.0/networks/lbr0").metadata()["status"], "Created");

    // A managed one that goes away under the daemon is made again (`networks.rs` looks closely).
    daemon.state("c1", "stop", "force");
    run("ip", &["-n", &netns, "link", "del", "lbr0"]);
    wait_for("the start on a bridge that is made again", 20, || {
        daemon.call("PUT", "/1.0/instances/c1/state", &json!({"action": "start"}));
        (daemon.status("c1") == "Running").then_some(())
    });
    run("ip", &["-n", &netns, "link", "add", "hostbr", "type", "bridge"]);
    daemon.state("c2", "start", "");
}

#[test]
fn a_network_that_cannot_start_is_unavailable_and_tried_again() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let network = json!({"name": "lbr0", "config": {"ipv4.address": "10.98.8.1/24", "ipv6.address": "none"}});
    daemon.ok("POST", "/1.0/networks", &network);
    daemon.create("c1", &json!({"config": {"boot.autostart": "true"}}));
    let netns = daemon.netns.name.clone();
    daemon.stop();
    run("ip", &["-n", &netns, "link", "del", "lbr0"]);
    // Something that is no bridge has its name now.
    run("ip", &["-n", &netns, "link", "add", "lbr0", "type", "veth", "peer", "name", "lbr0p"]);

    daemon.launch();
    running(&daemon, "c1");
    warned(&daemon, "Network unavailable", "lbr0");
    assert_eq!(daemon.get("/1.0/networks/lbr0").metadata()["status"], "Unavailable");
    run("ip", &["-n", &netns, "link", "del", "lbr0"]);
    wait_for("the network to be tried again", 40, || {
        (daemon.get("/1.0/networks/lbr0").metadata()["status"] == "Created").then_some(())
    });
    wait_for("the warning to be resolved", 5, || {
        warning(&daemon, "Network unavailable").is_none().then_some(())
    });
}

#[test]
fn yesterdays_database_deletes_nothing() {
    let mut daemon = Daemon::start().with_pool_and_image();
    daemon.create("old", &json!({}));
    daemon.stop();
    let database = daemon.lxd_dir().join("database");
    let yesterday = daemon.scratch().join("yesterday");
    run("cp", &["-a", database.to_str().unwrap(), yesterday.to_str().unwrap()]);
    daemon.launch();
    for name in ["c1", "c2"] {
        daemon.create(name, &json!({}));
    }
    daemon.ok("POST", "/1.0/storage-pools/default/volumes/custom", &json!({"name": "v1"}));
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "p2", "driver": "dir"}));
    daemon.ok("POST", "/1.0/storage-pools/p2/volumes/custom", &json!({"name": "v2"}));
    let pools = daemon.lxd_dir().join("storage-pools");
    std::fs::write(pools.join("default/custom/default_v1/precious"), "data").unwrap();
    std::fs::write(pools.join("default/containers/c1/rootfs/precious"), "data").unwrap();
    daemon.stop();
    std::fs::remove_dir_all(&database).unwrap();
    run("cp", &["-a", yesterday.to_str().unwrap(), database.to_str().unwrap()]);
    let before = contents(&pools);
    assert!(before.len() > 20, "{}", before.len());

    daemon.launch();
    warned(&daemon, "Data without a record found, see \"lxd recover\"", "lxd recover");
    let text = warning(&daemon, "Data without a record found, see \"lxd recover\"").unwrap();
    for lost in
        ["default/containers/c1", "default/containers/c2", "default/custom/default_v1", "storage-pools/p2"]
    {
        assert!(text.contains(lost), "{lost} is not in {text}");
    }
    assert!(!text.contains("old"), "{text}");
    // Whoever takes the names again must neither get nor remove what lies there.
    for (path, body) in [
        ("/1.0/instances", json!({"name": "c1", "source": {"type": "image", "alias": "busybox"}})),
        ("/1.0/instances", json!({"name": "c1", "source": {"type": "none"}})),
        ("/1.0/storage-pools/default/volumes/custom", json!({"name": "v1"})),
        ("/1.0/storage-pools", json!({"name": "p2", "driver": "dir"})),
    ] {
        daemon.fails("POST", path, &body);
    }
    daemon.create("new", &json!({}));
    daemon.remove("new");
    let rename = json!({"name": "c2"});
    daemon.fails("POST", "/1.0/instances/old", &rename);
    let mut after = contents(&pools);
    for path in before.keys() {
        assert!(after.remove(path).as_ref() == before.get(path), "{} was changed", path.display());
    }
    assert!(after.is_empty(), "{:?}", after.keys());
    daemon.restart();
    let again = contents(&pools);
    assert!(before.iter().all(|(path, content)| again.get(path) == Some(content)));
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let mut daemon = Daemon::start_in(&[], |dir| {
        std::fs::create_dir(dir).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=48M,mode=0711", "tmpfs", dir.to_str().unwrap()]);
    })
    .with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.create("c2", &json!({}));
    daemon.state("c1", "start", "");
    let clean = World::of(&daemon);
    let filler = daemon.lxd_dir().join("filler");
    let fill = || {
        let mut file = std::fs::File::options().create(true).append(true).open(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
        while std::io::Write::write_all(&mut file, &[1]).is_ok() {}
    };
    fill();
    // The space that the database kept back may let a small one pass; then there is none any more.
    let passed = (0..3).take_while(|n| {
        fill();
        let name = format!("more{n}");
        let create = json!({"name": name, "source": {"type": "image", "alias": "busybox"}});
        let end = daemon.call("POST", "/1.0/instances", &create);
        let error = end.json()["error"].as_str().unwrap_or_default().to_owned()
            + end.metadata()["err"].as_str().unwrap_or_default();
        let is_told = error.to_lowercase().contains("full") || error.contains("No space left");
        assert!(error.is_empty() || is_told, "{error}");
        assert_eq!(daemon.status(&name).is_empty(), is_told, "made wholly or not at all");
        error.is_empty()
    });
    let passed = passed.count();
    assert!(passed < 3, "the disk is not full");
    // What is there can be looked at and used.
    assert_eq!(daemon.get("/1.0/instances?recursion=2").status, 200);
    assert_eq!(daemon.get("/1.0/instances/c1/state").metadata()["status"], "Running");
    fill();

    daemon.restart();
    assert_eq!(daemon.status("c1"), "Running");
    assert_eq!(daemon.get("/1.0/storage-pools/default").metadata()["status"], "Created");
    fill();
    daemon.kill();
    daemon.launch();
    assert_eq!(daemon.status("c1"), "Running");
    daemon.state("c1", "stop", "force");
    // Whoever wants to make room by deleting an instance can.
    daemon.ok("DELETE", "/1.0/instances/c2", &Value::Null);

    std::fs::remove_file(&filler).unwrap();
    (0..passed).for_each(|n| daemon.remove(&format!("more{n}")));
    daemon.create("c2", &json!({}));
    daemon.state("c1", "start", "");
    let left: Vec<String> = clean
        .difference(&World::of(&daemon))
        .into_iter()
        // The copy of its log of the first run, and the free space of the pool in the arguments of nobody.
        .filter(|what| !what.contains("/logs/c1/"))
        .collect();
    assert!(left.is_empty(), "{left:#?}");
}
