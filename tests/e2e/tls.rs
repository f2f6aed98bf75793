//! Certificates of clients and a client that uses them, for the tests of trust.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use lxd_testkit::Daemon;
use serde_json::{Value, json};

/// Address of the daemons in these tests.
pub const ADDRESS: &str = "127.0.0.1:8443";

/// A certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// The files of this name in the daemon's scratch folder.
    pub fn at(daemon: &Daemon, name: &str) -> Self {
        let file = |end: &str| daemon.scratch().join(format!("{name}.{end}"));
        Self { certificate: file("crt"), key: file("key") }
    }

    /// A self-signed one; `more` goes to `openssl req`.
    pub fn make(daemon: &Daemon, name: &str, more: &[&str]) -> Self {
        let pair = Self::at(daemon, name);
        let kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
        let kind = if more.contains(&"-newkey") { &[][..] } else { &kind };
        let subject = format!("/CN={name}");
        openssl(
            daemon,
            &[&["req", "-x509", "-nodes", "-days", "2", "-subj", &subject], kind, more].concat(),
            &pair,
        );
        pair
    }

    /// As `POST /1.0/certificates` wants it.
    pub fn base64(&self) -> String {
        let pem = std::fs::read_to_string(&self.certificate).unwrap();
        pem.lines().filter(|line| !line.starts_with("-----")).collect()
    }
}

/// Runs openssl with `-keyout` and `-out` of the pair.
pub fn openssl(daemon: &Daemon, args: &[&str], pair: &Pair) {
    let mut command = daemon.netns.command("openssl");
    command.args(args).arg("-keyout").arg(&pair.key).arg("-out").arg(&pair.certificate);
    let output = command.output().expect("openssl is there");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A daemon that listens, without anything else.
pub fn listen(daemon: &Daemon) {
    daemon.ok("PATCH", "/1.0", &json!({"config": {"core.https_address": ADDRESS}}));
}

/// Adds a certificate to the trust store; its URL.
pub fn trust(daemon: &Daemon, pair: &Pair, more: &Value) -> String {
    let mut body = json!({"type": "client", "name": "c", "certificate": pair.base64()});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let before = daemon.get("/1.0/certificates").metadata();
    daemon.ok("POST", "/1.0/certificates", &body);
    let after = daemon.get("/1.0/certificates").metadata();
    let known = |url: &&Value| before.as_array().unwrap().contains(url);
    after.as_array().unwrap().iter().find(|url| !known(url)).unwrap().as_str().unwrap().to_owned()
}

/// A client with a kept connection.
pub struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a client was answered.
#[derive(Debug)]
pub struct Reply {
    pub status: i64,
    pub body: String,
    pub headers: Value,
    /// Connections that the client has needed so far.
    pub connections: i64,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Client {
    pub fn start(daemon: &Daemon, pair: Option<&Pair>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/tls_client.py");
        let (host, port) = ADDRESS.split_once(':').unwrap();
        let mut command = daemon.netns.command("python3");
        command.arg(script).args([host, port]);
        if let Some(pair) = pair {
            command.arg(&pair.certificate).arg(&pair.key);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 is there");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    pub fn send(&mut self, request: &Value) -> Reply {
        writeln!(self.input, "{request}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{request}: {error}"));
        Reply {
            status: answer["status"].as_i64().unwrap(),
            body: answer["body"].as_str().unwrap().to_owned(),
            headers: answer["headers"].clone(),
            connections: answer["connections"].as_i64().unwrap(),
        }
    }

    pub fn call(&mut self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { Value::Null } else { body.clone() };
        self.send(&json!({"method": method, "path": path, "body": body}))
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.call("GET", path, &Value::Null)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
