//! Trust over the network: TLS, the trust password, tokens, what strangers see. Clients are Debian's `lxc` and ours.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use lxd_testkit::{Daemon, binary, request_raw};
use serde_json::{Value, json};

/// Our client and, where it is installed, the original.
fn clients() -> Vec<PathBuf> {
    let original = PathBuf::from("/usr/bin/lxc");
    let mut all = vec![binary("lxc")];
    match original.exists() {
        true => all.push(original),
        false => println!("/usr/bin/lxc (package lxd-client) is not installed: only our own client is tried"),
    }
    all
}

/// A daemon that listens on the loopback interface of its network namespace.
fn listening() -> Daemon {
    let daemon = Daemon::start();
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.https_address": "127.0.0.1:8443"}}));
    daemon
}

/// Runs a client in the daemon's namespace with a configuration of its own.
fn remote(daemon: &Daemon, client: &Path, conf: &str, args: &[&str]) -> Output {
    let conf = daemon.scratch().join(conf);
    std::fs::create_dir_all(&conf).unwrap();
    let mut command = daemon.netns.command("timeout");
    command.arg("60").arg(client).args(args).env("LXD_CONF", &conf).env("HOME", &conf);
    command.env("LXD_DIR", daemon.scratch()).stdin(Stdio::null()).output().expect("nsenter is there")
}

