//! Projects: their features and names, their limits under many creations at once, and every way to get around a
//! restriction.

use std::sync::Arc;

use lxd_testkit::Daemon;
use serde_json::{Value, json};

use crate::world::World;

/// A project with profiles of its own, whose root disks are in the pool of the test, and the images of `default`.
fn project(daemon: &Daemon, name: &str, config: Value) {
    let mut all = json!({"features.images": "false"});
    for (key, value) in config.as_object().unwrap() {
        all[key] = value.clone();
    }
    daemon.ok("POST", "/1.0/projects", &json!({"name": name, "config": all}));
    let root = json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "default"}}});
    daemon.ok("PATCH", &format!("/1.0/profiles/default?project={name}"), &root);
}

fn instance(name: &str, config: Value) -> Value {
    json!({"name": name, "source": {"type": "image", "alias": "busybox"}, "config": config})
}

#[test]
fn a_project_lives_and_leaves_nothing() {
    let daemon = Daemon::start().with_pool_and_image();
    let before = World::of(&daemon);
    project(&daemon, "p1", json!({"user.note": "a"}));
    let shown = daemon.get("/1.0/projects/p1");
    let etag = shown.header("etag").unwrap().to_owned();
    assert_eq!(shown.metadata()["used_by"], json!(["/1.0/profiles/default?project=p1"]));
    let features = &shown.metadata()["config"];
    assert_eq!(
        (&features["features.profiles"], &features["features.networks"]),
        (&json!("true"), &Value::Null)
    );

    daemon.ok("PATCH", "/1.0/projects/p1", &json!({"config": {"user.other": "b"}}));
    let config = daemon.get("/1.0/projects/p1").metadata()["config"].clone();
    assert_eq!((&config["user.note"], &config["user.other"]), (&json!("a"), &json!("b")));
    assert_ne!(daemon.get("/1.0/projects/p1").header("etag").unwrap(), etag);

    daemon.ok("POST", "/1.0/instances?project=p1", &instance("c1", json!({})));
    daemon.ok("POST", "/1.0/instances", &instance("c1", json!({})));
    assert!(daemon.lxd_dir().join("storage-pools/default/containers/p1_c1").exists());
    assert_eq!(daemon.get("/1.0/instances?project=p1").metadata(), json!(["/1.0/instances/c1?project=p1"]));
    let all = daemon.get("/1.0/instances?all-projects=true").metadata();
    assert_eq!(all, json!(["/1.0/instances/c1", "/1.0/instances/c1?project=p1"]));
    let both = daemon.fails("GET", "/1.0/instances?project=p1&all-projects=true", &Value::Null);
    assert_eq!(both, "Cannot specify a project when requesting all projects");
    daemon.ok("PUT", "/1.0/instances/c1/state?project=p1", &json!({"action": "start", "timeout": 30}));
    assert_eq!(daemon.status("c1"), "Stopped");

    let off = json!({"config": {"features.profiles": "false"}});
    let text = "Project feature \"features.profiles\" cannot be disabled on non-empty projects";
    assert_eq!(daemon.fails("PATCH", "/1.0/projects/p1", &off), text);
    assert_eq!(daemon.fails("DELETE", "/1.0/projects/p1", &json!({})), "Only empty projects can be removed");
    let new = json!({"name": "p2"});
    assert_eq!(daemon.fails("POST", "/1.0/projects/p1", &new), "Only empty projects can be renamed");
    daemon.ok("PUT", "/1.0/instances/c1/state?project=p1", &json!({"action": "stop", "force": true}));
    daemon.ok("DELETE", "/1.0/instances/c1?project=p1", &json!({}));
    daemon.ok("DELETE", "/1.0/instances/c1", &json!({}));
    daemon.ok("POST", "/1.0/projects/p1", &new);
    assert_eq!(daemon.get("/1.0/projects/p1").status, 404);
    daemon.ok("DELETE", "/1.0/projects/p2", &json!({}));
    assert_eq!(before.difference(&World::of(&daemon)), Vec::<String>::new());
}

