//! The framework over a real unix socket: envelopes, methods, unknown paths, disconnecting clients.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lxd_core::{Core, Options};
use lxd_server::{Service, listener};
use tokio_util::sync::CancellationToken;

const NOT_FOUND: &str = "{\"type\":\"error\",\"status\":\"\",\"status_code\":0,\"operation\":\"\",\
                         \"error_code\":404,\"error\":\"not found\",\"metadata\":null}\n\n";

/// Sends one request and returns status line and body.
fn ask(socket: &Path, head: &str) -> (String, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "{head} HTTP/1.1\r\nHost: lxd\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

async fn started() -> (tempfile::TempDir, PathBuf, CancellationToken) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("unix.socket");
    let stop = CancellationToken::new();
    let listener = listener::bind_unix(&path, None).await.unwrap();
    let core = Core::open(Options { dir: dir.path().to_owned(), group: None }).await.unwrap();
    let service = Arc::new(Service::new(core));
    tokio::spawn(listener::accept_unix(listener, service, stop.clone()));
    (dir, path, stop)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_as_the_reference() {
    let (_dir, socket, _stop) = started().await;
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    for path in ["/nothing", "/1.0/", "/1.0/nothing", "//1.0", "/1.0/../1.0", "/1.0/operations%2f"] {
        let (status, body) = ask(&socket, &format!("GET {path}"));
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 404 Not Found", NOT_FOUND), "{path}");
    }
    let (status, body) = ask(&socket, "GET /");
    assert_eq!((status.as_str(), body.len()), ("HTTP/1.1 200 OK", 114));
    assert!(ask(&socket, "DELETE /1.0/operations").0.contains("501"));
    assert!(ask(&socket, "FOO /1.0/operations").1.contains(r#""error":"Method \"FOO\" not found""#));
    assert!(ask(&socket, "OPTIONS /1.0").0.contains("200"));
    assert!(ask(&socket, "GET /1.0/operations/x/wait").1.contains("Operation not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_is_refused_and_a_dead_socket_replaced() {
    let (_dir, socket, stop) = started().await;
    assert!(listener::bind_unix(&socket, None).await.is_err());
    stop.cancel();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(listener::bind_unix(&socket, None).await.is_ok());
}
