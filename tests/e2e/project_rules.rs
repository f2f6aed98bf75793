//! Every way to bring something into a project × every rule of projects that has to do with it: refused where the rule
//! says so, with nothing left half done, and possible where it does not.

use lxd_testkit::{Daemon, binary, request_raw, wait_for};
use serde_json::{Value, json};

use crate::project_rows::{CASES, Case};
use crate::recover::recover;
use crate::world::World;

/// The error of a request or of its operation.
pub fn tried(daemon: &Daemon, method: &str, path: &str, body: &Value) -> Result<(), String> {
    let answer = daemon.call(method, path, body);
    let json = answer.json();
    let error = if answer.status >= 400 { &json["error"] } else { &json["metadata"]["err"] };
    match error.as_str().unwrap_or_default() {
        "" => Ok(()),
        error => Err(error.to_owned()),
    }
}

fn merged(mut one: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(_) if one[key].is_object() => one[key] = merged(one[key].take(), value),
            _ => one[key] = value.clone(),
        }
    }
    one
}

impl Case {
    /// A request for an instance with the part.
    fn with_part(&self, request: Value) -> Value {
        merged(merged(request, &json!({"config": (self.base)()})), &(self.part)())
    }

    fn set(&self, daemon: &Daemon, value: &str) {
        let restricted = if self.rule.starts_with("limits.") { "false" } else { "true" };
        let mut config = json!({"restricted": restricted, "restricted.backups": "allow"});
        config["restricted.snapshots"] = json!("allow");
        if self.rule == "restricted.devices.disk.paths" {
            config["restricted.devices.disk"] = json!("allow");
        }
        config[self.rule] = json!(value);
        daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": config}));
    }

    fn unset(&self, daemon: &Daemon) {
        let config = json!({"restricted": "false", self.rule: "", "restricted.devices.disk": ""});
        daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": config}));
    }
}

/// Brings the part into an instance `x` of the project `r`.
type Way = fn(&Daemon, &Case) -> Result<(), String>;

pub fn image(name: &str) -> Value {
    json!({"name": name, "source": {"type": "image", "alias": "busybox"}})
}

fn from_image(daemon: &Daemon, case: &Case) -> Result<(), String> {
    tried(daemon, "POST", "/1.0/instances?project=r", &case.with_part(image("x")))
}

fn from_nothing(daemon: &Daemon, case: &Case) -> Result<(), String> {
    let empty = json!({"name": "x", "source": {"type": "none"}});
    tried(daemon, "POST", "/1.0/instances?project=r", &case.with_part(empty))
}

fn by_copy(daemon: &Daemon, _: &Case) -> Result<(), String> {
    let source = json!({"type": "copy", "source": "src", "project": "o"});
    tried(daemon, "POST", "/1.0/instances?project=r", &json!({"name": "x", "source": source}))
}

fn by_copy_of_a_snapshot(daemon: &Daemon, _: &Case) -> Result<(), String> {
    let source = json!({"type": "copy", "source": "src/s1", "project": "o"});
    tried(daemon, "POST", "/1.0/instances?project=r", &json!({"name": "x", "source": source}))
}

fn by_move(daemon: &Daemon, _: &Case) -> Result<(), String> {
    let body = json!({"name": "x", "migration": true, "project": "r"});
    tried(daemon, "POST", "/1.0/instances/src?project=o", &body)
}

fn by_move_with_pool(daemon: &Daemon, _: &Case) -> Result<(), String> {
    let body = json!({"name": "x", "migration": true, "project": "r", "pool": "second"});
    tried(daemon, "POST", "/1.0/instances/src?project=o", &body)
}

fn by_import(daemon: &Daemon, _: &Case) -> Result<(), String> {
    let backup = daemon.get("/1.0/instances/src/backups/b1/export?project=o").bytes;
    let headers = [("Content-Type", "application/octet-stream"), ("X-LXD-name", "x")];
    let answer =
        request_raw(&daemon.socket(), "POST", "/1.0/instances?project=r", &headers, &backup).unwrap();
    if answer.status >= 400 {
        return Err(answer.json()["error"].as_str().unwrap_or_default().to_owned());
    }
    let operation = answer.json()["operation"].as_str().unwrap_or_default().to_owned();
    let end = daemon.get(&format!("{operation}/wait?timeout=60")).json();
    match end["metadata"]["err"].as_str().unwrap_or_default() {
        "" => Ok(()),
        error => Err(error.to_owned()),
    }
}

