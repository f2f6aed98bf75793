//! What is done with one instance for long does not hold up what is done with another.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lxd_core::{Core, Options, SharedCore};
use lxd_server::{Service, listener};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// How long a request may take that waits for nobody.
const PATIENCE: Duration = Duration::from_secs(30);

async fn ask(socket: &Path, method: &str, path: &str, body: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let body = body.to_string();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: lxd\r\nConnection: close\r\n");
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// A request and the end of its operation.
async fn done(socket: &Path, method: &str, path: &str, body: &Value) {
    let answer = ask(socket, method, path, body).await;
    assert!(answer["error_code"] == 0 || answer["error_code"].is_null(), "{path}: {answer}");
    if let Some(operation) = answer["operation"].as_str().filter(|operation| !operation.is_empty()) {
        let end = ask(socket, "GET", &format!("{operation}/wait"), &Value::Null).await;
        assert_eq!(end["metadata"]["status"], "Success", "{path}: {end}");
    }
}

async fn started(dir: &Path) -> (SharedCore, std::path::PathBuf) {
    let socket = dir.join("unix.socket");
    let listener = listener::bind_unix(&socket, None).await.unwrap();
    let core = Core::open(Options { dir: dir.to_owned(), group: None }).await.unwrap();
    // As the daemon makes them at its start.
    for folder in [
        "storage-pools",
        "containers",
        "snapshots",
        "backups/instances",
        "logs",
        "devices",
        "shmounts",
        "security/seccomp",
    ] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let service = Arc::new(Service::new(core.clone()));
    tokio::spawn(listener::accept_unix(listener, service, CancellationToken::new()));
    (core, socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_move_of_one_instance_does_not_hold_up_another() {
    let dir = tempfile::tempdir().unwrap();
    let (core, socket) = started(dir.path()).await;
    let pool = json!({"name": "p", "driver": "dir"});
    done(&socket, "POST", "/1.0/storage-pools", &pool).await;
    for name in ["a", "b"] {
        let devices = json!({"root": {"type": "disk", "path": "/", "pool": "p"}});
        let body = json!({"name": name, "source": {"type": "none"}, "devices": devices});
        done(&socket, "POST", "/1.0/instances", &body).await;
    }
    // As the move of an instance to another pool has it while the files are copied.
    let turn = core.backup_files.wait("default/a").await;
    let other = done(&socket, "DELETE", "/1.0/instances/b", &Value::Null);
    tokio::time::timeout(PATIENCE, other).await.expect("it waits for nobody");
    let own = done(&socket, "DELETE", "/1.0/instances/a", &Value::Null);
    let mut own = std::pin::pin!(own);
    let early = tokio::time::timeout(Duration::from_millis(300), own.as_mut()).await;
    assert!(early.is_err(), "the instance itself waits");
    drop(turn);
    tokio::time::timeout(PATIENCE, own).await.expect("its turn came");
}