#[test]
fn the_client_works_in_projects() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.lxc_ok(&[
        "project",
        "create",
        "p1",
        "-c",
        "features.images=false",
        "-c",
        "features.profiles=false",
    ]);
    daemon.lxc_ok(&["project", "switch", "p1"]);
    daemon.lxc_ok(&["init", "busybox", "c1"]);
    assert_eq!(daemon.lxc_ok(&["list", "-f", "csv", "-c", "n"]).trim(), "c1");
    assert_eq!(daemon.lxc_ok(&["list", "-f", "csv", "-c", "n", "--project", "default"]).trim(), "");
    assert_eq!(daemon.lxc_ok(&["list", "-f", "csv", "-c", "en", "--all-projects"]).trim(), "p1,c1");
    let listed = daemon.lxc_ok(&["project", "list", "-f", "csv"]);
    assert_eq!(listed.lines().last().unwrap(), "p1 (current),NO,NO,YES,NO,,1");
    daemon.lxc_ok(&["project", "set", "p1", "limits.instances=3"]);
    assert!(daemon.lxc_ok(&["project", "info", "p1", "-f", "csv"]).contains("INSTANCES,3,1\n"));
    daemon.lxc_ok(&["delete", "c1"]);
    daemon.lxc_ok(&["project", "rename", "p1", "p2"]);
    assert_eq!(daemon.lxc_ok(&["list", "-f", "csv"]), "");
    daemon.lxc_ok(&["project", "delete", "p2"]);
    assert_eq!(daemon.lxc_ok(&["profile", "list", "-f", "csv"]).lines().count(), 1);
}

#[test]
fn limits_are_never_exceeded_by_many_at_once() {
    let daemon = Arc::new(Daemon::start().with_pool_and_image());
    project(&daemon, "p1", json!({"limits.instances": "5", "limits.memory": "64MiB"}));
    let create = |at: usize| {
        let daemon = daemon.clone();
        std::thread::spawn(move || {
            let body = instance(&format!("c{at}"), json!({"limits.memory": "16MiB"}));
            let answer = daemon.call("POST", "/1.0/instances?project=p1", &body).json();
            let error = answer["error"].as_str().filter(|text| !text.is_empty());
            error.or(answer["metadata"]["err"].as_str()).unwrap_or_default().to_owned()
        })
    };
    let threads: Vec<_> = (0..20).map(create).collect();
    let refused: Vec<String> =
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|error| !error.is_empty()).collect();
    let made = daemon.get("/1.0/instances?project=p1").metadata();
    let made: Vec<&str> = made.as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    assert_eq!((made.len(), refused.len()), (4, 16), "{refused:?}");
    let text = "Reached maximum aggregate value \"64MiB\" for \"limits.memory\" in project \"p1\"";
    assert!(refused.iter().all(|error| error.ends_with(text)), "{refused:?}");
    let one = made[0];
    let more = daemon.fails("PATCH", one, &json!({"config": {"limits.memory": "17MiB"}}));
    assert!(more.ends_with(text), "{more}");
    let lost = daemon.fails("PATCH", one, &json!({"config": {"limits.memory": ""}}));
    assert!(lost.contains("has no \"limits.memory\" config"), "{lost}");
    let low = daemon.fails("PATCH", "/1.0/projects/p1", &json!({"config": {"limits.memory": "63MiB"}}));
    assert_eq!(low, "\"limits.memory\" is too low: current total is \"64.0MiB\"");
    let cpu = daemon.fails("PATCH", "/1.0/projects/p1", &json!({"config": {"limits.cpu": "8"}}));
    assert!(cpu.contains("has no \"limits.cpu\" config"), "{cpu}");
    let state = daemon.get("/1.0/projects/p1/state").metadata();
    assert_eq!(state["resources"]["memory"], json!({"Limit": 64 << 20, "Usage": 64 << 20}));
    for url in made {
        daemon.ok("DELETE", url, &json!({}));
    }
}

#[test]
fn volumes_count_against_the_disk_limit() {
    let daemon = Daemon::start().with_pool_and_image();
    project(&daemon, "p1", json!({"limits.disk": "20MiB"}));
    let volumes = "/1.0/storage-pools/default/volumes/custom";
    let create = |name: &str, size: &str| json!({"name": name, "config": {"size": size}});
    daemon.ok("POST", &format!("{volumes}?project=p1"), &create("v1", "15MiB"));
    let text = "Reached maximum aggregate value \"20MiB\" for \"limits.disk\" in project \"p1\"";
    let second = daemon.fails("POST", &format!("{volumes}?project=p1"), &create("v2", "6MiB"));
    assert!(second.ends_with(text), "{second}");
    let grown = json!({"config": {"size": "21MiB"}});
    let grown = daemon.fails("PATCH", &format!("{volumes}/v1?project=p1"), &grown);
    assert!(grown.ends_with(text), "{grown}");
    assert_eq!(daemon.get(&format!("{volumes}?project=p1")).metadata().as_array().unwrap().len(), 1);
    daemon.ok("DELETE", &format!("{volumes}/v1?project=p1"), &json!({}));
}

