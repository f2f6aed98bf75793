//! Remotes of the client: how they are added, what is remembered, what happens when a server is another one.

use std::process::{Output, Stdio};

use lxd_testkit::{Daemon, binary};
use serde_json::{Value, json};

fn listening() -> Daemon {
    let daemon = Daemon::start();
    let config = json!({"core.https_address": "127.0.0.1:8443", "core.trust_password": "sekret"});
    daemon.ok("PATCH", "/1.0", &json!({"config": config}));
    daemon
}

/// Runs the client in the daemon's network, with a document on standard input.
fn lxc(daemon: &Daemon, args: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut command = daemon.netns.command("timeout");
    command.arg("60").arg(binary("lxc")).args(args).env("LXD_DIR", daemon.lxd_dir());
    command.env("LXD_CONF", daemon.scratch().join("conf")).env("HOME", daemon.scratch());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter is there");
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it is our child")
}

fn ok(daemon: &Daemon, args: &[&str], input: &str) -> String {
    let output = lxc(daemon, args, input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "lxc {args:?}: {error}\n{}", daemon.log());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(daemon: &Daemon, args: &[&str], input: &str) -> String {
    let output = lxc(daemon, args, input);
    assert!(!output.status.success(), "lxc {args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The line of a remote in `lxc remote list`.
fn listed(daemon: &Daemon, name: &str) -> String {
    let list = ok(daemon, &["remote", "list", "--format", "csv"], "");
    list.lines().find(|line| line.starts_with(&format!("{name},"))).unwrap_or_default().to_owned()
}

#[test]
fn what_is_asked_and_what_is_remembered() {
    let daemon = listening();
    let url = "https://127.0.0.1:8443";
    let add = |more: &[&'static str]| [&["remote", "add", "s", "127.0.0.1:8443"][..], more].concat();
    let print =
        daemon.get("/1.0").metadata()["environment"]["certificate_fingerprint"].as_str().unwrap().to_owned();
    assert!(
        fails(&daemon, &add(&["--password=sekret"]), "n\n").contains("Server certificate NACKed by user")
    );
    assert!(
        fails(&daemon, &add(&["--password=sekret"]), &format!("{}\n", "0".repeat(64)))
            .contains("does not match")
    );
    assert_eq!(listed(&daemon, "s"), "");
    let asked = ok(&daemon, &add(&["--password=sekret", "--domain=d"]), &format!("{print}\n"));
    assert!(asked.contains(&format!("Certificate fingerprint: {print}")), "{asked}");
    assert_eq!(listed(&daemon, "s"), format!("s,{url},lxd,tls,NO,NO,NO"));
    let conf = std::fs::read_to_string(daemon.scratch().join("conf/config.yml")).unwrap();
    assert!(conf.contains("domain: d"), "{conf}");
    assert!(fails(&daemon, &add(&[]), "").contains("Remote s exists as <https://127.0.0.1:8443>"));
    ok(&daemon, &["remote", "remove", "s"], "");

    for (args, text) in [
        (&["remote", "add", "127.0.0.1:8443"][..], "Remote names may not contain colons"),
        (&["remote", "add", "s", "http://127.0.0.1:8443"], "Invalid URL scheme \"http\""),
        (&["remote", "add", "s", "127.0.0.1:8443", "--auth-type=x"], "Invalid authentication type: x"),
        (
            &["remote", "add", "s", "127.0.0.1:8443", "--project=nosuch", "--accept-certificate"],
            "Project not found",
        ),
        (&["remote", "add", "s", "127.0.0.1:1", "--accept-certificate"], "connection refused"),
        (&["remote", "add", "s", "nosuch.invalid", "--accept-certificate"], "no such host"),
        (&["remote", "add", "s", "http://x", "--protocol=simplestreams"], "Only https URLs are supported"),
    ] {
        let error = fails(&daemon, args, "");
        assert!(error.contains(text), "{args:?}: {error}");
        assert_eq!(listed(&daemon, "s"), "", "{args:?}");
    }
    ok(&daemon, &["remote", "add", "w", "https://me:pw@images.example/x/", "--protocol=simplestreams"], "");
    assert_eq!(listed(&daemon, "w"), "w,https://me:pw@images.example/x,simplestreams,none,YES,NO,NO");
}

#[test]
fn a_public_server_needs_no_certificate_of_the_client() {
    let daemon = listening().with_pool_and_image();
    let add = ["remote", "add", "pub", "127.0.0.1:8443", "--public", "--accept-certificate"];
    ok(&daemon, &add, "");
    assert_eq!(listed(&daemon, "pub"), "pub,https://127.0.0.1:8443,lxd,tls,YES,NO,NO");
    assert!(!daemon.scratch().join("conf/client.key").exists());
    assert_eq!(ok(&daemon, &["image", "list", "pub:", "--format", "csv"], ""), "");
    let image = daemon.get("/1.0/images").metadata()[0].clone();
    daemon.ok("PATCH", image.as_str().unwrap(), &json!({"public": true}));
    assert!(ok(&daemon, &["image", "list", "pub:", "-c", "l", "--format", "csv"], "").contains("busybox"));
    assert!(ok(&daemon, &["image", "info", "pub:busybox"], "").contains("Public: yes"));
    assert!(fails(&daemon, &["list", "pub:"], "").contains("The remote isn't a private LXD server"));
    // It is a source of images for other servers.
    let other = daemon.beside(binary("lxd"), &[]);
    other.ok(
        "PATCH",
        "/1.0",
        &json!({"config": {"core.https_address": "127.0.0.1:8444", "core.trust_password": "x"}}),
    );
    ok(&daemon, &["remote", "add", "o", "127.0.0.1:8444", "--accept-certificate", "--password=x"], "");
    ok(&daemon, &["image", "copy", "pub:busybox", "o:", "--copy-aliases", "--auto-update"], "");
    let copied = other.get("/1.0/images?recursion=1").metadata()[0].clone();
    assert_eq!(
        (&copied["update_source"]["alias"], &copied["auto_update"]),
        (&json!("busybox"), &json!(true))
    );
}

#[test]
fn another_certificate_is_noticed_and_nothing_is_said_to_that_server() {
    let mut daemon = listening();
    ok(&daemon, &["remote", "add", "s", "127.0.0.1:8443", "--accept-certificate", "--password=sekret"], "");
    ok(&daemon, &["list", "s:"], "");
    daemon.stop();
    for name in ["server.crt", "server.key"] {
        std::fs::remove_file(daemon.lxd_dir().join(name)).unwrap();
    }
    daemon.launch();
    let print =
        daemon.get("/1.0").metadata()["environment"]["certificate_fingerprint"].as_str().unwrap().to_owned();
    let error = fails(&daemon, &["list", "s:"], "");
    assert!(error.contains("another one than the one that was accepted"), "{error}");
    assert!(error.contains(&print) && error.contains("remove the remote and add it again"), "{error}");
    ok(&daemon, &["remote", "remove", "s"], "");
    ok(&daemon, &["remote", "add", "s", "127.0.0.1:8443"], &format!("{print}\n"));
    ok(&daemon, &["list", "s:"], "");
    let certificates = daemon.get("/1.0/certificates").metadata();
    assert_eq!(
        certificates.as_array().map(Vec::len),
        Some(1),
        "the client was known already: {certificates}"
    );
    daemon.ok("DELETE", certificates[0].as_str().unwrap(), &Value::Null);
}
