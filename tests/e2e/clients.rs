//! The clients that people use: Debian's `lxc` and ours, against this daemon.

use std::path::{Path, PathBuf};
use std::process::Output;

use lxd_testkit::{Daemon, binary, busybox_image, wait_for};

/// Debian's client, when it is installed (`scripts/test` installs it).
fn original() -> Option<PathBuf> {
    let path = Path::new("/usr/bin/lxc");
    if !path.exists() {
        println!("skipped: /usr/bin/lxc (package lxd-client) is not installed");
        return None;
    }
    Some(path.to_owned())
}

/// The original daemon, when it is installed.
fn original_daemon() -> Option<Daemon> {
    let path = Path::new("/usr/bin/lxd");
    if !path.exists() {
        println!("skipped: /usr/bin/lxd (package lxd) is not installed");
        return None;
    }
    Some(Daemon::start_program(path.to_owned(), &[]))
}

/// A client and the daemon that it drives.
struct Driver {
    daemon: Daemon,
    client: PathBuf,
    /// The daemon finds its bridges: the original looks for them in `/sys`, which is the host's here.
    attaches: bool,
}

impl Driver {
    /// Runs a command that must succeed; its standard output.
    fn run(&self, args: &[&str]) -> String {
        self.checked(args, &self.daemon.client(&self.client, args))
    }

    /// [`Driver::run`] with a document on standard input.
    fn feed(&self, args: &[&str], input: &str) -> String {
        self.checked(args, &self.daemon.client_with(&self.client, args, input))
    }

    fn checked(&self, args: &[&str], output: &Output) -> String {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{:?} {args:?}: {out}{err}\n{}", self.client, self.daemon.log());
        out.into_owned()
    }

