//! Users that an identity server names (Candid), and their roles (RBAC): a stand-in that speaks the real protocols,
//! Debian's `lxc` and ours as clients, the original daemon and ours as servers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use lxd_testkit::{Daemon, binary, wait_for};
use serde_json::{Value, json};

const CANDID: &str = "http://127.0.0.1:8081";
const RBAC: &str = "http://127.0.0.1:8082";
/// The private key of the identity server: the bytes 1 to 32; and its public one.
const PRIVATE: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const PUBLIC: &str = "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=";
/// The keys of the agent as which the daemon logs in.
const AGENT_PRIVATE: &str = "MjM0NTY3ODk6Ozw9Pj9AQUJDREVGR0hJSktMTU5PUFE=";
const AGENT_PUBLIC: &str = "4Fsa4yICSDgJX/3v2GVGjdt3sUst0nUXXqCrQpT6bXo=";

/// The stand-in, in the daemon's network.
struct Identity {
    child: Child,
    state: PathBuf,
    log: PathBuf,
}

impl Identity {
    fn start(daemon: &Daemon) -> Self {
        let (state, log) = (daemon.scratch().join("identity.json"), daemon.scratch().join("identity.log"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/identity_server.py");
        let mut command = daemon.netns.command("python3");
        command.arg(script).arg(&state).args(["127.0.0.1", "8081", "8082"]).arg(&log);
        let identity = Self { child: command.stdin(Stdio::null()).spawn().unwrap(), state, log };
        identity.roles(&json!({}));
        wait_for("the identity server", 20, || {
            let mut probe = daemon.netns.command("curl");
            let probe = probe.args(["-sf", "-o", "/dev/null", &format!("{RBAC}/discharge/info")]).status();
            probe.unwrap().success().then_some(())
        });
        identity
    }

    /// What bob may do: permissions by project, and on the whole server.
    fn roles(&self, bob: &Value) {
        self.state(bob, false);
    }

    /// The same; `mute`: changes are not told of.
    fn state(&self, bob: &Value, mute: bool) {
        let state = json!({
            "mute": mute,
            "key": PRIVATE,
            "users": {"bob": "pw", "bob@d1": "pw"},
            "agents": {"ag": AGENT_PUBLIC},
            "roles": {"bob": bob},
        });
        let fresh = self.state.with_extension("new");
        std::fs::write(&fresh, state.to_string()).unwrap();
        std::fs::rename(fresh, &self.state).unwrap();
    }

    /// Requests of one kind that it got.
    fn requests(&self, path: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|one| one["path"].as_str().is_some_and(|own| own.starts_with(path))).collect()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(daemon: &Daemon, config: &Value) {
    let mut config = config.clone();
    config["core.https_address"] = json!("127.0.0.1:8443");
    daemon.ok("PATCH", "/1.0", &json!({"config": config}));
}

/// Runs a client in the daemon's namespace; `input` is what the user types.
fn remote(daemon: &Daemon, client: &Path, conf: &str, args: &[&str], input: &str) -> Output {
    let conf = daemon.scratch().join(conf);
    std::fs::create_dir_all(&conf).unwrap();
    let mut command = daemon.netns.command("timeout");
    command.arg("60").arg(client).args(args).env("LXD_CONF", &conf).env("HOME", &conf);
    command.env("LXD_DIR", daemon.scratch()).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A client that asks nothing has closed its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn run(daemon: &Daemon, client: &Path, conf: &str, args: &[&str], input: &str) -> String {
    let output = remote(daemon, client, conf, args, input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client:?} {args:?}: {error}\n{}", daemon.log());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn add<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["remote", "add", "r", "https://127.0.0.1:8443", "--accept-certificate"];
    all.extend(["--auth-type", "candid"]);
    all.extend(more);
    all
}

/// A client and a daemon, each ours or the original, and who they are.
fn pairs() -> Vec<(PathBuf, Daemon)> {
    let (client, daemon) = (PathBuf::from("/usr/bin/lxc"), PathBuf::from("/usr/bin/lxd"));
    let mut all = vec![(binary("lxc"), Daemon::start())];
    match client.exists() {
        true => all.push((client, Daemon::start())),
        false => println!("skipped: /usr/bin/lxc (package lxd-client) is not installed"),
    }
    match daemon.exists() {
        true => all.push((binary("lxc"), Daemon::start_program(daemon, &[]))),
        false => println!("skipped: /usr/bin/lxd (package lxd) is not installed"),
    }
    all
}

#[test]
fn an_identity_server_lets_users_in() {
    for (client, daemon) in pairs() {
        let identity = Identity::start(&daemon);
        listen(&daemon, &json!({"candid.api.url": CANDID, "candid.api.key": PUBLIC}));
        let wrong = remote(&daemon, &client, "w", &add(&[]), "no\nbob\n");
        assert!(!wrong.status.success(), "{client:?}: a wrong password is refused");
        run(&daemon, &client, "c", &add(&[]), "pw\nbob\n");
        assert!(run(&daemon, &client, "c", &["info", "r:"], "").contains("auth: trusted"));
        run(&daemon, &client, "c", &["profile", "create", "r:p1"], "");
        assert!(run(&daemon, &client, "c", &["profile", "list", "r:", "-f", "csv"], "").contains("p1"));
        assert_eq!(
            daemon.get("/1.0/certificates").metadata(),
            json!([]),
            "no certificate is trusted by that"
        );
        // The login is asked for once.
        assert_eq!(identity.requests("/form").len(), 4, "{client:?}");
        // The original forgets the login with the name.
        if client == binary("lxc") {
            run(&daemon, &client, "c", &["remote", "rename", "r", "s"], "");
            assert!(run(&daemon, &client, "c", &["profile", "list", "s:", "-f", "csv"], "").contains("p1"));
        }
    }
}

#[test]
fn events_tell_the_user_and_websockets_work() {
    let daemon = Daemon::start().with_pool_and_image();
    let _identity = Identity::start(&daemon);
    listen(&daemon, &json!({"candid.api.url": CANDID, "candid.api.key": PUBLIC}));
    daemon.create("c1", &json!({}));
    daemon.state("c1", "start", "");
    for (client, name) in [(binary("lxc"), "ours"), (PathBuf::from("/usr/bin/lxc"), "original")] {
        if !client.exists() {
            println!("skipped: /usr/bin/lxc (package lxd-client) is not installed");
            continue;
        }
        run(&daemon, &client, name, &add(&[]), "pw\nbob\n");
        assert_eq!(run(&daemon, &client, name, &["exec", "r:c1", "--", "echo", "hello"], ""), "hello\n");
        let mut watching = lxd_testkit::Events::open(&daemon.socket(), "type=lifecycle");
        run(&daemon, &client, name, &["profile", "create", &format!("r:{name}")], "");
        let patience = std::time::Duration::from_secs(20);
        let mut event = watching.next(patience).expect("an event comes");
        while event["metadata"]["action"] != "profile-created" {
            event = watching.next(patience).expect("the event of the new profile comes");
        }
        let requestor = &event["metadata"]["requestor"];
        assert_eq!((&requestor["protocol"], &requestor["username"]), (&json!("candid"), &json!("bob")));
    }
}

#[test]
fn strangers_are_told_where_to_go_and_nothing_else() {
    let daemon = Daemon::start();
    let _identity = Identity::start(&daemon);
    listen(&daemon, &json!({"candid.api.url": CANDID, "candid.api.key": PUBLIC}));
    let ask = |headers: &[&str], path: &str| {
        let mut command = daemon.netns.command("curl");
        command.args(["-sik", "--http1.1", "--max-time", "20"]);
        command.args(headers.iter().flat_map(|header| ["-H", header]));
        let output = command.arg(format!("https://127.0.0.1:8443{path}")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (bakery, insists) = ("Bakery-Protocol-Version: 3", "X-LXD-Authenticated: true");
    for (headers, path, status) in [
        (&[][..], "/1.0/profiles", "403"),
        (&[bakery], "/1.0/profiles", "401"),
        (&[bakery], "/1.0", "200"),
        (&[insists], "/1.0", "403"),
        (&[bakery, insists], "/1.0", "401"),
        (&[bakery, insists], "/", "200"),
        (&[bakery, insists], "/1.0/images", "401"),
        (&[bakery], "/1.0/images", "200"),
        (&[bakery], "/1.0/nosuch", "404"),
        (&[bakery, "Cookie: macaroon-auth=e30="], "/1.0/profiles", "401"),
        (&["Cookie: macaroon-auth=e30="], "/1.0/profiles", "403"),
    ] {
        let answer = ask(headers, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers:?} {path}: {answer}");
        assert_eq!(answer.to_lowercase().contains("www-authenticate: macaroon"), status == "401", "{path}");
    }
    let methods = daemon.get("/1.0").metadata()["auth_methods"].clone();
    assert_eq!(methods, json!(["tls", "candid"]));
}

#[test]
fn macaroons_end_with_time_domain_and_configuration() {
    let daemon = Daemon::start();
    let identity = Identity::start(&daemon);
    let client = binary("lxc");
    listen(&daemon, &json!({"candid.api.url": CANDID, "candid.api.key": PUBLIC, "candid.domains": "d1,d2"}));
    let refused = remote(&daemon, &client, "w", &add(&[]), "pw\nbob\n");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("Missing domain in candid reply"), "{text}");
    let warnings = daemon.get("/1.0/warnings?recursion=1").metadata().to_string();
    assert!(
        warnings.contains("Failed authentication from 127.0.0.1: could not determine identity"),
        "{warnings}"
    );
    run(&daemon, &client, "c", &add(&["--domain", "d1"]), "pw\nbob@d1\n");
    let with_domain = identity.requests("/form").pop().unwrap();
    assert_eq!(
        with_domain["headers"]["cookie"].as_str().or(with_domain["headers"]["Cookie"].as_str()),
        Some("domain=d1")
    );
    run(&daemon, &client, "c", &["profile", "list", "r:"], "");
    // A change of the configuration ends what was issued before, and so does time.
    daemon.ok("PATCH", "/1.0", &json!({"config": {"candid.expiry": "1"}}));
    let ended = remote(&daemon, &client, "c", &["profile", "list", "r:"], "");
    assert!(!ended.status.success(), "nobody answers the question for a login");
    run(&daemon, &client, "c", &["profile", "list", "r:"], "pw\nbob@d1\n");
    wait_for("the end of the macaroon", 10, || {
        let ended = remote(&daemon, &client, "c", &["profile", "list", "r:"], "");
        (!ended.status.success()).then_some(())
    });
    daemon.ok("PATCH", "/1.0", &json!({"config": {"candid.api.url": ""}}));
    assert_eq!(daemon.get("/1.0").metadata()["auth_methods"], json!(["tls"]));
}

/// Configures the daemon for RBAC; `p1` is project 2.
fn with_rbac(daemon: &Daemon) -> Identity {
    let identity = Identity::start(daemon);
    listen(
        daemon,
        &json!({
            "rbac.agent.url": CANDID,
            "rbac.agent.username": "ag",
            "rbac.agent.private_key": AGENT_PRIVATE,
            "rbac.agent.public_key": AGENT_PUBLIC,
            "rbac.api.url": RBAC,
            "rbac.api.key": PUBLIC,
        }),
    );
    identity
}

#[test]
fn roles_say_what_users_may_do() {
    let daemon = Daemon::start();
    daemon.ok("POST", "/1.0/storage-pools", &json!({"name": "default", "driver": "dir"}));
    daemon.ok("POST", "/1.0/projects", &json!({"name": "p1"}));
    let identity = with_rbac(&daemon);
    let client = binary("lxc");
    let root = json!({"root": {"type": "disk", "path": "/", "pool": "default"}});
    daemon.ok("PATCH", "/1.0/profiles/default?project=p1", &json!({"devices": root}));
    let empty = json!({"name": "c1", "source": {"type": "none"}});
    daemon.ok("POST", "/1.0/instances?project=p1", &empty);
    identity.roles(&json!({"lxd": {"": ["admin"]}}));
    run(&daemon, &client, "c", &add(&["--project", "default"]), "pw\nbob\n");
    let told = wait_for("the projects to be told", 20, || {
        identity.requests("/api/service/v1/resources/project").into_iter().find(|one| one["method"] == "POST")
    });
    let told: Value = serde_json::from_str(told["body"].as_str().unwrap()).unwrap();
    assert_eq!(told["updates"][1], json!({"identifier": "2", "name": "p1"}));

    let allowed = |args: &[&str]| remote(&daemon, &client, "c", args, "").status.success();
    let actions: [(&str, &[&str]); 8] = [
        ("see", &["query", "r:/1.0/instances/c1?project=p1"]),
        (
            "operate",
            &["query", "-X", "POST", "-d", r#"{"name":"s"}"#, "r:/1.0/instances/c1/snapshots?project=p1"],
        ),
        (
            "manage",
            &["query", "-X", "PATCH", "-d", r#"{"config":{"user.a":"b"}}"#, "r:/1.0/instances/c1?project=p1"],
        ),
        (
            "profiles",
            &["query", "-X", "PATCH", "-d", r#"{"description":"x"}"#, "r:/1.0/profiles/default?project=p1"],
        ),
        (
            "volumes",
            &[
                "query",
                "-X",
                "POST",
                "-d",
                r#"{"name":"v","type":"custom"}"#,
                "r:/1.0/storage-pools/default/volumes/custom?project=p1",
            ],
        ),
        ("project", &["query", "-X", "PATCH", "-d", r#"{"description":"x"}"#, "r:/1.0/projects/p1"]),
        ("other", &["query", "r:/1.0/profiles?project=default"]),
        ("server", &["query", "-X", "PATCH", "-d", r#"{"config":{"user.a":"b"}}"#, "r:/1.0"]),
    ];
    for (roles, may) in [
        (
            json!({"lxd": {"": ["admin"]}}),
            &["see", "operate", "manage", "profiles", "volumes", "project", "other", "server"][..],
        ),
        (json!({"project": {"2": ["view"]}}), &["see"]),
        (json!({"project": {"2": ["view", "operate-containers"]}}), &["see", "operate"]),
        (json!({"project": {"2": ["view", "manage-containers"]}}), &["see", "manage"]),
        (json!({"project": {"2": ["view", "manage-profiles"]}}), &["see", "profiles"]),
        (json!({"project": {"2": ["view", "manage-storage-volumes"]}}), &["see", "volumes"]),
        (json!({"project": {"2": ["view", "manage-projects"]}}), &["see", "project"]),
        (json!({"project": {"1": ["view"]}}), &["other"]),
        (json!({"project": {"": ["view"], "2": ["admin"]}}), &[]),
        (json!({}), &[]),
    ] {
        identity.roles(&roles);
        let expected: Vec<bool> = actions.iter().map(|(name, _)| may.contains(name)).collect();
        let mut found = Vec::new();
        wait_for(&format!("the roles {roles}: {may:?}"), 20, || {
            found = actions.iter().map(|(_, args)| allowed(args)).collect();
            daemon.call("DELETE", "/1.0/storage-pools/default/volumes/custom/v?project=p1", &Value::Null);
            daemon.call("DELETE", "/1.0/instances/c1/snapshots/s?project=p1", &Value::Null);
            (found == expected).then_some(())
        });
    }
    daemon.ok("DELETE", "/1.0/instances/c1?project=p1", &Value::Null);
    daemon.ok("DELETE", "/1.0/projects/p1", &Value::Null);
    wait_for("the removal to be told", 20, || {
        let all = identity.requests("/api/service/v1/resources/project");
        all.iter().any(|one| one["body"].as_str().unwrap().contains(r#""removals":["2"]"#)).then_some(())
    });
}

#[test]
fn who_loses_a_role_loses_its_connections() {
    let daemon = Daemon::start();
    let identity = with_rbac(&daemon);
    identity.roles(&json!({"lxd": {"": ["admin"]}}));
    let client = binary("lxc");
    run(&daemon, &client, "c", &add(&["--project", "default"]), "pw\nbob\n");
    let mut events = monitor(&daemon);
    identity.roles(&json!({}));
    wait_for("the end of the events", 20, || events.try_wait().unwrap().map(drop));
    assert!(!remote(&daemon, &client, "c", &["profile", "list", "r:"], "").status.success());
}

#[test]
fn a_change_that_nobody_told_of_is_found() {
    let daemon = Daemon::start();
    let identity = with_rbac(&daemon);
    identity.state(&json!({"lxd": {"": ["admin"]}}), true);
    let client = binary("lxc");
    run(&daemon, &client, "c", &add(&["--project", "default"]), "pw\nbob\n");
    let mut events = monitor(&daemon);
    identity.state(&json!({}), true);
    wait_for("the end of the events", 60, || events.try_wait().unwrap().map(drop));
    assert!(!remote(&daemon, &client, "c", &["profile", "list", "r:"], "").status.success());
}

/// An open websocket of our client.
fn monitor(daemon: &Daemon) -> Child {
    let mut command = daemon.netns.command(binary("lxc"));
    command.args(["monitor", "r:"]).env("LXD_CONF", daemon.scratch().join("c")).stdin(Stdio::null());
    let events = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the events' socket", 20, || daemon.log().contains("/1.0/events").then_some(()));
    events
}

#[test]
fn a_websocket_ends_with_its_macaroon() {
    let daemon = Daemon::start();
    let _identity = Identity::start(&daemon);
    listen(&daemon, &json!({"candid.api.url": CANDID, "candid.api.key": PUBLIC, "candid.expiry": "5"}));
    run(&daemon, &binary("lxc"), "c", &add(&[]), "pw\nbob\n");
    let mut events = monitor(&daemon);
    wait_for("the end of the events", 20, || events.try_wait().unwrap().map(drop));
}

#[test]
fn bad_configurations_are_refused() {
    let daemon = Daemon::start();
    for (config, text) in [
        (json!({"candid.api.key": "zz"}), "wrong length for key"),
        (json!({"candid.api.url": "zz"}), "not an http(s) URL"),
        (json!({"candid.expiry": "x"}), "invalid integer"),
        (json!({"candid.api.url": CANDID, "rbac.api.url": RBAC}), "RBAC and Candid are mutually exclusive"),
        (json!({"rbac.agent.private_key": "QUJD"}), "wrong length for key"),
    ] {
        let error = daemon.fails("PATCH", "/1.0", &json!({"config": config}));
        assert!(error.contains(text), "{config}: {error}");
    }
    // Without its key, a server that is reached without TLS could be anybody.
    listen(&daemon, &json!({"candid.api.url": CANDID}));
    let mut command = daemon.netns.command("curl");
    command.args(["-sk", "-H", "Bakery-Protocol-Version: 3", "https://127.0.0.1:8443/1.0/profiles"]);
    let answer = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(answer.contains("public key") && answer.contains("must be configured"), "{answer}");
}