/// A snapshot from before the rule, or from elsewhere.
fn by_restore(daemon: &Daemon, case: &Case) -> Result<(), String> {
    base(daemon, case);
    let source = json!({"type": "copy", "source": "src", "project": "o", "refresh": true});
    tried(daemon, "POST", "/1.0/instances?project=r", &json!({"name": "x", "source": source}))?;
    let kept = daemon.get("/1.0/instances/x?project=r").metadata();
    for (_, part) in (case.part)().as_object().unwrap() {
        for (key, value) in part.as_object().unwrap() {
            assert!(kept["config"][key] != *value || (case.base)()[key] == *value, "a refresh brings {key}");
            assert_eq!(kept["devices"][key], Value::Null);
        }
    }
    tried(daemon, "PUT", "/1.0/instances/x?project=r", &json!({"restore": "s1"}))
}

/// An instance that the rule allows.
fn base(daemon: &Daemon, case: &Case) {
    let base = merged(image("x"), &json!({"config": (case.base)()}));
    daemon.ok("POST", "/1.0/instances?project=r", &base);
}

fn by_patch(daemon: &Daemon, case: &Case) -> Result<(), String> {
    base(daemon, case);
    tried(daemon, "PATCH", "/1.0/instances/x?project=r", &(case.part)())
}

fn by_put(daemon: &Daemon, case: &Case) -> Result<(), String> {
    base(daemon, case);
    let present = daemon.get("/1.0/instances/x?project=r").metadata();
    let put = json!({"config": present["config"], "devices": {}, "profiles": ["default"]});
    tried(daemon, "PUT", "/1.0/instances/x?project=r", &merged(put, &(case.part)()))
}

/// The profile of an instance gets the part.
fn by_profile_change(daemon: &Daemon, case: &Case) -> Result<(), String> {
    let through = json!({"profiles": ["default", "used"], "config": {}});
    let base = merged(image("x"), &through);
    let config = json!({"config": (case.base)()});
    daemon.ok("PUT", "/1.0/profiles/used?project=r", &config);
    daemon.ok("POST", "/1.0/instances?project=r", &base);
    let changed = tried(daemon, "PATCH", "/1.0/profiles/used?project=r", &(case.part)());
    if changed.is_err() {
        let kept = daemon.get("/1.0/profiles/used?project=r").metadata();
        assert_eq!((&kept["config"], &kept["devices"]), (&config["config"], &json!({})));
    }
    changed
}

/// An instance gets a profile that has it. In a restricted project there can be no such profile.
fn by_profile_assignment(daemon: &Daemon, case: &Case) -> Result<(), String> {
    base(daemon, case);
    tried(daemon, "PUT", "/1.0/profiles/used?project=r", &(case.part)())?;
    let present = daemon.get("/1.0/instances/x?project=r").metadata();
    let mut config = present["config"].clone();
    for (key, _) in (case.part)()["config"].as_object().into_iter().flatten() {
        config.as_object_mut().unwrap().remove(key);
    }
    let put = json!({"config": config, "profiles": ["default", "used"]});
    tried(daemon, "PUT", "/1.0/instances/x?project=r", &put)
}

/// The database lost an instance that its pool has; the rule came since.
fn by_recover(daemon: &Daemon, case: &Case) -> Result<(), String> {
    let config = daemon.get("/1.0/projects/r").metadata()["config"].clone();
    by_an_earlier_rule(daemon, case)?;
    // Written a moment after the instance was made.
    let described = daemon.lxd_dir().join("storage-pools/default/containers/r_x/backup.yaml");
    wait_for("the description in the volume", 30, || described.exists().then_some(()));
    let project = "project_id=(SELECT id FROM projects WHERE name='r')";
    for table in ["instances", "storage_volumes"] {
        let text = format!("DELETE FROM {table} WHERE name='x' AND {project}");
        let deleted = daemon.client(&binary("lxd"), &["sql", "global", &text]);
        assert!(deleted.status.success(), "{deleted:?}");
    }
    daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": config}));
    let (_, shown, error) = recover(daemon, "no\nyes\nyes\n");
    if daemon.get("/1.0/instances/x?project=r").status == 200 {
        return Ok(());
    }
    // Without the rule it comes back, and can go.
    case.unset(daemon);
    let again = recover(daemon, "no\nyes\nyes\n");
    let there = daemon.get("/1.0/instances/x?project=r").status;
    assert_eq!(there, 200, "{}: {error} {again:?}", case.rule);
    daemon.ok("DELETE", "/1.0/instances/x?project=r", &Value::Null);
    Err(shown + &error)
}

