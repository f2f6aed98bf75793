//! The daemon itself: start, answers, end.

use lxd_testkit::Daemon;

#[test]
fn answers_on_its_socket_and_ends_cleanly() {
    let mut daemon = Daemon::start();
    let server = daemon.get("/1.0").metadata();
    assert_eq!(server["environment"]["server_version"], "4.18");
    assert_eq!(server["auth"], "trusted");
    daemon.restart();
    assert_eq!(daemon.get("/").metadata(), serde_json::json!(["/1.0"]));
}
