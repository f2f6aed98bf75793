//! What must stay quick, and what is kept for quickness and must not be in the way.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use lxd_testkit::{Daemon, request_raw, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How many monitors hang; `LXD_TEST_MONITORS` raises it.
fn monitors() -> usize {
    std::env::var("LXD_TEST_MONITORS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Processes that were stopped; they go on when this is dropped, so that the daemon can be cleaned up.
struct Hung(Vec<Pid>);

impl Drop for Hung {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// A field of `/proc/PID/status`.
fn status(pid: &str, field: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

#[test]
fn hung_monitors_hold_nobody_up() {
    let daemon = Daemon::start().with_pool_and_image();
    let names: Vec<String> = (0..monitors()).map(|n| format!("hung{n}")).collect();
    let mut hung = Hung(Vec::new());
    for name in &names {
        daemon.create(name, &json!({}));
        daemon.state(name, "start", "");
        let init = daemon.get(&format!("/1.0/instances/{name}/state")).metadata()["pid"].to_string();
        let monitor = status(&init, "PPid").and_then(|text| Pid::from_raw(text.parse().ok()?)).unwrap();
        kill_process(monitor, Signal::STOP).unwrap();
        hung.0.push(monitor);
    }
    let lists = (0..3).map(|_| {
        let began = Instant::now();
        let list = daemon.lxc_ok(&["list"]);
        assert_eq!(list.matches("RUNNING").count(), names.len(), "{list}");
        began.elapsed()
    });
    // The best of three: a call that waits for a monitor is late every time.
    let best = lists.min().unwrap();
    assert!(best < Duration::from_secs(1), "lxc list took {best:?}");
    daemon.create("other", &json!({}));
    daemon.state("other", "start", "");
    assert_eq!(daemon.lxc_ok(&["exec", "other", "--", "echo", "works"]), "works\n");
    daemon.state("other", "stop", "force");
    daemon.ok("DELETE", "/1.0/instances/other", &json!({}));
    drop(hung);
    for name in &names {
        daemon.remove(name);
    }
}

/// How many instances a full list has; `LXD_TEST_INSTANCES=500` is the whole.
fn instances() -> usize {
    std::env::var("LXD_TEST_INSTANCES").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[test]
fn a_long_list_is_quick_and_four_clients_lose_nothing() {
    let daemon = Daemon::start_with(&[("LXD_DB_TWICE", "0")]).with_pool_and_image();
    let count = instances();
    for n in 0..count {
        let body = json!({"name": format!("c{n}"), "source": {"type": "none"}});
        daemon.ok("POST", "/1.0/instances", &body);
    }
    let lists = (0..3).map(|_| {
        let began = Instant::now();
        assert_eq!(daemon.lxc_ok(&["list"]).matches("STOPPED").count(), count);
        began.elapsed()
    });
    let best = lists.min().unwrap();
    println!("lxc list of {count} instances: {best:?}");
    assert!(best < Duration::from_secs(1), "lxc list of {count} took {best:?}");

    const CHANGES: usize = 100;
    std::thread::scope(|scope| {
        for client in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || {
                for n in 1..=CHANGES {
                    let config = json!({"config": {format!("user.client{client}"): n.to_string()}});
                    daemon.ok("PATCH", "/1.0/instances/c0", &config);
                    let stored = daemon.get("/1.0/instances/c0").metadata();
                    assert_eq!(stored["config"][format!("user.client{client}")], n.to_string());
                }
            });
        }
    });
    let stored = daemon.get("/1.0/instances/c0").metadata();
    for client in 0..4 {
        assert_eq!(stored["config"][format!("user.client{client}")], CHANGES.to_string());
    }
}

fn url(path: &str) -> String {
    format!("/1.0/instances/c1/files?path={path}")
}

fn push(daemon: &Daemon, path: &str, content: &[u8]) {
    let answer = request_raw(&daemon.socket(), "POST", &url(path), &[("X-LXD-type", "file")], content);
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
}

fn pull(daemon: &Daemon, path: &str) -> Option<Vec<u8>> {
    let answer = daemon.get(&url(path));
    (answer.status == 200).then_some(answer.bytes)
}

/// Pids of the daemon's file helpers.
fn helpers(daemon: &Daemon) -> BTreeSet<String> {
    let parent = daemon.pid().to_string();
    let processes = std::fs::read_dir(Path::new("/proc")).unwrap().flatten();
    processes
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|args| args == b"lxd-helper\0file\0")
                && status(pid, "PPid").as_ref() == Some(&parent)
        })
        .collect()
}

#[test]
fn files_go_through_one_helper_that_is_gone_when_an_action_begins() {
    let daemon = Daemon::start().with_pool_and_image();
    let large: Vec<u8> = (0..3_500_000_u32).map(|n| (n % 251) as u8).collect();
    daemon.create("c1", &json!({}));
    push(&daemon, "/root/of-stopped", b"1");
    let stopped = helpers(&daemon);
    assert_eq!(stopped.len(), 1);
    push(&daemon, "/root/large", &large);
    assert!(pull(&daemon, "/root/large").as_deref() == Some(&large[..]));
    assert!(pull(&daemon, "/root/missing").is_none());
    assert_eq!(helpers(&daemon), stopped, "a request that fails ends no helper");

    daemon.state("c1", "start", "");
    assert!(helpers(&daemon).is_disjoint(&stopped));
    push(&daemon, "/tmp/of-running", b"2");
    assert_eq!(daemon.lxc_ok(&["exec", "c1", "--", "cat", "/tmp/of-running", "/root/of-stopped"]), "21");
    let running = helpers(&daemon);
    assert_eq!(running.len(), 1);
    push(&daemon, "/tmp/of-running", b"3");
    assert_eq!(helpers(&daemon), running);
    daemon.state("c1", "stop", "force");
    assert!(helpers(&daemon).is_empty());

    // What has the name later has files of its own.
    assert_eq!(pull(&daemon, "/root/of-stopped").as_deref(), Some(&b"1"[..]));
    daemon.ok("DELETE", "/1.0/instances/c1", &json!({}));
    assert!(helpers(&daemon).is_empty());
    daemon.create("c1", &json!({}));
    assert_eq!(pull(&daemon, "/root/of-stopped"), None);
    wait_for("the end of an idle helper", 40, || helpers(&daemon).is_empty().then_some(()));
}

#[test]
fn lists_show_every_change_at_once() {
    let daemon = Daemon::start();
    let shown = || {
        let list = daemon.get("/1.0/instances?recursion=1").metadata();
        let one = |instance: &Value| format!("{}={}", instance["name"], instance["config"]["user.n"]);
        list.as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(" ")
    };
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "p", "driver": "dir"}));
    let root = json!({"root": {"type": "disk", "path": "/", "pool": "p"}});
    for name in ["a", "b"] {
        let body =
            json!({"name": name, "source": {"type": "none"}, "devices": root, "config": {"user.n": "0"}});
        daemon.ok("POST", "/1.0/instances", &body);
    }
    for n in 1..20 {
        daemon.ok("PATCH", "/1.0/instances/b", &json!({"config": {"user.n": n.to_string()}}));
        assert_eq!(shown(), format!("\"a\"=\"0\" \"b\"=\"{n}\""));
    }
    daemon.ok("DELETE", "/1.0/instances/a", &json!({}));
    assert_eq!(shown(), "\"b\"=\"19\"");
}