/// What no instance of a restricted project may have.
const FORBIDDEN: &[(&str, &str)] = &[
    ("security.privileged", "true"),
    ("security.nesting", "true"),
    ("security.idmap.base", "200000"),
    ("raw.lxc", "lxc.environment = A=1"),
    ("raw.idmap", "both 1000 1000"),
    ("raw.seccomp", "x"),
    ("linux.kernel_modules", "loop"),
    ("boot.host_shutdown_timeout", "5"),
    ("security.devlxd.images", "true"),
    ("security.syscalls.intercept.mknod", "true"),
    ("volatile.uuid", "8d7a1e5c-6f1c-4b0e-9e5a-4a8f9a9a8c11"),
];

#[test]
fn nothing_gets_around_a_restriction() {
    let daemon = Daemon::start().with_pool_and_image();
    project(&daemon, "r", json!({"restricted": "true"}));
    daemon.ok("POST", "/1.0/instances?project=r", &instance("c1", json!({})));
    daemon.ok("POST", "/1.0/profiles?project=r", &json!({"name": "extra"}));
    let before = daemon.get("/1.0/instances/c1?project=r").metadata()["config"].clone();
    for (key, value) in FORBIDDEN {
        let config = json!({"config": {*key: value}});
        let refused = |method: &str, path: &str, body: &Value| {
            let error = daemon.fails(method, path, body);
            let known = ["forbidden", "not supported yet", "Unknown configuration key", "Invalid config"];
            assert!(known.iter().any(|word| error.contains(word)), "{method} {path} {body}: {error}");
        };
        refused("POST", "/1.0/instances?project=r", &instance("c2", config["config"].clone()));
        refused("PATCH", "/1.0/instances/c1?project=r", &config);
        let mut put = json!({"config": before, "profiles": ["default"]});
        put["config"][*key] = json!(value);
        refused("PUT", "/1.0/instances/c1?project=r", &put);
        if !key.starts_with("volatile.") {
            refused("PATCH", "/1.0/profiles/default?project=r", &config);
            refused("PATCH", "/1.0/profiles/extra?project=r", &config);
            let profile = json!({"name": "other", "config": {*key: value}});
            refused("POST", "/1.0/profiles?project=r", &profile);
        }
    }
    let disk = json!({"devices": {"d": {"type": "disk", "source": "/tmp", "path": "/mnt"}}});
    for path in ["/1.0/instances/c1?project=r", "/1.0/profiles/default?project=r"] {
        let error = daemon.fails("PATCH", path, &disk);
        assert!(error.ends_with("Attaching disks not backed by a pool is forbidden"), "{error}");
    }
    assert_eq!(daemon.get("/1.0/instances/c1?project=r").metadata()["config"], before);
    assert_eq!(daemon.get("/1.0/instances?project=r").metadata().as_array().unwrap().len(), 1);

    daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": {"restricted.containers.nesting": "allow"}}));
    daemon.ok("PATCH", "/1.0/instances/c1?project=r", &json!({"config": {"security.nesting": "true"}}));
    let block = json!({"config": {"restricted.containers.nesting": "block"}});
    let conflict = daemon.fails("PATCH", "/1.0/projects/r", &block);
    assert!(
        conflict.starts_with("Conflict detected when changing \"restricted.containers.nesting\""),
        "{conflict}"
    );
    daemon.ok("DELETE", "/1.0/instances/c1?project=r", &json!({}));
}

#[test]
fn a_project_is_deleted_while_instances_are_made_in_it() {
    let daemon = Daemon::start().with_pool_and_image();
    let clean = World::of(&daemon);
    for round in 0..6 {
        let config = json!({"features.images": "false", "features.profiles": "false"});
        daemon.ok("POST", "/1.0/projects", &json!({"name": "gone", "config": config}));
        let made = std::thread::scope(|scope| {
            let creating: Vec<_> = (0..3)
                .map(|at| {
                    let body = instance(&format!("c{at}"), json!({}));
                    let daemon = &daemon;
                    scope.spawn(move || daemon.call("POST", "/1.0/instances?project=gone", &body).json())
                })
                .collect();
            // Sooner in one round, later in another.
            for _ in 0..round {
                daemon.get("/1.0");
            }
            let deleted = daemon.call("DELETE", "/1.0/projects/gone", &json!({})).status == 200;
            let answers = creating.into_iter().map(|thread| thread.join().unwrap());
            let fails = |answer: &Value| answer["type"] == "error" || answer["metadata"]["err"] != "";
            let made = answers.filter(|answer| !fails(answer)).count();
            assert!(!deleted || made == 0, "{made} were made in a project that is gone");
            made
        });
        let listed = daemon.get("/1.0/instances?all-projects=true").metadata();
        assert_eq!(listed.as_array().unwrap().len(), made, "{listed}");
        for url in listed.as_array().unwrap() {
            daemon.ok("DELETE", url.as_str().unwrap(), &json!({}));
        }
        daemon.call("DELETE", "/1.0/projects/gone", &json!({}));
        let left = clean.difference(&World::of(&daemon));
        assert!(left.is_empty(), "round {round}: {left:#?}");
    }
}

