//! The firewall as a whole: rules that others remove come back, and a rule that is refused changes nothing.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

use crate::world::World;

/// What the daemon says whenever it puts rules back.
const PUT_BACK: &str = "Firewall rules that somebody removed were put back";

fn nft(daemon: &Daemon, args: &[&str]) -> String {
    let output = daemon.netns.command("nft").args(args).output().expect("nft is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All chains with their tables, in no order: one that is made anew goes to the end.
fn chains(daemon: &Daemon) -> BTreeSet<String> {
    let text = nft(daemon, &["list", "ruleset"]);
    let tables = text.split("table ").skip(1);
    tables
        .flat_map(|table| {
            let (name, rest) = table.split_once(" {").unwrap_or((table, ""));
            let name = name.to_owned();
            rest.split("chain ").skip(1).map(move |chain| {
                let lines: Vec<&str> = chain.lines().map(str::trim).filter(|line| line.len() > 1).collect();
                format!("{name} {}", lines.join("; "))
            })
        })
        .collect()
}

fn is_as(daemon: &Daemon, wanted: &BTreeSet<String>) -> Option<()> {
    (chains(daemon) == *wanted).then_some(())
}

/// A bridge and an instance with filters, a forwarding and a routed interface.
fn busy(daemon: &Daemon) {
    let config = json!({"ipv4.address": "10.77.8.1/24", "ipv4.nat": "true", "ipv6.address": "fd77:8::1/64"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "fbr0", "config": config}));
    daemon.ok("POST", "/1.0/networks", &json!({"name": "f.b", "config": {"ipv4.address": "10.78.8.1/24"}}));
    let nic = json!({"type": "nic", "network": "fbr0", "name": "eth0", "ipv4.address": "10.77.8.5",
        "security.mac_filtering": "true", "security.ipv4_filtering": "true", "security.ipv6_filtering": "true"});
    let proxy =
        json!({"type": "proxy", "listen": "tcp:10.77.8.1:80", "connect": "tcp:10.77.8.5:80", "nat": "true"});
    let routed = json!({"type": "nic", "nictype": "routed", "name": "eth1", "ipv4.address": "192.0.2.7"});
    // Device `b` of the instance `f` is called as the second network is.
    daemon.create("f", &json!({"devices": {"eth0": nic, "b": proxy, "r": routed}}));
    daemon.state("f", "start", "");
}

#[test]
fn rules_that_others_remove_come_back() {
    let mut daemon = Daemon::start().with_pool_and_image();
    busy(&daemon);
    let whole = chains(&daemon);
    let has = |what: &str| whole.iter().any(|chain| chain.starts_with(what));
    for chain in [
        "inet lxd pstrt.fbr0 ",
        "inet lxd fwd.f/b ",
        "inet lxd prert.f.b ",
        "inet lxd prert.f.r ",
        "bridge lxd in.f.eth0 ",
        "bridge lxd fwd.f.eth0 ",
    ] {
        assert!(has(chain), "{chain}: {whole:#?}");
    }
    assert!(!daemon.log().contains(PUT_BACK), "own changes are no reason:\n{}", daemon.log());

    let removals: [&[&str]; 6] = [
        &["flush", "ruleset"],
        &["delete", "table", "inet", "lxd"],
        &["flush", "table", "bridge", "lxd"],
        &["flush", "chain", "bridge", "lxd", "in.f.eth0"],
        &["delete", "chain", "inet", "lxd", "prert.f.b"],
        &["flush", "chain", "inet", "lxd", "fwd.f/b"],
    ];
    for removal in removals {
        let begin = Instant::now();
        nft(&daemon, removal);
        wait_for("the rules", 10, || is_as(&daemon, &whole));
        assert!(begin.elapsed() < Duration::from_secs(2), "{removal:?}: {:?}", begin.elapsed());
    }

    // What others have is theirs: neither a reason nor touched.
    // Every line is in the log and in what the daemon writes.
    let answers = || daemon.log().matches(PUT_BACK).count() / 2;
    let (mut before, mut looks) = (0, 0);
    wait_for("the pause after the last time", 10, || {
        (before, looks) = if answers() == before { (before, looks + 1) } else { (answers(), 0) };
        // Longer than the daemon's longest pause.
        (looks == 75).then_some(())
    });
    for _ in 0..20 {
        nft(&daemon, &["add table inet other; add chain inet other x; add rule inet other x drop"]);
        nft(&daemon, &["flush", "table", "inet", "other"]);
    }
    nft(&daemon, &["delete", "table", "inet", "other"]);
    daemon.ok("PATCH", "/1.0/networks/fbr0", &json!({"config": {"ipv4.nat": "false"}}));
    daemon.ok("PATCH", "/1.0/networks/fbr0", &json!({"config": {"ipv4.nat": "true"}}));
    // What is heard after all that is answered by exactly one line.
    nft(&daemon, &["flush", "chain", "inet", "lxd", "fwd.f/b"]);
    wait_for("the rules", 10, || is_as(&daemon, &whole));
    wait_for("the line about them", 10, || (answers() > before).then_some(()));
    assert_eq!(answers(), before + 1, "{}", daemon.log());

    // A storm: somebody removes them again and again for some seconds.
    let end = Instant::now() + Duration::from_secs(3);
    let mut times = 0;
    while Instant::now() < end {
        nft(&daemon, &["flush", "ruleset"]);
        times += 1;
    }
    let begin = Instant::now();
    wait_for("the rules after the storm", 10, || is_as(&daemon, &whole));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let answers = answers() - before;
    assert!(answers <= 20, "{answers} answers to {times} removals");

    // Removed while no daemon runs.
    daemon.kill();
    nft(&daemon, &["flush", "ruleset"]);
    daemon.launch();
    wait_for("the rules under a new daemon", 10, || is_as(&daemon, &whole));
    nft(&daemon, &["flush", "ruleset"]);
    wait_for("the rules that this daemon did not make", 2, || is_as(&daemon, &whole));

    daemon.remove("f");
    daemon.ok("DELETE", "/1.0/networks/fbr0", &json!({}));
    daemon.ok("DELETE", "/1.0/networks/f.b", &json!({}));
    assert_eq!(chains(&daemon), BTreeSet::new());
}

/// Puts an `nft` before the real one that adds a broken rule to a script, while the file `broken` is there.
fn breakable(daemon: &mut Daemon) -> std::path::PathBuf {
    let folder = daemon.scratch().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let (program, broken) = (folder.join("nft"), folder.join("broken"));
    let text = format!(
        "#!/bin/sh\nif [ -e {0} ]; then {{ cat; echo 'add rule inet lxd no.chain drop'; }} | /usr/sbin/nft \"$@\"\n\
         else exec /usr/sbin/nft \"$@\"; fi\n",
        broken.display()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    daemon.set_env("PATH", &format!("{}:{path}", folder.display()));
    daemon.restart();
    broken
}

#[test]
fn a_refused_rule_changes_nothing_and_is_named() {
    let mut daemon = Daemon::start().with_pool_and_image();
    let broken = breakable(&mut daemon);
    busy(&daemon);
    let rule = |source: &str| json!({"ingress": [{"action": "drop", "state": "enabled", "source": source}]});
    daemon.ok("POST", "/1.0/network-acls", &json!({"name": "web"}));
    daemon.ok("PUT", "/1.0/network-acls/web", &rule("10.0.0.1"));
    daemon.ok("PATCH", "/1.0/networks/fbr0", &json!({"config": {"security.acls": "web"}}));
    let nic = json!({"type": "nic", "network": "fbr0", "name": "eth0", "security.mac_filtering": "true"});
    daemon.create("c2", &json!({"devices": {"eth0": nic}}));
    let devices = daemon.get("/1.0/instances/f").metadata()["devices"].clone();
    let other = |key: &str, value: &str| {
        let mut devices = devices.clone();
        devices["eth0"][key] = json!(value);
        json!({"devices": devices})
    };

    let (rules, world) = (chains(&daemon), World::of(&daemon));
    std::fs::write(&broken, "").unwrap();
    let new = json!({"name": "fbr1", "config": {"ipv4.address": "10.79.8.1/24"}});
    let attempts: [(&str, &str, Value); 5] = [
        ("POST", "/1.0/networks", new),
        ("PATCH", "/1.0/networks/fbr0", json!({"config": {"ipv4.nat": "false"}})),
        ("PUT", "/1.0/network-acls/web", rule("10.0.0.2")),
        ("PUT", "/1.0/instances/c2/state", json!({"action": "start"})),
        ("PATCH", "/1.0/instances/f", other("ipv4.routes", "10.99.0.0/24")),
    ];
    let before: Vec<Value> =
        attempts.iter().map(|(_, path, _)| daemon.get(path.trim_end_matches("/state")).metadata()).collect();
    for ((method, path, body), was) in attempts.iter().zip(before) {
        let error = daemon.fails(method, path, body);
        assert!(error.contains("add rule inet lxd no.chain drop"), "{method} {path}: {error}");
        assert_eq!(chains(&daemon), rules, "{method} {path}");
        let mut is = daemon.get(path.trim_end_matches("/state")).metadata();
        for volatile in ["last_used_at", "status", "status_code"] {
            if !is[volatile].is_null() {
                is[volatile] = was[volatile].clone();
            }
        }
        if *path != "/1.0/instances/c2/state" {
            assert_eq!(is, was, "{method} {path}");
        }
    }
    assert_eq!(daemon.status("c2"), "Stopped");
    let left = World::of(&daemon).difference(&world);
    assert!(left.iter().all(|what| what.contains("logs")), "{left:#?}");

    std::fs::remove_file(&broken).unwrap();
    for (method, path, body) in &attempts {
        daemon.ok(method, path, body);
    }
    assert!(chains(&daemon).iter().any(|chain| chain.starts_with("bridge lxd in.c2.eth0 ")));
}
