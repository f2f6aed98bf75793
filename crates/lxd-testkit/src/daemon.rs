//! A daemon of one's own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Answer, Netns, busybox_image, request, request_raw, wait_for};

/// Path of a binary of this project, as built by `cargo build`.
///
/// # Panics
/// It was not built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("/proc is mounted");
    let folder = test.ancestors().find(|dir| dir.join(name).is_file());
    folder.unwrap_or_else(|| panic!("build {name} first: cargo build --workspace --bins")).join(name)
}

/// A running daemon with a data directory and a network namespace of its own. Dropping it deletes its
/// instances, ends it and removes everything.
pub struct Daemon {
    dir: TempDir,
    /// Its network namespace.
    pub netns: Arc<Netns>,
    child: Option<Child>,
    program: PathBuf,
    env: Vec<(String, String)>,
}

impl Daemon {
    /// Starts one and waits until it is ready.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more environment.
    pub fn start_with(env: &[(&str, &str)]) -> Self {
        Self::start_in(env, |_| ())
    }

    /// Starts one in a data directory that `prepare` made ready before.
    pub fn start_in(env: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        Self::start_prepared(binary("lxd"), env, prepare)
    }

    /// Starts another daemon in place of this project's: the original.
    pub fn start_program(program: PathBuf, env: &[(&str, &str)]) -> Self {
        Self::start_prepared(program, env, |_| ())
    }

    /// Starts another daemon, of this project or the original, in the same network namespace.
    pub fn beside(&self, program: PathBuf, env: &[(&str, &str)]) -> Self {
        Self::start_on(self.netns.clone(), program, env, |_| ())
    }

    fn start_prepared(program: PathBuf, env: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        Self::start_on(Arc::new(Netns::new()), program, env, prepare)
    }

    fn start_on(
        netns: Arc<Netns>,
        program: PathBuf,
        env: &[(&str, &str)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("lxdt").tempdir().expect("a writable temporary folder");
        std::fs::create_dir_all(dir.path().join("conf")).expect("the folder is ours");
        make_traversable(dir.path());
        let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        prepare(&dir.path().join("lxd"));
        let mut daemon = Self { dir, netns, child: None, program, env };
        daemon.launch();
        daemon
    }

    /// The data directory.
    pub fn lxd_dir(&self) -> PathBuf {
        self.dir.path().join("lxd")
    }

    /// The scratch folder around the data directory.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.lxd_dir().join("unix.socket")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Starts the daemon's process (again) and waits until it is ready.
    pub fn launch(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("daemon.out"))
            .expect("the folder is ours");
        let mut command = self.netns.command(&self.program);
        command
            .arg("--logfile")
            .arg(self.dir.path().join("lxd.log"))
            .arg("--debug")
            .env("LXD_DIR", self.lxd_dir())
            // Every transaction must be repeatable.
            .env("LXD_DB_TWICE", "1")
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("descriptors are left"))
            .stderr(log);
        self.child = Some(command.spawn().expect("nsenter is there"));
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let socket = self.socket();
        wait_for("the daemon's first answer", 60, || {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait().expect("it is our child")
            {
                panic!("the daemon ended: {status}\n{}", self.log());
            }
            let answer = request_raw(&socket, "GET", "/internal/ready", &[], b"").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// What the daemon logged so far.
    pub fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        format!("{}{}", read("daemon.out"), read("lxd.log"))
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a child has a pid"), signal).expect("it is our child");
    }

    /// Ends the daemon as `kill -9` does.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// Ends the daemon with SIGTERM; instances go on.
    pub fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let mut child = self.child.take().expect("the daemon runs");
        wait_for("the daemon's end after SIGTERM", 60, || child.try_wait().expect("it is our child"));
    }

    /// Waits until the daemon has ended by itself.
    pub fn wait_end(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        wait_for("the daemon's end", 90, || child.try_wait().expect("it is our child"));
    }

    /// Adds to the environment of the next [`Daemon::launch`].
    pub fn set_env(&mut self, key: &str, value: &str) {
        self.env.push((key.to_owned(), value.to_owned()));
    }

    /// [`Daemon::stop`] and [`Daemon::launch`].
    pub fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// A request without a body.
    pub fn get(&self, path: &str) -> Answer {
        request(&self.socket(), "GET", path, None)
    }

