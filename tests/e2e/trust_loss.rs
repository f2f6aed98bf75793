//! Who loses trust loses its connections; a token that several use at once lets one in.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lxd_testkit::{Daemon, binary, wait_for};
use serde_json::{Value, json};

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
