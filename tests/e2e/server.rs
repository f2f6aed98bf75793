//! The daemon itself: start, answers, end.

use std::path::Path;

use lxd_testkit::{Daemon, binary, request};

#[test]
fn answers_on_its_socket_and_ends_cleanly() {
    let mut daemon = Daemon::start();
    let server = daemon.get("/1.0").metadata();
    assert_eq!(server["environment"]["server_version"], "4.18");
    assert_eq!(server["auth"], "trusted");
    daemon.restart();
    assert_eq!(daemon.get("/").metadata(), serde_json::json!(["/1.0"]));
}

#[test]
fn an_unused_token_does_not_keep_the_daemon() {
    let daemon = Daemon::start();
    daemon.ok("PATCH", "/1.0", &serde_json::json!({"config": {"core.https_address": "127.0.0.1:8443"}}));
    let wanted = serde_json::json!({"name": "somebody", "type": "client", "token": true});
    let token = request(&daemon.socket(), "POST", "/1.0/certificates", Some(&wanted));
    assert_eq!(token.status, 202);
    let end = daemon.client(&binary("lxd"), &["shutdown", "--timeout", "20"]);
    assert!(end.status.success(), "{}", String::from_utf8_lossy(&end.stderr));
}

#[test]
fn a_directory_has_one_daemon() {
    let daemon = Daemon::start();
    // As if the first one were ending: its socket is gone, it still writes.
    std::fs::remove_file(daemon.socket()).unwrap();
    let program = binary("lxd");
    let second = daemon.client(Path::new("timeout"), &["30", program.to_str().unwrap()]);
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("LXD is already running"), "{told}");
}