/// The rule comes when the part is there.
fn by_an_earlier_rule(daemon: &Daemon, case: &Case) -> Result<(), String> {
    case.unset(daemon);
    daemon.ok("POST", "/1.0/instances?project=r", &case.with_part(image("x")));
    Ok(())
}

const WAYS: &[(&str, Way)] = &[
    ("create from an image", from_image),
    ("create from nothing", from_nothing),
    ("copy", by_copy),
    ("copy of a snapshot", by_copy_of_a_snapshot),
    ("move", by_move),
    ("move with a pool", by_move_with_pool),
    ("import", by_import),
    ("refresh and restore", by_restore),
    ("PATCH", by_patch),
    ("PUT", by_put),
    ("profile change", by_profile_change),
    ("profile assignment", by_profile_assignment),
    ("recover", by_recover),
];

pub fn prepared() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    let config = json!({"ipv4.address": "10.77.9.1/24", "ipv6.address": "none"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "rulesbr0", "config": config}));
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "second", "driver": "dir"}));
    for project in ["o", "r"] {
        let config = json!({"features.images": "false"});
        daemon.ok("POST", "/1.0/projects", &json!({"name": project, "config": config}));
        let root = json!({"type": "disk", "path": "/", "pool": "default", "size": "10MiB"});
        let devices = json!({"devices": {"root": root}});
        daemon.ok("PATCH", &format!("/1.0/profiles/default?project={project}"), &devices);
        let volumes = format!("/1.0/storage-pools/default/volumes/custom?project={project}");
        daemon.ok("POST", &volumes, &json!({"name": "rulesv", "config": {"size": "1MiB"}}));
    }
    daemon.ok("POST", "/1.0/profiles?project=r", &json!({"name": "used"}));
    daemon
}

/// An instance with the part in the open project, with a snapshot and a backup.
fn source(daemon: &Daemon, case: &Case) {
    daemon.ok("POST", "/1.0/instances?project=o", &case.with_part(image("src")));
    daemon.ok("POST", "/1.0/instances/src/snapshots?project=o", &json!({"name": "s1"}));
    let backup = json!({"name": "b1", "compression_algorithm": "none"});
    daemon.ok("POST", "/1.0/instances/src/backups?project=o", &backup);
}

fn clear(daemon: &Daemon, case: &Case) {
    for at in ["x?project=r", "src?project=o"] {
        daemon.call("DELETE", &format!("/1.0/instances/{at}"), &Value::Null);
    }
    daemon.ok("PUT", "/1.0/profiles/used?project=r", &json!({}));
    case.unset(daemon);
}

/// What is in the restricted project, without what changes by itself.
fn content(daemon: &Daemon) -> (World, Value, Value) {
    let all = daemon.get("/1.0/instances?recursion=1&all-projects=true").metadata();
    (World::of(daemon), all, daemon.get("/1.0/profiles?recursion=1&project=r").metadata())
}

/// One of four parts of the table, which run beside each other.
fn every_way_meets_the_rules(part: usize) {
    let daemon = prepared();
    let clean = World::of(&daemon);
    let mut tries = 0;
    for case in CASES.iter().skip(part).step_by(4) {
        for (name, way) in WAYS {
            for (value, open) in case.closed.iter().map(|value| (*value, false)).chain([(case.open, true)]) {
                let what = format!("{name} with {}={value}: {}", case.rule, (case.part)());
                source(&daemon, case);
                case.set(&daemon, value);
                let done = way(&daemon, case);
                tries += 1;
                match done {
                    Ok(()) => assert!(open, "{what}: it was let in"),
                    Err(error) => {
                        assert!(!open, "{what}: {error}");
                        assert!(error.contains(case.text), "{what}: {error}");
                        nothing_half_done(&daemon, case, name, &what);
                    }
                }
                clear(&daemon, case);
                let left = clean.difference(&World::of(&daemon));
                assert!(left.is_empty(), "{what}: {left:#?}");
            }
        }
        the_rule_does_not_come_later(&daemon, case);
        let left = clean.difference(&World::of(&daemon));
        assert!(left.is_empty(), "{}: {left:#?}", case.rule);
    }
    println!("{tries} tries");
}

#[test]
fn every_way_into_a_project_meets_every_rule_1() {
    every_way_meets_the_rules(0);
}

#[test]
fn every_way_into_a_project_meets_every_rule_2() {
    every_way_meets_the_rules(1);
}

#[test]
fn every_way_into_a_project_meets_every_rule_3() {
    every_way_meets_the_rules(2);
}