    /// Runs a command that must fail; the last line of its error text.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.daemon.client(&self.client, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines().last().unwrap_or_default().to_owned()
    }

    fn everything(&self) {
        self.instance();
        self.files();
        self.documents();
        self.console();
        self.profiles();
        self.volumes();
        self.networks();
        self.images();
        self.end();
    }

    /// A container is made, started, listed, used.
    fn instance(&self) {
        self.run(&["launch", "busybox", "c1", "-c", "user.note=hello"]);
        wait_for("the image's init", 20, || {
            let booted = ["exec", "c1", "--", "test", "-e", "/run/booted"];
            self.daemon.client(&self.client, &booted).status.success().then_some(())
        });
        assert_eq!(self.run(&["list", "-f", "csv", "-c", "ns"]).trim(), "c1,RUNNING");
        assert_eq!(self.run(&["list", "user.note=hello", "-f", "csv", "-c", "n"]).trim(), "c1");
        assert_eq!(self.run(&["list", "^x", "-f", "csv", "-c", "n"]), "");
        assert_eq!(self.run(&["exec", "c1", "--", "hostname"]).trim(), "c1");
        assert_eq!(self.feed(&["exec", "c1", "--", "cat"], "through\n"), "through\n");
        let failing = self.daemon.client(&self.client, &["exec", "c1", "--", "sh", "-c", "exit 7"]);
        assert_eq!(failing.status.code(), Some(7));
        let info = self.run(&["info", "c1"]);
        assert!(info.contains("Status: RUNNING") && info.contains("Processes:"), "{info}");
        self.run(&["pause", "c1"]);
        assert_eq!(self.run(&["list", "-f", "csv", "-c", "s"]).trim(), "FROZEN");
        self.run(&["start", "c1"]);
        self.run(&["restart", "c1", "--force"]);
        assert!(self.run(&["query", "/1.0/instances/c1/state"]).contains("\"status\": \"Running\""));
    }

    fn files(&self) {
        let file = self.daemon.scratch().join("hello.txt");
        std::fs::write(&file, "hello from outside\n").unwrap();
        self.run(&["file", "push", "-p", "--mode=0600", file.to_str().unwrap(), "c1/root/d/hello.txt"]);
        assert_eq!(self.run(&["exec", "c1", "--", "stat", "-c", "%a", "/root/d/hello.txt"]).trim(), "600");
        assert_eq!(self.feed(&["file", "push", "-", "c1/root/d/stdin"], "typed\n"), "");
        assert_eq!(self.run(&["file", "pull", "c1/root/d/stdin", "-"]), "typed\n");
        let back = self.daemon.scratch().join("back");
        std::fs::create_dir(&back).unwrap();
        self.run(&["file", "pull", "-r", "c1/root/d", back.to_str().unwrap()]);
        assert_eq!(std::fs::read_to_string(back.join("d/hello.txt")).unwrap(), "hello from outside\n");
        self.run(&["file", "push", "-r", back.join("d").to_str().unwrap(), "c1/tmp/"]);
        assert_eq!(self.run(&["exec", "c1", "--", "cat", "/tmp/d/stdin"]), "typed\n");
        self.run(&["file", "delete", "c1/root/d/stdin"]);
    }

    /// Keys, and whole documents by `edit`.
    fn documents(&self) {
        assert_eq!(self.run(&["config", "get", "c1", "user.note"]).trim(), "hello");
        self.run(&["config", "set", "c1", "limits.memory", "64MiB"]);
        self.run(&["config", "set", "c1", "user.a=1", "user.b=2"]);
        self.run(&["config", "unset", "c1", "user.b"]);
        let shown = self.run(&["config", "show", "c1"]);
        assert!(shown.contains("limits.memory: 64MiB") && !shown.contains("user.b"), "{shown}");
        self.feed(&["config", "edit", "c1"], &shown.replace("user.a: \"1\"", "user.a: edited"));
        assert_eq!(self.run(&["config", "get", "c1", "user.a"]).trim(), "edited");
        assert_eq!(self.run(&["config", "get", "c1", "limits.memory"]).trim(), "64MiB");
        self.run(&["config", "device", "add", "c1", "nothing", "none"]);
        assert!(self.run(&["config", "device", "list", "c1"]).lines().any(|name| name == "nothing"));
        self.run(&["config", "device", "remove", "c1", "nothing"]);
        self.run(&["config", "set", "user.server=yes"]);
        assert_eq!(self.run(&["config", "get", "user.server"]).trim(), "yes");
        let wrong = self.refused(&["config", "set", "c1", "limits.memory", "much"]);
        assert_eq!(wrong, "Error: Invalid config: Invalid value: much");
    }

    /// The console is attached from a terminal and left by its escape keys.
    fn console(&self) {
        if !Path::new("/usr/bin/expect").exists() {
            println!("skipped: /usr/bin/expect (package expect) is not installed");
            return;
        }
        let script = format!(
            "set timeout 20; spawn -noecho {} console c1; expect detach {{}} timeout {{exit 9}}; after 500; \
             send \\001; after 300; send q; expect eof {{}} timeout {{exit 8}}",
            self.client.display()
        );
        let output = self.daemon.client(Path::new("/usr/bin/expect"), &["-c", &script]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    fn profiles(&self) {
        self.run(&["profile", "create", "p1"]);
        self.feed(&["profile", "edit", "p1"], "config:\n  user.p: x\ndescription: by hand\ndevices: {}\n");
        assert_eq!(self.run(&["profile", "get", "p1", "user.p"]).trim(), "x");
        self.run(&["profile", "add", "c1", "p1"]);
        assert!(self.run(&["config", "show", "c1", "--expanded"]).contains("user.p: x"));
        assert_eq!(self.refused(&["profile", "delete", "p1"]), "Error: Profile is currently in use");
        self.run(&["profile", "remove", "c1", "p1"]);
        self.run(&["profile", "rename", "p1", "p2"]);
        self.run(&["profile", "delete", "p2"]);
    }

    fn volumes(&self) {
        self.run(&["storage", "volume", "create", "default", "v1"]);
        self.run(&["storage", "volume", "attach", "default", "v1", "c1", "/mnt/v1"]);
        self.run(&["exec", "c1", "--", "sh", "-c", "echo kept > /mnt/v1/f"]);
        let listed = self.run(&["storage", "volume", "list", "default", "-f", "csv", "-c", "tnu"]);
        assert!(listed.lines().any(|line| line == "custom,v1,1"), "{listed}");
        let refused = self.refused(&["storage", "volume", "create", "default", "a/b"]);
        assert_eq!(refused, "Error: Storage volume names may not contain slashes");
        self.run(&["storage", "volume", "detach", "default", "v1", "c1"]);
        self.run(&["storage", "volume", "set", "default", "v1", "user.k", "v"]);
        assert!(self.run(&["storage", "volume", "show", "default", "v1"]).contains("user.k: v"));
        self.run(&["storage", "volume", "delete", "default", "v1"]);
    }

    fn networks(&self) {
        self.run(&["network", "create", "lxdtbr9", "ipv4.address=10.219.9.1/24", "ipv6.address=none"]);
        let listed = self.run(&["network", "list", "-f", "csv"]);
        assert!(listed.contains("lxdtbr9,bridge,YES,10.219.9.1/24,none"), "{listed}");
        if self.attaches {
            self.run(&["network", "attach", "lxdtbr9", "c1", "nic7", "eth7"]);
            assert!(self.run(&["exec", "c1", "--", "ls", "/sys/class/net"]).contains("eth7"));
            self.run(&["network", "detach", "lxdtbr9", "c1"]);
        }
        self.run(&["network", "set", "lxdtbr9", "user.k=v"]);
        assert_eq!(self.run(&["network", "get", "lxdtbr9", "user.k"]).trim(), "v");
        self.run(&["network", "delete", "lxdtbr9"]);
    }

    fn images(&self) {
        self.run(&["image", "alias", "create", "other", &self.fingerprint()]);
        let listed = self.run(&["image", "list", "-f", "csv", "-c", "lt"]);
        assert_eq!(listed.trim(), "other (1 more),CONTAINER");
        self.run(&["image", "set-property", "other", "kind", "test"]);
        assert_eq!(self.run(&["image", "get-property", "other", "kind"]).trim(), "test");
        let file = self.daemon.scratch().join("exported");
        self.run(&["image", "export", "other", file.to_str().unwrap()]);
        let fingerprint = self.fingerprint();
        self.run(&["image", "delete", "other"]);
        assert_eq!(self.run(&["image", "list", "-f", "csv"]), "");
        let file = file.with_extension("tar.gz");
        self.run(&["image", "import", file.to_str().unwrap(), "--alias", "again", "kind=back"]);
        assert_eq!(self.fingerprint(), fingerprint);
        assert!(self.run(&["image", "show", "again"]).contains("kind: back"));
    }

    fn fingerprint(&self) -> String {
        self.run(&["image", "list", "-f", "csv", "-c", "F"]).trim().to_owned()
    }

    fn end(&self) {
        self.run(&["stop", "--force", "c1"]);
        self.run(&["rename", "c1", "c2"]);
        self.run(&["delete", "c2"]);
        assert_eq!(self.refused(&["info", "c1"]), "Error: Instance not found");
        assert_eq!(
            self.run(&["operation", "list", "-f", "csv"]).lines().filter(|l| l.contains("RUNNING")).count(),
            0
        );
    }
}

#[test]
fn the_original_client_drives_this_daemon() {
    if let Some(client) = original() {
        Driver { daemon: Daemon::start().with_pool_and_image(), client, attaches: true }.everything();
    }
}

#[test]
fn our_client_drives_this_daemon() {
    Driver { daemon: Daemon::start().with_pool_and_image(), client: binary("lxc"), attaches: true }
        .everything();
}

#[test]
fn our_client_drives_the_original_daemon() {
    if let Some(daemon) = original_daemon() {
        let daemon = daemon.with_pool_and_image();
        Driver { daemon, client: binary("lxc"), attaches: false }.everything();
    }
}

/// What the two clients print when they look at the same things.
#[test]
fn both_clients_print_the_same() {
    let Some(client) = original() else { return };
    let daemon = Daemon::start().with_pool_and_image();
    daemon.create("c1", &serde_json::json!({"config": {"user.a": "x"}}));
    daemon.ok("PUT", "/1.0", &serde_json::json!({"config": {"user.b": "y"}}));
    let ours = binary("lxc");
    // The first run of all prints hints and makes the configuration.
    assert!(daemon.client(&client, &["list"]).status.success());
    let nouns = ["list", "image list", "profile list", "network list", "storage list", "warning list"];
    let lists = nouns.iter().flat_map(|noun| {
        ["table", "csv", "json", "yaml", "compact"].map(|format| format!("{noun} --format {format}"))
    });
    let others = "config show|config show c1|config show c1 --expanded|config get c1 user.a|profile show default|\
        image show busybox|image alias list|storage show default|storage info default|\
        storage volume list default|storage volume show default container/c1|network show lo|remote list|alias list|\
        remote get-default|config device show c1|config device list c1|config template list c1|config metadata show c1|\
        config trust list|info nosuch|list -c x|list --format nosuch|config get c1|frobnicate|list --nosuch|\
        profile get default nosuch|query /1.0/profiles|query --raw /1.0/nosuch|storage get default source|\
        image info nosuch|config show nosuch|profile show nosuch|delete nosuch|start nosuch|exec nosuch -- true|\
        file pull c1/nosuch -|network info lo|operation show nosuch|warning show nosuch|nosuch: list|list nosuch:";
    for line in lists.chain(others.split('|').map(str::to_owned)) {
        let args: Vec<&str> = line.split_whitespace().collect();
        let [theirs, ours] = [&client, &ours].map(|client| daemon.client(client, &args));
        let seen = |output: &Output| {
            // What others write to the same disk meanwhile is nobody's difference.
            let text = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                text.split_inclusive('\n').filter(|line| !line.contains("space used")).collect::<String>()
            };
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        assert_eq!(seen(&ours), seen(&theirs), "lxc {line}");
    }
}

#[test]
fn pylxd_drives_this_daemon() {
    let Some(python) = pylxd() else { return };
    let daemon = Daemon::start().with_pool_and_image();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/drive_pylxd.py");
    let image = busybox_image();
    let output = daemon.client(&python, &[script, image.to_str().unwrap()]);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("pylxd is content"), "{text}\n{}", daemon.log());
}

/// A Python with pylxd, in an environment beside the binaries; made by `scripts/test`.
fn pylxd() -> Option<PathBuf> {
    let python = binary("lxd").with_file_name("pylxd").join("bin/python");
    if !python.exists() {
        println!("skipped: {} is not there (scripts/test makes it)", python.display());
        return None;
    }
    Some(python)
}
