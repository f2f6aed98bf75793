//! Who loses trust loses its connections; a token that several use at once lets one in.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lxd_testkit::{Daemon, binary, wait_for};
use serde_json::{Value, json};

use crate::tls::{Client, Pair, trust};

const ADDRESS: &str = "127.0.0.1:8443";

/// A daemon that listens, with a container that runs.
fn listening() -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.https_address": ADDRESS}}));
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    daemon
}

/// Our client with a configuration of its own, in the daemon's network.
fn client(daemon: &Daemon, name: &str, args: &[&str]) -> Command {
    let mut command = daemon.netns.command(binary("lxc"));
    command.args(args).env("LXD_CONF", daemon.scratch().join(name)).env("HOME", daemon.scratch());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(daemon: &Daemon, name: &str, args: &[&str]) -> (bool, String) {
    let output = client(daemon, name, args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn token(daemon: &Daemon, more: &Value) -> String {
    let mut body = json!({"type": "client", "token": true, "name": "t"});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    daemon.lxc_ok(&["config", "trust", "list-tokens"]);
    let operation = lxd_testkit::request(&daemon.socket(), "POST", "/1.0/certificates", Some(&body)).json();
    let metadata = &operation["metadata"]["metadata"];
    let token = json!({
        "client_name": "t",
        "fingerprint": metadata["fingerprint"],
        "addresses": [ADDRESS],
        "secret": metadata["secret"],
    });
    base64(token.to_string().as_bytes())
}

fn base64(bytes: &[u8]) -> String {
    let mut encoder =
        Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut encoder.stdin.take().unwrap(), bytes).unwrap();
    String::from_utf8(encoder.wait_with_output().unwrap().stdout).unwrap()
}

fn fingerprint(daemon: &Daemon) -> String {
    let all = daemon.get("/1.0/certificates").metadata();
    all.as_array().unwrap().last().unwrap().as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

fn ends_soon(mut child: Child, what: &str) {
    let begin = Instant::now();
    wait_for(what, 10, || child.try_wait().unwrap().map(drop));
    assert!(begin.elapsed() < Duration::from_secs(2), "{what} took {:?}", begin.elapsed());
}

#[test]
fn who_loses_trust_loses_its_connections() {
    let daemon = listening();
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1"}));
    for change in ["removed", "restricted", "fewer projects"] {
        let more = match change {
            "fewer projects" => json!({"restricted": true, "projects": ["default", "p1"]}),
            _ => json!({}),
        };
        let name = change.replace(' ', "-");
        let added =
            run(&daemon, &name, &["remote", "add", "r", &token(&daemon, &more), "--project", "default"]);
        assert!(added.0, "{}", added.1);
        // Nobody else's on this host.
        let made = format!("sleep {}", 100_000 + std::process::id());
        let script = format!("echo ready; {made}");
        let shell = ["exec", "r:c1", "--", "sh", "-c", &script];
        let exec = client(&daemon, &name, &shell).spawn().unwrap();
        let events = client(&daemon, &name, &["monitor", "r:", "--type=lifecycle"]).spawn().unwrap();
        let ours = daemon.netns.name.clone();
        wait_for("the command in the container", 20, || running(&made).then_some(()));
        let secret = run(&daemon, &name, &["query", "-X", "POST", &image_secret(&daemon)]);
        assert!(secret.0, "{ours}: {}", secret.1);

        let certificate = format!("/1.0/certificates/{}", fingerprint(&daemon));
        match change {
            "removed" => daemon.ok("DELETE", &certificate, &json!({})),
            "restricted" => {
                daemon.ok("PATCH", &certificate, &json!({"restricted": true, "projects": ["p1"]}))
            }
            _ => daemon.ok("PATCH", &certificate, &json!({"projects": ["p1"]})),
        };
        ends_soon(exec, "the end of exec");
        ends_soon(events, "the end of the events");
        let refused = run(&daemon, &name, &["list", "r:"]);
        assert!(!refused.0 && refused.1.contains("not authorized"), "{change}: {}", refused.1);
        let left = daemon.get("/1.0/operations?recursion=1").metadata()["running"].clone();
        let tokens = left.as_array().into_iter().flatten().filter(|operation| operation["class"] == "token");
        assert_eq!(tokens.count(), 0, "{change}: {left}");
        if change != "removed" {
            daemon.ok("DELETE", &certificate, &json!({}));
        }
        daemon.state("c1", "stop", "force");
        daemon.state("c1", "start", "");
    }
}

/// A process of these words runs somewhere; the test's command line is not taken for it.
fn running(words: &str) -> bool {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim() == words)
}

fn image_secret(daemon: &Daemon) -> String {
    let url = daemon.get("/1.0/images").metadata()[0].as_str().unwrap().to_owned();
    format!("r:{url}/secret")
}

#[test]
fn a_token_is_used_once() {
    let daemon = listening();
    let token = token(&daemon, &json!({"restricted": true, "projects": ["default"]}));
    let start = |name: &'static str| {
        client(&daemon, name, &["remote", "add", "r", &token, "--project", "default"]).spawn().unwrap()
    };
    let clients: Vec<Child> = ["a", "b", "c", "d"].map(start).into_iter().collect();
    let won = clients.into_iter().map(|child| child.wait_with_output().unwrap().status.success());
    assert_eq!(won.filter(|won| *won).count(), 1);
    let all = daemon.get("/1.0/certificates?recursion=1").metadata();
    assert_eq!((all.as_array().unwrap().len(), &all[0]["restricted"]), (1, &json!(true)));
    let warnings = daemon.get("/1.0/warnings?recursion=1").metadata();
    let failed = warnings.as_array().unwrap().iter().find(|one| one["type"] == "Failed authentication");
    let failed = failed.unwrap_or_else(|| panic!("{warnings}"));
    assert_eq!(failed["last_message"], "Failed authentication from 127.0.0.1: wrong password or token");
    assert_eq!(failed["count"], 3);
}

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Opens a websocket that stays open.
fn open(client: &mut Client, path: &str) {
    let headers: serde_json::Map<String, Value> =
        UPGRADE.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let reply = client.send(&json!({"method": "GET", "path": path, "headers": headers}));
    assert_eq!(reply.status, 101, "{path}: {reply:?}");
}

/// Starts an operation and opens its websockets; its URL.
fn session(client: &mut Client, path: &str, body: &Value) -> String {
    let started = client.call("POST", path, body);
    assert_eq!(started.status, 202, "{path}: {started:?}");
    let started = started.json();
    let url = started["operation"].as_str().unwrap().to_owned();
    for secret in started["metadata"]["metadata"]["fds"].as_object().unwrap().values() {
        open(client, &format!("{url}/websocket?secret={}", secret.as_str().unwrap()));
    }
    url
}

#[test]
fn everything_open_is_closed_and_the_rest_is_refused() {
    let daemon = listening();
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1"}));
    let image = daemon.get("/1.0/images").metadata()[0].as_str().unwrap().to_owned();
    for (change, limits) in [
        ("removed", json!({})),
        ("restricted", json!({})),
        ("fewer", json!({"restricted": true, "projects": ["default", "p1"]})),
    ] {
        let pair = Pair::make(&daemon, change, &[]);
        let certificate = trust(&daemon, &pair, &limits);
        let mut client = Client::start(&daemon, Some(&pair));
        let mut kept = Client::start(&daemon, Some(&pair));
        assert_eq!(kept.get("/1.0/profiles").status, 200);
        let shell = json!({"command": ["sleep", "1000"], "interactive": true, "wait-for-websocket": true});
        let exec = session(&mut client, "/1.0/instances/c1/exec", &shell);
        session(
            &mut client,
            "/1.0/instances/c1/console",
            &json!({"width": 80, "height": 24, "type": "console"}),
        );
        open(&mut client, "/1.0/events?type=lifecycle");
        let secret = kept.call("POST", &format!("{image}/secret"), &json!({})).json();
        let secret = secret["metadata"]["metadata"]["secret"].as_str().unwrap().to_owned();
        // It goes on for some seconds: the container does not listen to the wish to stop.
        let stop =
            kept.call("PUT", "/1.0/instances/c1/state", &json!({"action": "stop", "timeout": 4})).json();
        let stop = stop["operation"].as_str().unwrap().to_owned();
        assert_eq!(kept.get(&stop).status, 200);

        let begin = Instant::now();
        match change {
            "removed" => daemon.ok("DELETE", &certificate, &json!({})),
            _ => daemon.ok("PATCH", &certificate, &json!({"restricted": true, "projects": ["p1"]})),
        };
        assert_eq!(client.send(&json!({"method": "WAIT"})).status, 5, "exec and console have two each");
        assert!(begin.elapsed() < Duration::from_secs(2), "{change}: {:?}", begin.elapsed());
        for path in ["/1.0/profiles", "/1.0/instances/c1", "/1.0/instances?recursion=2"] {
            let refused = kept.get(path);
            assert_eq!((refused.status, refused.connections), (403, 1), "{change}: {path}");
        }
        // Its operations go on, and are none of its business any more.
        assert_eq!(kept.get(&stop).status, 403, "{change}");
        assert!(matches!(kept.get(&exec).status, 403 | 404), "{change}: it has ended");
        assert_eq!(daemon.get(&stop).status, 200, "{change}: the operation goes on");
        let mut stranger = Client::start(&daemon, None);
        let export = stranger.get(&format!("{image}/export?secret={secret}"));
        assert_eq!(export.status, 404, "{change}: the secret of an image is void");
        daemon.call("GET", &format!("{stop}/wait?timeout=30"), &Value::Null);
        if daemon.status("c1") != "Running" {
            daemon.state("c1", "start", "");
        }
    }
}