fn run(daemon: &Daemon, client: &Path, conf: &str, args: &[&str]) -> String {
    let output = remote(daemon, client, conf, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client:?} {args:?}: {error}\n{}", daemon.log());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `curl` without a certificate: status and body.
fn stranger(daemon: &Daemon, args: &[&str], path: &str) -> String {
    let url = format!("https://127.0.0.1:8443{path}");
    let output = daemon.netns.command("curl").args(["-sik", "--max-time", "10"]).args(args).arg(url).output();
    String::from_utf8_lossy(&output.expect("curl is there").stdout).into_owned()
}

/// An answer without its date.
fn plain(answer: &str) -> String {
    answer.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect()
}

#[test]
fn a_password_makes_a_client_trusted_and_removal_ends_it() {
    for client in clients() {
        let daemon = listening();
        let add = ["remote", "add", "srv", "https://127.0.0.1:8443", "--accept-certificate", "--password"];
        let wrong = remote(&daemon, &client, "c", &[&add[..], &["guess"]].concat());
        assert!(!wrong.status.success(), "no password is set");
        daemon.ok("PATCH", "/1.0", &json!({"config": {"core.trust_password": "sekret"}}));
        let wrong = remote(&daemon, &client, "c", &[&add[..], &["guess"]].concat());
        assert!(!wrong.status.success() && daemon.get("/1.0/certificates").metadata() == json!([]));
        run(&daemon, &client, "c", &[&add[..], &["sekret"]].concat());
        assert!(run(&daemon, &client, "c", &["info", "srv:"]).contains("auth: trusted"));
        run(&daemon, &client, "c", &["profile", "create", "srv:p1"]);
        assert!(run(&daemon, &client, "c", &["profile", "list", "srv:", "-f", "csv"]).contains("p1"));
        let stored = daemon.get("/1.0").metadata()["config"]["core.trust_password"].clone();
        assert_eq!(stored, Value::Bool(true), "the password is not shown");

        let list = daemon.get("/1.0/certificates?recursion=1").metadata();
        let fingerprint = list[0]["fingerprint"].as_str().unwrap().to_owned();
        let short = &fingerprint[..12];
        assert_eq!(daemon.get(&format!("/1.0/certificates/{short}")).metadata()["fingerprint"], fingerprint);
        daemon.ok("DELETE", &format!("/1.0/certificates/{short}"), &Value::Null);
        assert!(!remote(&daemon, &client, "c", &["profile", "list", "srv:"]).status.success());
        assert!(run(&daemon, &client, "c", &["info", "srv:"]).contains("auth: untrusted"));
    }
}

#[test]
fn a_token_works_once() {
    for client in clients() {
        let daemon = listening();
        let printed = daemon.lxc_ok(&["config", "trust", "add", "--name", "friend"]);
        let token = printed.lines().last().unwrap().to_owned();
        run(&daemon, &client, "c1", &["remote", "add", "srv", &token]);
        assert!(run(&daemon, &client, "c1", &["info", "srv:"]).contains("auth: trusted"));
        assert_eq!(daemon.get("/1.0/certificates?recursion=1").metadata()[0]["name"], "friend");
        assert!(!remote(&daemon, &client, "c2", &["remote", "add", "srv", &token]).status.success());
        assert_eq!(daemon.get("/1.0/certificates").metadata().as_array().unwrap().len(), 1);
    }
}

#[test]
fn our_client_joins_the_original() {
    let program = PathBuf::from("/usr/bin/lxd");
    if !program.exists() {
        println!("skipped: /usr/bin/lxd (package lxd) is not installed");
        return;
    }
    let daemon = Daemon::start_program(program, &[]);
    let config = json!({"core.https_address": "127.0.0.1:8443", "core.trust_password": "sekret"});
    daemon.ok("PATCH", "/1.0", &json!({"config": config}));
    let client = binary("lxc");
    let add = ["remote", "add", "srv", "https://127.0.0.1:8443", "--accept-certificate", "--password"];
    assert!(!remote(&daemon, &client, "c", &[&add[..], &["guess"]].concat()).status.success());
    run(&daemon, &client, "c", &[&add[..], &["sekret"]].concat());
    run(&daemon, &client, "c", &["profile", "create", "srv:p1"]);
    let printed = daemon.client(&client, &["config", "trust", "add", "--name", "friend"]);
    let token = String::from_utf8(printed.stdout).unwrap().lines().last().unwrap().to_owned();
    run(&daemon, &client, "d", &["remote", "add", "srv", &token]);
    assert!(run(&daemon, &client, "d", &["profile", "list", "srv:", "-f", "csv"]).contains("p1"));
    assert!(!remote(&daemon, &client, "e", &["remote", "add", "srv", &token]).status.success());
}

#[test]
fn guesses_are_limited() {
    let daemon = listening();
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.trust_password": "sekret"}}));
    let key = daemon.scratch().join("c.key");
    let certificate = daemon.scratch().join("c.crt");
    let made = daemon
        .netns
        .command("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=me", "-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()])
        .output()
        .expect("openssl is there");
    assert!(made.status.success());
    let guess = |password: &str| {
        let body = json!({"type": "client", "password": password}).to_string();
        let own = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
        stranger(&daemon, &[&own[..], &["-X", "POST", "-d", &body]].concat(), "/1.0/certificates")
    };
    for n in 0..10 {
        assert!(guess(&format!("wrong{n}")).starts_with("HTTP/1.1 403"));
    }
    assert!(guess("sekret").starts_with("HTTP/1.1 403"), "after ten wrong ones no guess is looked at");
    assert_eq!(daemon.get("/1.0/certificates").metadata(), json!([]));
}

#[test]
fn strangers_learn_nothing() {
    let daemon = listening().with_pool_and_image();
    let fingerprint =
        daemon.get("/1.0/images").metadata()[0].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let server = stranger(&daemon, &[], "/1.0");
    assert!(server.contains("\"auth\":\"untrusted\""), "{server}");
    for secret in ["environment", "\"config\"", "kernel_version", "server_name"] {
        assert!(!server.contains(secret), "{secret}: {server}");
    }
    let lists = [
        "/1.0/instances",
        "/1.0/profiles",
        "/1.0/projects",
        "/1.0/certificates",
        "/1.0/networks",
        "/1.0/storage-pools",
        "/1.0/operations",
        "/1.0/warnings",
        "/1.0/resources",
        "/1.0/events",
        "/1.0/cluster",
        "/internal/sql",
        "/internal/debug",
    ];
    for path in lists {
        assert!(stranger(&daemon, &[], path).starts_with("HTTP/1.1 403"), "{path}");
    }
    // What is there and what is not there look the same.
    let unknown = "0".repeat(64);
    for (there, not_there) in [
        ("/1.0/profiles/default".to_owned(), "/1.0/profiles/nosuch".to_owned()),
        ("/1.0/projects/default".to_owned(), "/1.0/projects/nosuch".to_owned()),
        (format!("/1.0/images/{fingerprint}"), format!("/1.0/images/{unknown}")),
        (format!("/1.0/images/{fingerprint}/export"), format!("/1.0/images/{unknown}/export")),
        ("/1.0/images/aliases/busybox".to_owned(), "/1.0/images/aliases/nosuch".to_owned()),
        ("/1.0/images?project=default".to_owned(), "/1.0/images?project=nosuch".to_owned()),
        (
            format!("/1.0/images/{fingerprint}?project=default"),
            format!("/1.0/images/{fingerprint}?project=nosuch"),
        ),
    ] {
        let answers = [&there, &not_there].map(|path| plain(&stranger(&daemon, &[], path)));
        assert_eq!(answers[0], answers[1], "{there} and {not_there}");
    }
    daemon.ok("PATCH", &format!("/1.0/images/{fingerprint}"), &json!({"public": true}));
    assert!(stranger(&daemon, &[], &format!("/1.0/images/{fingerprint}")).starts_with("HTTP/1.1 200"));
}

#[test]
fn old_protocols_are_refused_and_the_certificate_is_strong() {
    let daemon = listening();
    assert!(stranger(&daemon, &["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"], "/").is_empty());
    for version in ["1.2", "1.3"] {
        assert!(
            stranger(&daemon, &[&format!("--tlsv{version}"), "--tls-max", version], "/").contains("/1.0")
        );
    }
    let file = daemon.lxd_dir().join("server.crt");
    let shown =
        daemon.netns.command("openssl").args(["x509", "-noout", "-text", "-in"]).arg(file).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("NIST CURVE: P-384") && shown.contains("ecdsa-with-SHA"), "{shown}");
    let key = std::fs::metadata(daemon.lxd_dir().join("server.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
}

#[test]
fn a_restricted_client_stays_in_its_projects() {
    let daemon = listening();
    let client = binary("lxc");
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.trust_password": "sekret"}}));
    let add =
        ["remote", "add", "srv", "https://127.0.0.1:8443", "--accept-certificate", "--password", "sekret"];
    run(&daemon, &client, "c", &add);
    let url = daemon.get("/1.0/certificates").metadata()[0].as_str().unwrap().to_owned();
    let restrict = json!({"name": "c", "type": "client", "restricted": true, "projects": []});
    daemon.ok("PUT", &url, &restrict);
    for args in [
        &["profile", "list", "srv:"][..],
        &["config", "set", "srv:", "user.a", "1"],
        &["config", "trust", "list", "srv:"],
    ] {
        let output = remote(&daemon, &client, "c", args);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() || !shown.contains("default"), "{args:?}: {shown}");
    }
    // It may not free itself.
    let free = json!({"restricted": false}).to_string();
    let fingerprint = url.rsplit('/').next().unwrap();
    let path = format!("srv:/1.0/certificates/{fingerprint}");
    assert!(!remote(&daemon, &client, "c", &["query", "-X", "PATCH", "-d", &free, &path]).status.success());
    let answer = request_raw(&daemon.socket(), "GET", &url, &[], b"").unwrap();
    assert_eq!(answer.metadata()["restricted"], true);
}
