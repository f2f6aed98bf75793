//! What actions may cost: commits of the database, and memory after many operations.

use lxd_testkit::Daemon;
use serde_json::{Value, json};

/// Commits of the shared and of the local database so far.
fn commits(daemon: &Daemon) -> (u64, u64) {
    let stats = daemon.get("/internal/database").metadata();
    let number = |key: &str| stats[key].as_u64().unwrap_or_else(|| panic!("no {key} in {stats}"));
    (number("global_commits"), number("local_commits"))
}

/// The fewest commits that an action took in a few tries: background work may add its own to one of them.
struct Cost {
    name: &'static str,
    global: u64,
    local: u64,
}

fn cost(daemon: &Daemon, name: &'static str, mut action: impl FnMut(usize)) -> Cost {
    let mut least = Cost { name, global: u64::MAX, local: u64::MAX };
    for n in 0..3 {
        let before = commits(daemon);
        action(n);
        let after = commits(daemon);
        least.global = least.global.min(after.0 - before.0);
        least.local = least.local.min(after.1 - before.1);
    }
    println!("{name}: {} commits, {} of the journal", least.global, least.local);
    least
}

#[test]
fn actions_keep_to_their_commits() {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.ok("POST", "/1.0/profiles", &json!({"name": "many"}));
    let create = cost(&daemon, "create", |n| {
        daemon.create(&format!("c{n}"), &json!({"profiles": ["default", "many"]}));
    });
    let start = cost(&daemon, "start", |n| daemon.state(&format!("c{n}"), "start", ""));
    let stop = cost(&daemon, "stop", |n| daemon.state(&format!("c{n}"), "stop", "force"));
    let profile = cost(&daemon, "profile change", |n| {
        daemon.ok("PATCH", "/1.0/profiles/many", &json!({"config": {"user.a": n.to_string()}}));
    });
    let patch = cost(&daemon, "change of a key", |n| {
        daemon.ok("PATCH", "/1.0/instances/c0", &json!({"config": {"user.a": n.to_string()}}));
    });
    let list = cost(&daemon, "list", |_| drop(daemon.get("/1.0/instances?recursion=2")));
    let delete = cost(&daemon, "delete", |n| {
        daemon.ok("DELETE", &format!("/1.0/instances/c{n}"), &Value::Null);
    });
    for (cost, global, local) in [
        (create, 2, 2),
        (start, 2, 2),
        (stop, 1, 0),
        (profile, 1, 0),
        (patch, 1, 0),
        (list, 0, 0),
        (delete, 2, 2),
    ] {
        assert!(cost.global <= global, "{} takes {} commits, not {global}", cost.name, cost.global);
        assert!(
            cost.local <= local,
            "{} takes {} commits of the journal, not {local}",
            cost.name,
            cost.local
        );
    }
}

/// Resident memory of the daemon in KiB.
fn memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("it is a number")
}

/// `LXD_TEST_OPERATIONS=10000` is the whole; the short form asks for the same from fewer.
fn operations() -> u64 {
    std::env::var("LXD_TEST_OPERATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(3000)
}

#[test]
fn memory_does_not_grow_with_operations() {
    // Each transaction once: this is about memory, and many.
    let daemon = Daemon::start_with(&[("LXD_DB_TWICE", "0")]).with_pool_and_image();
    daemon.create("c1", &json!({}));
    let run = |from: u64, to: u64| {
        for n in from..to {
            // Three kinds: an operation, a change, a thing that comes and goes.
            let value = n.to_string();
            match n % 4 {
                0 => drop(daemon.ok("PATCH", "/1.0/profiles/default", &json!({"config": {"user.a": value}}))),
                1 => drop(daemon.ok("POST", "/1.0/profiles", &json!({"name": "p1"}))),
                2 => drop(daemon.ok("DELETE", "/1.0/profiles/p1", &Value::Null)),
                _ => {
                    let mut put = daemon.get("/1.0/instances/c1").metadata();
                    put["config"]["user.a"] = value.into();
                    daemon.ok("PUT", "/1.0/instances/c1", &put);
                }
            }
        }
    };
    run(0, 1000);
    let early = memory(&daemon);
    run(1000, operations());
    let late = memory(&daemon);
    println!("{early} KiB after 1000 operations, {late} KiB after {}", operations());
    assert!(
        late <= early + early / 10,
        "{early} KiB after 1000 operations, {late} KiB after {}",
        operations()
    );
}