/// Images, volumes and profiles come while their project goes: either it stays, or nothing of them.
#[test]
fn a_project_is_deleted_while_other_things_come() {
    let daemon = Daemon::start().with_pool_and_image();
    let clean = World::of(&daemon);
    let image = std::fs::read(lxd_testkit::busybox_image()).unwrap();
    for round in 0..12 {
        daemon.ok("POST", "/1.0/projects", &json!({"name": "gone"}));
        let send = |path: &str, body: &[u8]| {
            let answer = lxd_testkit::request_raw(&daemon.socket(), "POST", path, &[], body).unwrap().json();
            let waited = answer["operation"].as_str().filter(|url| !url.is_empty());
            let end = waited.map(|url| daemon.get(&format!("{url}/wait")).metadata());
            answer["type"] != "error" && end.is_none_or(|end| end["err"] == "")
        };
        let named = json!({"name": "x", "config": {}}).to_string();
        let (deleted, made) = std::thread::scope(|scope| {
            let coming = [
                ("/1.0/images?project=gone", &image[..]),
                ("/1.0/storage-pools/default/volumes/custom?project=gone", named.as_bytes()),
                ("/1.0/profiles?project=gone", named.as_bytes()),
            ];
            let coming = coming.map(|(path, body)| scope.spawn(move || send(path, body)));
            // Sooner in one round, later in another.
            for _ in 0..round * 4 {
                daemon.get("/1.0");
            }
            let deleted = daemon.call("DELETE", "/1.0/projects/gone", &json!({})).status == 200;
            (deleted, coming.map(|thread| thread.join().unwrap()).into_iter().filter(|made| *made).count())
        });
        assert!(!deleted || made == 0, "{made} were made in a project that is gone");
        if !deleted {
            assert!(made > 0, "nothing was in its way");
            for url in daemon.get("/1.0/projects/gone").metadata()["used_by"].as_array().unwrap() {
                let url = url.as_str().unwrap();
                if !url.starts_with("/1.0/profiles/default") {
                    daemon.ok("DELETE", url, &json!({}));
                }
            }
            daemon.ok("DELETE", "/1.0/projects/gone", &json!({}));
        }
        let left = clean.difference(&World::of(&daemon));
        assert!(left.is_empty(), "round {round}: {left:#?}");
    }
}

/// Disks of a restricted project show what is below the named directories; who owns these does not get out by a link.
#[test]
fn links_of_a_tenant_do_not_lead_out_of_the_allowed_directory() {
    let daemon = Daemon::start().with_pool_and_image();
    let (inside, outside) = (daemon.scratch().join("tenant"), daemon.scratch().join("private"));
    std::fs::create_dir_all(inside.join("data")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(inside.join("data/f"), "mine").unwrap();
    std::fs::write(outside.join("f"), "secret").unwrap();
    let rules = json!({
        "restricted": "true",
        "restricted.devices.disk": "allow",
        "restricted.devices.disk.paths": inside,
    });
    project(&daemon, "r", rules);
    let swap = |target: &str| {
        let link = inside.join("link");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).unwrap();
    };
    let disk = |source: &str| {
        let source = inside.join(source);
        json!({"devices": {"d": {"type": "disk", "path": "/d", "source": source}}})
    };
    daemon.ok("POST", "/1.0/instances?project=r", &instance("c1", json!({})));
    let (c1, state) = ("/1.0/instances/c1?project=r", "/1.0/instances/c1/state?project=r");
    for target in ["../private", outside.to_str().unwrap()] {
        swap(target);
        for source in ["link", "link/f"] {
            let refused = daemon.fails("PATCH", c1, &disk(source));
            assert!(refused.contains("Failed to open"), "{refused}");
        }
    }
    let shown = || {
        let answer = daemon.get("/1.0/instances/c1/files?project=r&path=/d/f");
        (answer.status == 200).then(|| String::from_utf8(answer.bytes.to_vec()).unwrap())
    };
    swap("data");
    daemon.ok("PATCH", c1, &disk("link"));
    daemon.ok("PUT", state, &json!({"action": "start"}));
    assert_eq!(shown().as_deref(), Some("mine"));
    daemon.ok("PUT", state, &json!({"action": "stop", "force": true}));
    // The link was good when it was added; now it leads elsewhere.
    swap("../private");
    let refused = daemon.fails("PUT", state, &json!({"action": "start"}));
    assert!(refused.contains("Failed to open"), "{refused}");
    assert_eq!(daemon.get(c1).metadata()["status"], "Stopped");
    swap("data");
    daemon.ok("PUT", state, &json!({"action": "start"}));
    // Into a running one neither.
    swap("../private");
    let more = json!({"devices": {"e": {"type": "disk", "path": "/e", "source": inside.join("link")}}});
    assert!(daemon.fails("PATCH", c1, &more).contains("Failed to open"));
    assert_eq!(shown().as_deref(), Some("mine"));
    daemon.ok("PUT", state, &json!({"action": "stop", "force": true}));
    daemon.ok("DELETE", c1, &json!({}));
}

