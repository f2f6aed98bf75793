//! A web server in a daemon's network, which misbehaves as a test wants, and serves as a proxy.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use lxd_testkit::{Daemon, Netns, busybox_image, wait_for};
use serde_json::{Value, json};

/// The server; it ends with the test.
pub struct Web {
    child: Child,
    netns: Arc<Netns>,
    dir: PathBuf,
    port: u16,
    tls: bool,
}

impl Web {
    /// A server of the files below `tree`, without TLS.
    pub fn start(daemon: &Daemon, tree: &Path, port: u16) -> Self {
        Self::begin(daemon, tree, port, false)
    }

    /// The same with TLS and a certificate of its own.
    pub fn start_tls(daemon: &Daemon, tree: &Path, port: u16) -> Self {
        Self::begin(daemon, tree, port, true)
    }

    /// A server without TLS on another machine: `10.99.0.2`, with the daemon's at `10.99.0.1`.
    pub fn start_elsewhere(daemon: &Daemon, tree: &Path, port: u16) -> Self {
        let other = Arc::new(Netns::new());
        let ip = |netns: &str, args: &[&str]| {
            let mut command = Command::new("ip");
            assert!(command.args(["-n", netns]).args(args).status().unwrap().success(), "{args:?}");
        };
        let peer = ["peer", "name", "cable", "netns", &other.name];
        ip(&daemon.netns.name, &[&["link", "add", "cable", "type", "veth"][..], &peer].concat());
        for (netns, address) in [(&daemon.netns.name, "10.99.0.1/24"), (&other.name, "10.99.0.2/24")] {
            ip(netns, &["addr", "add", address, "dev", "cable"]);
            ip(netns, &["link", "set", "cable", "up"]);
        }
        Self::begin_in(daemon, other, tree, port, false)
    }

    fn begin(daemon: &Daemon, tree: &Path, port: u16, tls: bool) -> Self {
        Self::begin_in(daemon, daemon.netns.clone(), tree, port, tls)
    }

    fn begin_in(daemon: &Daemon, netns: Arc<Netns>, tree: &Path, port: u16, tls: bool) -> Self {
        let dir = daemon.scratch().join(format!("web-{port}"));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("rules"), "{}").unwrap();
        std::fs::write(dir.join("log"), "").unwrap();
        if tls && !dir.join("crt").exists() {
            make_certificate(&dir);
        }
        let child = spawn(&netns, &dir, tree, port, tls);
        let web = Self { child, netns, dir, port, tls };
        wait_for("the web server", 20, || {
            let mut probe = web.netns.command("curl");
            let url = format!("{}/probe", web.url());
            let status = probe.args(["-sk", "-o", "/dev/null", &url]).status().unwrap();
            status.success().then_some(())
        });
        std::fs::write(web.dir.join("log"), "").unwrap();
        web
    }

    /// Its URL on the loopback interface.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// Its certificate (PEM).
    pub fn certificate(&self) -> String {
        std::fs::read_to_string(self.dir.join("crt")).unwrap()
    }

    /// Makes it misbehave, see `web_server.py`.
    pub fn rules(&self, rules: &Value) {
        let fresh = self.dir.join("rules.new");
        std::fs::write(&fresh, rules.to_string()).unwrap();
        std::fs::rename(fresh, self.dir.join("rules")).unwrap();
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap();
        std::fs::write(self.dir.join("log"), "").unwrap();
        log.lines().map(str::to_owned).collect()
    }
}

fn make_certificate(dir: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
    ]);
    openssl.args(["-subj", "/CN=web", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"]);
    openssl.arg(dir.join("key")).arg("-out").arg(dir.join("crt")).stderr(Stdio::null());
    assert!(openssl.status().expect("openssl is there").success());
}

fn spawn(netns: &Netns, dir: &Path, tree: &Path, port: u16, tls: bool) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/web_server.py");
    let mut command = netns.command("python3");
    command.arg(script).arg(port.to_string()).arg(tree).arg(dir.join("rules")).arg(dir.join("log"));
    if tls {
        command.arg(dir.join("crt")).arg(dir.join("key"));
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 is there")
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds a version of an image to a simplestreams tree.
pub fn add_version(tree: &Path, version: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/make_simplestreams.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(tree).arg(busybox_image()).arg(version);
    assert!(command.status().unwrap().success());
}

/// The source of a request: an alias of the simplestreams server at a URL.
pub fn stream(url: &str, alias: &str) -> Value {
    json!({"type": "image", "mode": "pull", "server": url, "protocol": "simplestreams", "alias": alias})
}
