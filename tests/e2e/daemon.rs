//! The daemon as a program: addresses, signals, databases, commands, debug pages; always looked at from outside.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use lxd_testkit::{Daemon, binary, request_raw, wait_for};
use rustix::process::Signal;
use serde_json::json;

/// `curl` in the daemon's network namespace: status line, headers and body; empty when nobody answers.
fn curl(daemon: &Daemon, args: &[&str]) -> String {
    let output = daemon.netns.command("curl").args(["-sik", "--max-time", "10"]).args(args).output();
    String::from_utf8_lossy(&output.expect("curl is there").stdout).into_owned()
}

/// The answer to `GET /` at a URL.
fn answers(daemon: &Daemon, url: &str) -> bool {
    curl(daemon, &[url]).contains("\"/1.0\"")
}

/// `lxd COMMAND` beside a daemon.
fn lxd(daemon: &Daemon, args: &[&str]) -> Output {
    daemon.client(&binary("lxd"), args)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn set(daemon: &Daemon, key: &str, value: &str) {
    daemon.ok("PATCH", "/1.0", &json!({"config": {key: value}}));
}

#[test]
fn the_address_changes_while_the_server_runs() {
    let daemon = Daemon::start();
    for (address, url) in [
        ("127.0.0.1", "https://127.0.0.1:8443"),
        ("127.0.0.1:9001", "https://127.0.0.1:9001"),
        ("[::1]:9002", "https://[::1]:9002"),
        ("::1", "https://[::1]:8443"),
        ("localhost:9003", "https://localhost:9003"),
        (":9004", "https://127.0.0.1:9004"),
        ("[::]:9005", "https://[::1]:9005"),
        ("0.0.0.0:9006", "https://127.0.0.1:9006"),
    ] {
        set(&daemon, "core.https_address", address);
        assert!(answers(&daemon, url), "{address} is served at {url}\n{}", daemon.log());
    }
    assert!(!answers(&daemon, "https://127.0.0.1:9001"), "the old address is free");
    // Somebody else's port: refused, and the listener stays.
    set(&daemon, "core.debug_address", "127.0.0.1:9100");
    let error = daemon.fails("PATCH", "/1.0", &json!({"config": {"core.https_address": "127.0.0.1:9100"}}));
    assert!(error.contains("127.0.0.1:9100") && error.contains("address already in use"), "{error}");
    assert!(answers(&daemon, "https://127.0.0.1:9006"));
    assert_eq!(daemon.get("/1.0").metadata()["config"]["core.https_address"], "0.0.0.0:9006");
    for wrong in ["192.0.2.1:8443", "127.0.0.1:99999", "no.such.host.invalid:1"] {
        daemon.fails("PATCH", "/1.0", &json!({"config": {"core.https_address": wrong}}));
        assert!(answers(&daemon, "https://127.0.0.1:9006"), "after {wrong}");
    }
    set(&daemon, "core.https_address", "");
    assert!(!answers(&daemon, "https://127.0.0.1:9006"));
}

#[test]
fn the_address_is_there_again_after_a_restart() {
    let mut daemon = Daemon::start();
    set(&daemon, "core.https_address", "127.0.0.1:9007");
    daemon.restart();
    wait_for("the listener", 10, || answers(&daemon, "https://127.0.0.1:9007").then_some(()));
}

#[test]
fn browsers_are_told_what_was_configured() {
    let daemon = Daemon::start();
    let config = json!({"config": {
        "core.https_address": "127.0.0.1:9010",
        "core.https_allowed_origin": "https://ui.example",
        "core.https_allowed_methods": "GET, PUT",
        "core.https_allowed_headers": "Content-Type",
        "core.https_allowed_credentials": "true",
    }});
    daemon.ok("PATCH", "/1.0", &config);
    let url = "https://127.0.0.1:9010/1.0";
    let told = curl(&daemon, &["-H", "Origin: https://ui.example", url]).to_ascii_lowercase();
    for header in [
        "access-control-allow-origin: https://ui.example",
        "access-control-allow-methods: get, put",
        "access-control-allow-headers: content-type",
        "access-control-allow-credentials: true",
    ] {
        assert!(told.contains(header), "{header}: {told}");
    }
    assert!(told.starts_with("http/1.1 200"), "{told}");
    let preflight = curl(&daemon, &["-X", "OPTIONS", "-H", "Origin: https://ui.example", url]);
    assert!(preflight.to_ascii_lowercase().contains("access-control-allow-methods: get, put"), "{preflight}");
    let foreign = curl(&daemon, &["-H", "Origin: https://evil.example", url]);
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.https_allowed_origin": ""}}));
    let closed = curl(&daemon, &["-H", "Origin: https://ui.example", url]);
    assert!(closed.starts_with("HTTP/1.1 403") && !closed.to_ascii_lowercase().contains("allow-origin"));
}

#[test]
fn debug_pages_and_the_inside() {
    let daemon = Daemon::start();
    assert!(curl(&daemon, &["http://127.0.0.1:9020/"]).is_empty(), "off by default");
    set(&daemon, "core.debug_address", "127.0.0.1:9020");
    assert!(curl(&daemon, &["http://127.0.0.1:9020/"]).contains("/debug/tasks"));
    assert!(curl(&daemon, &["http://127.0.0.1:9020/debug/tasks"]).contains("\"global_commits\""));
    assert!(curl(&daemon, &["http://127.0.0.1:9020/debug/memory"]).contains("VmRSS"));
    assert!(curl(&daemon, &["http://127.0.0.1:9020/debug/cpu?seconds=1"]).contains("tokio"));
    assert!(curl(&daemon, &["http://127.0.0.1:9020/nosuch"]).starts_with("HTTP/1.1 404"));
    let inside = daemon.get("/internal/debug").metadata();
    for member in ["operations", "gates", "lanes", "background", "journal"] {
        assert!(inside[member].is_array(), "{member}: {inside}");
    }
    let ran = inside["background"].as_array().unwrap();
    assert!(
        ran.iter().any(|task| task["name"] == "daily copy of the database" && task["runs"] == 1),
        "{inside}"
    );
    set(&daemon, "core.debug_address", "");
    assert!(curl(&daemon, &["http://127.0.0.1:9020/"]).is_empty());
}

#[test]
fn a_rotated_log_is_opened_again() {
    let daemon = Daemon::start();
    let log = daemon.scratch().join("lxd.log");
    std::fs::rename(&log, daemon.scratch().join("lxd.log.1")).unwrap();
    daemon.signal(Signal::HUP);
    wait_for("the new log", 10, || log.exists().then_some(()));
    daemon.get("/1.0");
    wait_for("a line in it", 10, || {
        let lines = std::fs::read_to_string(&log).unwrap();
        lines.contains("level=debug msg=\"Handling API request\"").then_some(())
    });
}

#[test]
fn power_failure_stops_instances_and_they_come_back() {
    let mut daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.create("stubborn", &json!({"config": {"boot.host_shutdown_timeout": "1"}}));
    daemon.create("off", &json!({}));
    // This one's init takes no notice of being stopped.
    let init = "#!/bin/sh\ntrap '' PWR TERM INT\n: >/run/booted\nwhile :; do sleep 1; done\n";
    let headers = [("X-LXD-mode", "0755"), ("X-LXD-type", "file")];
    let path = "/1.0/instances/stubborn/files?path=/sbin/init";
    assert_eq!(request_raw(&daemon.socket(), "POST", path, &headers, init.as_bytes()).unwrap().status, 200);
    for name in ["c1", "stubborn"] {
        daemon.state(name, "start", "");
        wait_for("its init", 20, || {
            let output = daemon.lxc(&["exec", name, "--", "test", "-e", "/run/booted"]);
            output.status.success().then_some(())
        });
    }
    daemon.signal(Signal::POWER);
    daemon.wait_end();
    assert!(daemon.log().contains("stubborn") || !daemon.log().is_empty());
    let processes = lxc_monitors(&daemon.lxd_dir());
    assert_eq!(processes, Vec::<String>::new(), "nothing runs after SIGPWR");
    daemon.launch();
    for name in ["c1", "stubborn"] {
        wait_for("its start with the server", 30, || (daemon.status(name) == "Running").then_some(()));
    }
    assert_eq!(daemon.status("off"), "Stopped");
}

/// Monitors of containers below a data directory.
fn lxc_monitors(dir: &Path) -> Vec<String> {
    let wanted = dir.display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
        .filter(|line| line.starts_with("[lxc monitor]") && line.contains(&wanted))
        .collect()
}

#[test]
fn the_end_leaves_instances_running_and_shutdown_does_not() {
    let mut daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let pid = daemon.get("/1.0/instances/c1/state").metadata()["pid"].clone();
        daemon.signal(signal);
        daemon.wait_end();
        assert_eq!(lxc_monitors(&daemon.lxd_dir()).len(), 1, "{signal:?}");
        daemon.launch();
        assert_eq!(daemon.get("/1.0/instances/c1/state").metadata()["pid"], pid);
    }
    let output = lxd(&daemon, &["shutdown", "--timeout", "60"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    daemon.wait_end();
    assert_eq!(lxc_monitors(&daemon.lxd_dir()), Vec::<String>::new());
    let output = lxd(&daemon, &["shutdown", "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1), "nobody is there to be shut down");
    daemon.launch();
    wait_for("its start with the server", 30, || (daemon.status("c1") == "Running").then_some(()));
}

/// A daemon that is started by hand in a data directory, with its own arguments.
fn by_hand(daemon: &Daemon, args: &[&str]) -> Child {
    let mut command = daemon.netns.command(binary("lxd"));
    command.args(args).env("LXD_DIR", daemon.lxd_dir()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nsenter is there")
}

#[test]
fn memory_profile_and_flags() {
    let mut daemon = Daemon::start();
    daemon.stop();
    let (profile, log) = (daemon.scratch().join("mem"), daemon.scratch().join("own.log"));
    let args = [
        "--memprofile",
        profile.to_str().unwrap(),
        "--logfile",
        log.to_str().unwrap(),
        "--verbose",
        "--group",
        "root",
        "",
    ];
    let mut child = by_hand(&daemon, &args);
    let ready = lxd(&daemon, &["waitready", "--timeout", "30"]);
    assert!(ready.status.success(), "{}", text(&ready.stderr));
    assert_eq!(std::fs::metadata(&log).map(|found| mode(&found)).unwrap(), 0o600);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::USR1).unwrap();
    wait_for("the memory profile", 10, || {
        std::fs::read_to_string(&profile).is_ok_and(|report| report.contains("VmRSS")).then_some(())
    });
    // A second daemon in the same directory does not start.
    let second = by_hand(&daemon, &[]).wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("LXD is already running"), "{}", text(&second.stderr));
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let output = {
        wait_for("its end", 30, || child.try_wait().unwrap());
        child.wait_with_output().unwrap()
    };
    assert!(output.status.success());
    assert!(
        text(&output.stderr).contains("level=info msg=\"LXD is starting\""),
        "--verbose shows what happens"
    );
    assert_eq!(lxd(&daemon, &["waitready", "--timeout", "1"]).status.code(), Some(1));
}

fn mode(found: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    found.permissions().mode() & 0o7777
}

#[test]
fn commands_and_their_answers() {
    let daemon = Daemon::start();
    let ok = |args: &[&str]| {
        let output = lxd(&daemon, args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(ok(&["version"]), "4.18\n");
    assert_eq!(ok(&["--version"]), "4.18\n");
    assert_eq!(ok(&["version", "--build"]), format!("{}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(ok(&["activateifneeded"]), "");
    assert_eq!(ok(&["waitready", "--timeout", "5", ""]), "");
    assert!(ok(&["shutdown", "--help"]).contains("-t, --timeout   Number of seconds"));
    let table = "+---+-----+-------+---+\n| a |  b  |   c   | d |\n+---+-----+-------+---+\n\
                 | 1 | 2.5 | <nil> | x |\n+---+-----+-------+---+\n";
    assert_eq!(ok(&["sql", "local", "SELECT 1 AS a, 2.5 AS b, NULL AS c, 'x' AS d"]), table);
    assert_eq!(
        ok(&["sql", "global", "INSERT INTO config (key, value) VALUES ('user.x', '1')"]),
        "Rows affected: 1\n"
    );
    assert!(ok(&["sql", "global", ".dump"]).contains("INSERT INTO config VALUES(1,'user.x','1');\n"));
    let schema = ok(&["sql", "local", ".schema"]);
    assert!(schema.starts_with("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE "), "{schema}");
    assert_eq!(ok(&["sql", "global", ".sync"]), "");
    for (args, error) in [
        (&["import", "x"][..], "Command has been replaced with \"lxd recover\""),
        (&["nosuch"], "unknown command \"nosuch\" for \"lxd\""),
        (&["--nosuch"], "unknown flag: --nosuch"),
        (&["sql", "global", "nonsense"], "syntax error"),
        (&["sql", "global", ""], "No query provided"),
        (&["sql", "nosuch", "SELECT 1"], "Invalid database type"),
        (&["sql", "global"], "Missing required arguments"),
    ] {
        let output = lxd(&daemon, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(error), "{args:?}: {}", text(&output.stderr));
    }
    let mut batch = Command::new(binary("lxd"));
    batch.args(["sql", "global", "-"]).env("LXD_DIR", daemon.lxd_dir());
    let mut batch = batch.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut batch.stdin.take().unwrap(), b"SELECT 1 AS a; SELECT 2 AS a;").unwrap();
    let answer = text(&batch.wait_with_output().unwrap().stdout);
    assert!(
        answer.starts_with("=> Query 0:\n\n+---+\n| a |\n") && answer.contains("\n=> Query 1:\n\n"),
        "{answer}"
    );
}

#[test]
fn an_administrators_patch_runs_once_or_stops_the_start() {
    let mut daemon = Daemon::start();
    daemon.stop();
    let patch = daemon.lxd_dir().join("database/patch.global.sql");
    let insert = "INSERT INTO config (key, value) VALUES ('user.patched', 'yes');";
    std::fs::write(&patch, format!("{insert} nonsense;")).unwrap();
    let refused = by_hand(&daemon, &[]).wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    assert!(error.contains("patch.global.sql") && error.contains("nothing was changed"), "{error}");
    std::fs::write(&patch, insert).unwrap();
    daemon.launch();
    assert!(!patch.exists());
    assert_eq!(daemon.get("/1.0").metadata()["config"]["user.patched"], "yes");
    assert!(daemon.lxd_dir().join("database/global.bak/db.bin").exists());
}

#[test]
fn a_newer_database_starts_nothing_and_the_copy_can_be_put_back() {
    let mut daemon = Daemon::start();
    let copies = daemon.lxd_dir().join("database/copies");
    // Not the draft of a copy that is being made.
    let daily = |database: &str| {
        let mut all = std::fs::read_dir(&copies).into_iter().flatten().flatten().map(|entry| entry.path());
        all.find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(database) && name.ends_with(".bak")
        })
    };
    let (global, local) = wait_for("the daily copies", 10, || Some((daily("global")?, daily("local")?)));
    let newer = "INSERT INTO schema (version, updated_at) VALUES (999, '2026-01-01')";
    assert!(lxd(&daemon, &["sql", "global", newer]).status.success());
    daemon.stop();
    let refused = by_hand(&daemon, &[]).wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    for part in ["schema version 999", "knows only version", "global.bak/db.bin"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!daemon.socket().exists(), "nobody is told that somebody listens");
    for (copy, place) in [(global, "database/global/db.bin"), (local, "database/local.db")] {
        let place = daemon.lxd_dir().join(place);
        std::fs::copy(copy, &place).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", place.display()));
        }
    }
    daemon.launch();
    assert_eq!(daemon.get("/1.0").metadata()["auth"], "trusted");
}

#[test]
fn privileged_instances_can_be_forbidden() {
    let mut daemon = Daemon::start().with_pool_and_image();
    daemon.create("before", &json!({"config": {"security.privileged": "true"}}));
    daemon.stop();
    daemon.set_env("LXD_UNPRIVILEGED_ONLY", "true");
    daemon.launch();
    let only = "LXD was configured to only allow unprivileged containers";
    let body = json!({"name": "c1", "source": {"type": "none"}, "config": {"security.privileged": "true"}});
    let body = {
        let mut body = body;
        body["source"] = json!({"type": "image", "alias": "busybox"});
        body
    };
    assert!(daemon.fails("POST", "/1.0/instances", &body).contains(only));
    daemon.create("c2", &json!({}));
    let privileged = json!({"config": {"security.privileged": "true"}});
    assert!(daemon.fails("PATCH", "/1.0/instances/c2", &privileged).contains(only));
    assert!(daemon.fails("PATCH", "/1.0/profiles/default", &privileged).contains(only));
    daemon.ok("PATCH", "/1.0/instances/before", &json!({"config": {"user.a": "1"}}));
    daemon.state("before", "start", "");
}

#[test]
fn keys_without_effect_are_a_warning() {
    let daemon = Daemon::start();
    set(&daemon, "maas.api.url", "http://127.0.0.1:5240/MAAS");
    let warnings = daemon.get("/1.0/warnings?recursion=1").metadata();
    let has = |part: &str| {
        warnings.as_array().unwrap().iter().any(|w| w["last_message"].as_str().unwrap().contains(part))
    };
    assert!(has("maas.api.url"), "{warnings}");
}

#[test]
fn nobody_else_reads_the_data_directory() {
    let daemon = Daemon::start();
    let mut open = Vec::new();
    walk(&daemon.lxd_dir(), &mut open);
    // What containers and clients must reach; everything else is closed to other users (security.md R11).
    let expected = ["devlxd", "devlxd/sock", "server.crt", "unix.socket"];
    let rest: Vec<&String> = open.iter().filter(|name| !expected.contains(&name.as_str())).collect();
    assert_eq!(rest, Vec::<&String>::new());
}

/// Names of what other users may read or write, or list.
fn walk(root: &Path, open: &mut Vec<String>) {
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().flatten() {
            let Ok(found) = entry.path().symlink_metadata() else { continue };
            let (others, path) = (mode(&found) & 0o007, entry.path());
            if others & 0o006 != 0 && !found.is_symlink() {
                open.push(path.strip_prefix(root).unwrap().display().to_string());
            }
            if found.is_dir() && others & 0o001 != 0 {
                waiting.push(path);
            }
        }
    }
}

#[test]
fn it_always_ends_when_asked() {
    let mut daemon = Daemon::start();
    let rounds = std::env::var("LXD_TEST_STOPS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    for round in 0..rounds {
        // Readers of events and idle connections must not hold it.
        let _idle = std::os::unix::net::UnixStream::connect(daemon.socket()).unwrap();
        let mut monitor = Command::new(binary("lxc"));
        monitor.args(["monitor", "--type=logging"]).env("LXD_DIR", daemon.lxd_dir());
        let conf = daemon.scratch().join("conf");
        monitor.env("LXD_CONF", conf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut monitor = monitor.spawn().unwrap();
        set(&daemon, "user.round", &round.to_string());
        daemon.ok("POST", "/1.0/profiles", &json!({"name": format!("p{round}")}));
        daemon.stop();
        let _ = monitor.kill();
        monitor.wait().unwrap();
        daemon.launch();
    }
}