    /// A request with a JSON body; an operation is followed to its end, and its end is the answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = request(&self.socket(), method, path, Some(body));
        if answer.status != 202 {
            return answer;
        }
        let operation = answer.json()["operation"].as_str().unwrap_or_default().to_owned();
        self.get(&format!("{operation}/wait?timeout=120"))
    }

    /// [`Daemon::call`] that must succeed; the result's metadata.
    ///
    /// # Panics
    /// It fails.
    pub fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(method, path, body);
        let json = answer.json();
        let failed =
            answer.status >= 400 || json["metadata"]["status_code"].as_u64().is_some_and(|c| c >= 400);
        assert!(!failed, "{method} {path} {body}: {json}\n{}", self.log());
        json["metadata"].clone()
    }

    /// The text of a failure, of the request or of its operation.
    ///
    /// # Panics
    /// It succeeds.
    pub fn fails(&self, method: &str, path: &str, body: &Value) -> String {
        let answer = self.call(method, path, body);
        let json = answer.json();
        let error = if answer.status >= 400 { &json["error"] } else { &json["metadata"]["err"] };
        let error = error.as_str().unwrap_or_default().to_owned();
        assert!(!error.is_empty(), "{method} {path} {body} must fail: {json}");
        error
    }

    /// A dir pool `default` as root disk of the profile `default`, and the small image under the alias `busybox`.
    pub fn with_pool_and_image(self) -> Self {
        self.ok("POST", "/1.0/storage-pools", &json!({"name": "default", "driver": "dir"}));
        let root = json!({"devices": {"root": {"type": "disk", "path": "/", "pool": "default"}}});
        self.ok("PATCH", "/1.0/profiles/default", &root);
        self.import(&busybox_image(), "busybox");
        self
    }

    /// Imports an image file under an alias; its fingerprint.
    pub fn import(&self, file: &Path, alias: &str) -> String {
        let bytes = std::fs::read(file).expect("the image file is readable");
        let answer =
            request_raw(&self.socket(), "POST", "/1.0/images", &[], &bytes).expect("the daemon answers");
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.bytes));
        let operation = answer.json()["operation"].as_str().unwrap_or_default().to_owned();
        let end = self.get(&format!("{operation}/wait?timeout=60")).json();
        let fingerprint = end["metadata"]["metadata"]["fingerprint"].as_str();
        let fingerprint = fingerprint.unwrap_or_else(|| panic!("import failed: {end}")).to_owned();
        self.ok("POST", "/1.0/images/aliases", &json!({"name": alias, "target": fingerprint}));
        fingerprint
    }

    /// Makes an instance from the small image, with more members in the request.
    pub fn create(&self, name: &str, more: &Value) {
        let mut body = json!({"name": name, "source": {"type": "image", "alias": "busybox"}});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.ok("POST", "/1.0/instances", &body);
    }

    /// Changes the state of an instance.
    pub fn state(&self, name: &str, action: &str, force: &str) {
        let body = json!({"action": action, "timeout": 30, "force": force == "force"});
        self.ok("PUT", &format!("/1.0/instances/{name}/state"), &body);
    }

    /// `status` of an instance; empty when it does not exist.
    pub fn status(&self, name: &str) -> String {
        let answer = self.get(&format!("/1.0/instances/{name}"));
        answer.metadata()["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Runs this project's client against this daemon.
    pub fn lxc(&self, args: &[&str]) -> Output {
        self.client(&binary("lxc"), args)
    }

    /// Runs any client against this daemon, with a time limit.
    pub fn client(&self, program: &Path, args: &[&str]) -> Output {
        self.client_command(program, args).stdin(Stdio::null()).output().expect("timeout is there")
    }

    /// [`Daemon::client`] with a document on its standard input.
    pub fn client_with(&self, program: &Path, args: &[&str], input: &str) -> Output {
        let mut command = self.client_command(program, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("timeout is there");
        // A client that fails before it reads is judged by what it says.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("it is our child")
    }

    /// A client against this daemon, with a time limit.
    pub fn client_command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .arg("60")
            .arg(program)
            .args(args)
            .env("LXD_DIR", self.lxd_dir())
            .env("LXD_CONF", self.dir.path().join("conf"))
            .env("HOME", self.dir.path());
        command
    }

    /// [`Daemon::lxc`] that must succeed; its standard output.
    ///
    /// # Panics
    /// It fails.
    pub fn lxc_ok(&self, args: &[&str]) -> String {
        let output = self.lxc(args);
        assert!(
            output.status.success(),
            "lxc {args:?}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Stops and deletes an instance, whatever it is doing: after a restart of the daemon it may just be started again.
    ///
    /// # Panics
    /// It cannot be removed.
    pub fn remove(&self, name: &str) {
        let url = format!("/1.0/instances/{name}");
        wait_for("the removal of an instance", 30, || {
            self.call("PUT", &format!("{url}/state"), &json!({"action": "stop", "force": true}));
            self.call("DELETE", &url, &Value::Null);
            (self.get(&url).status == 404).then_some(())
        });
    }

    fn clean_up(&mut self) {
        if let Ok(list) = request_raw(&self.socket(), "GET", "/1.0/instances", &[], b"") {
            for url in list.metadata().as_array().into_iter().flatten().filter_map(Value::as_str) {
                self.call("PUT", &format!("{url}/state"), &json!({"action": "stop", "force": true}));
                self.call("DELETE", url, &json!({}));
            }
        }
        if let Ok(list) = request_raw(&self.socket(), "GET", "/1.0/networks?recursion=1", &[], b"") {
            for network in list.metadata().as_array().into_iter().flatten() {
                if network["managed"] == true {
                    let name = network["name"].as_str().unwrap_or_default();
                    // Only PUT takes devices away; a network in use cannot be deleted.
                    self.call("PUT", "/1.0/profiles/default", &json!({"devices": {}}));
                    self.call("DELETE", &format!("/1.0/networks/{name}"), &json!({}));
                }
            }
        }
    }
}

fn make_traversable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)).expect("the folder is ours");
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
        if self.child.is_none() {
            // Killed by the test: its instances may still run.
            self.launch();
        }
        self.clean_up();
        self.signal(rustix::process::Signal::TERM);
        let mut child = self.child.take().expect("the daemon runs");
        for _ in 0..500 {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        // The original leaves the dnsmasq of a changed and deleted network behind.
        for pid in dnsmasq_of(self.dir.path()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        for mount in mounts_below(self.dir.path()) {
            let _ = rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

/// Processes of dnsmasq whose files are below a folder.
fn dnsmasq_of(dir: &Path) -> Vec<rustix::process::Pid> {
    let below = format!("={}/", dir.display());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| {
        let pid = rustix::process::Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (line.starts_with("dnsmasq\0") && line.contains(&below)).then_some(pid)
    });
    pids.collect()
}

/// Mounts below a folder, deepest first.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|mount| mount.starts_with(dir))
        .collect();
    found.sort();
    found.reverse();
    found
}