#[test]
fn every_way_into_a_project_meets_every_rule_4() {
    every_way_meets_the_rules(3);
}

/// After a refusal the instance is as it was, or is not there; its source is untouched.
fn nothing_half_done(daemon: &Daemon, case: &Case, way: &str, what: &str) {
    let there = daemon.get("/1.0/instances/x?project=r");
    let changes = ["PATCH", "PUT", "profile change", "profile assignment", "refresh and restore"];
    assert_eq!(there.status == 200, changes.contains(&way), "{what}");
    if there.status == 200 {
        let there = there.metadata();
        for (key, value) in (case.base)().as_object().unwrap() {
            assert_eq!(there["expanded_config"][key], *value, "{what}");
        }
        assert_eq!(there["expanded_devices"]["d"], Value::Null, "{what}");
        daemon.ok("PUT", "/1.0/instances/x/state?project=r", &json!({"action": "start"}));
        daemon.ok("PUT", "/1.0/instances/x/state?project=r", &json!({"action": "stop", "force": true}));
    }
    let source = daemon.get("/1.0/instances/src?project=o&recursion=2").metadata();
    assert_eq!(
        (&source["snapshots"][0]["name"], &source["status"]),
        (&json!("s1"), &json!("Stopped")),
        "{what}"
    );
}

/// A rule that is broken already cannot be made.
fn the_rule_does_not_come_later(daemon: &Daemon, case: &Case) {
    by_an_earlier_rule(daemon, case).unwrap();
    let before = content(daemon);
    let restricted = if case.rule.starts_with("limits.") { "false" } else { "true" };
    for value in case.closed {
        let mut config = json!({"restricted": restricted, case.rule: value});
        if case.rule == "restricted.devices.disk.paths" {
            config["restricted.devices.disk"] = json!("allow");
        }
        let refused = tried(daemon, "PATCH", "/1.0/projects/r", &json!({"config": config}));
        assert!(refused.is_err(), "{}={value} although it is broken", case.rule);
    }
    assert_eq!(content(daemon), before, "{}", case.rule);
    clear(daemon, case);
}

/// Counts of instances, and what a project says to snapshots and backups.
#[test]
fn counts_and_kinds_of_copies_are_limited_on_every_way() {
    let daemon = prepared();
    let case = &CASES[0];
    let clean = World::of(&daemon);
    for limit in ["limits.instances", "limits.containers"] {
        daemon.ok("POST", "/1.0/instances?project=o", &image("src"));
        daemon.ok("POST", "/1.0/instances/src/snapshots?project=o", &json!({"name": "s1"}));
        let backup = json!({"name": "b1", "compression_algorithm": "none"});
        daemon.ok("POST", "/1.0/instances/src/backups?project=o", &backup);
        daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": {limit: "0"}}));
        let ways: [(&str, Way); 5] = [
            ("create", from_image),
            ("copy", by_copy),
            ("copy of a snapshot", by_copy_of_a_snapshot),
            ("move", by_move),
            ("import", by_import),
        ];
        for (name, way) in ways {
            let refused = way(&daemon, case).unwrap_err();
            assert!(refused.contains("Reached maximum number of instances"), "{name}: {refused}");
            assert_eq!(daemon.get("/1.0/instances?project=r").metadata(), json!([]));
        }
        daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": {limit: ""}}));
        clear(&daemon, case);
    }
    daemon.ok("POST", "/1.0/instances?project=r", &image("x"));
    let volumes = "/1.0/storage-pools/default/volumes/custom";
    daemon.ok("POST", &format!("{volumes}?project=r"), &json!({"name": "v1"}));
    daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": {"restricted": "true"}}));
    let snapshot = "Project \"r\" doesn't allow for snapshot creation";
    for path in ["/1.0/instances/x/snapshots", &format!("{volumes}/v1/snapshots")] {
        let refused = daemon.fails("POST", &format!("{path}?project=r"), &json!({"name": "s1"}));
        assert!(refused.ends_with(snapshot), "{refused}");
    }
    let refused = daemon.fails("POST", "/1.0/instances/x/backups?project=r", &json!({"name": "b1"}));
    assert!(refused.ends_with("Project \"r\" doesn't allow for backup creation"), "{refused}");
    daemon.ok("PATCH", "/1.0/projects/r", &json!({"config": {"restricted": "false"}}));
    daemon.ok("DELETE", &format!("{volumes}/v1?project=r"), &Value::Null);
    clear(&daemon, case);
    assert_eq!(clean.difference(&World::of(&daemon)), Vec::<String>::new());
}