/// Who works in a restricted project does not make the server connect to itself (security.md C12).
#[test]
fn a_restricted_project_fetches_nothing_from_the_server_itself() {
    let daemon = Daemon::start().with_pool_and_image();
    project(&daemon, "r", json!({"restricted": "true", "features.images": "true"}));
    let log = daemon.scratch().join("connections");
    let script = "import socket, sys\ns = socket.socket(); s.bind((\"127.0.0.1\", 8099)); s.listen(99)\n\
                  open(sys.argv[1], \"w\").close()\nwhile True:\n  s.accept()[0].close()\n  \
                  open(sys.argv[1], \"a\").write(\"x\")\n";
    let mut server = daemon.netns.command("python3");
    let mut server = server.args(["-c", script]).arg(&log).spawn().unwrap();
    lxd_testkit::wait_for("the listener", 20, || log.exists().then_some(()));
    let port = 8099;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}");
            let by_url = json!({"source": {"type": "url", "url": format!("{url}/x")}});
            daemon.fails("POST", "/1.0/images?project=r", &by_url);
            let streams = json!({"type": "image", "mode": "pull", "server": url, "protocol": "simplestreams", "alias": "a"});
            daemon.fails("POST", "/1.0/images?project=r", &json!({"source": streams}));
            let body = json!({"name": "c1", "source": streams});
            daemon.fails("POST", "/1.0/instances?project=r", &body);
            let lxd =
                json!({"type": "image", "mode": "pull", "server": url, "protocol": "lxd", "alias": "a"});
            daemon.fails("POST", "/1.0/instances?project=r", &json!({"name": "c1", "source": lxd}));
        }
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "");
    // The project of the administrator may.
    let by_url = json!({"source": {"type": "url", "url": format!("http://127.0.0.1:{port}/x")}});
    daemon.fails("POST", "/1.0/images", &by_url);
    lxd_testkit::wait_for("a connection", 20, || {
        (std::fs::read_to_string(&log).unwrap() == "x").then_some(())
    });
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_project_chooses_its_compression() {
    let daemon = Daemon::start().with_pool_and_image();
    let keys = json!({"backups.compression_algorithm": "bzip2", "images.compression_algorithm": "none"});
    project(&daemon, "p1", merge(&keys, json!({"features.images": "true"})));
    let source = json!({"type": "none"});
    let body = json!({"name": "c1", "source": source});
    daemon.ok("POST", "/1.0/instances?project=p1", &body);
    let backup = |name: &str, more: Value| {
        let body = merge(&json!({"name": name}), more);
        daemon.ok("POST", "/1.0/instances/c1/backups?project=p1", &body);
        daemon.get(&format!("/1.0/instances/c1/backups/{name}/export?project=p1")).bytes
    };
    assert!(backup("b1", json!({})).starts_with(b"BZh"));
    assert!(backup("b2", json!({"compression_algorithm": "gzip"})).starts_with(&[0x1f, 0x8b]));
    let publish = json!({"source": {"type": "instance", "name": "c1"}});
    daemon.ok("POST", "/1.0/images?project=p1", &publish);
    let image = daemon.get("/1.0/images?project=p1").metadata()[0].as_str().unwrap().to_owned();
    let exported = daemon.get(&image.replace("?project", "/export?project")).bytes;
    assert_eq!(&exported[257..262], b"ustar");
    daemon.ok("DELETE", &image, &json!({}));
    daemon.ok("DELETE", "/1.0/instances/c1?project=p1", &json!({}));
}

fn merge(one: &Value, more: Value) -> Value {
    let mut all = one.clone();
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}
