//! The daemon itself: start, answers, end.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

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

#[test]
fn a_body_that_nobody_wants_does_not_end_the_connection() {
    let daemon = Daemon::start();
    let mut stream = std::os::unix::net::UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = |text: &str| {
        stream.write_all(text.as_bytes()).unwrap();
        let mut read = Vec::new();
        let mut block = [0; 4096];
        while !read.trim_ascii_end().ends_with(b"}") {
            let got = stream.read(&mut block).unwrap();
            assert_ne!(got, 0, "the connection was closed: {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&block[..got]);
        }
        String::from_utf8(read).unwrap()
    };
    // The body comes only after the answer, with the next request behind it.
    let head = "DELETE /1.0/profiles/none HTTP/1.1\r\nHost: lxd\r\nContent-Length: 2\r\n\r\n";
    assert!(answer(head).starts_with("HTTP/1.1 404"));
    assert!(answer("{}GET / HTTP/1.1\r\nHost: lxd\r\n\r\n").starts_with("HTTP/1.1 200"));
}
