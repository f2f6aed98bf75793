//! System calls that the daemon answers, made by processes of containers (`calls.c`).

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use lxd_testkit::{Daemon, wait_for};
use serde_json::json;

/// The program that makes the calls, built once.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let target = lxd_testkit::binary("lxd").with_file_name("test-calls");
        let fresh = target.with_extension(std::process::id().to_string());
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/calls.c");
        let status = Command::new("cc").args(["-static", "-O1", "-o"]).arg(&fresh).arg(source).status();
        assert!(status.expect("a C compiler is there").success());
        std::fs::rename(&fresh, &target).expect("both lie in one folder");
        target
    };
    PROGRAM.get_or_init(build).clone()
}

/// A daemon with a running container `c1` of this configuration that has the program.
fn daemon(config: &[(&str, &str)], devices: &serde_json::Value) -> Daemon {
    let daemon = Daemon::start().with_pool_and_image();
    let mut all = serde_json::Map::new();
    for (key, value) in config {
        all.insert(format!("security.syscalls.intercept.{key}"), json!(value));
    }
    daemon.create("c1", &json!({"config": all, "devices": devices}));
    daemon.state("c1", "start", "");
    wait_for("the image's init", 20, || {
        daemon.lxc(&["exec", "c1", "--", "test", "-e", "/run/booted"]).status.success().then_some(())
    });
    daemon.lxc_ok(&["file", "push", "--mode", "755", program().to_str().unwrap(), "c1/root/calls"]);
    daemon
}

/// What a shell command prints in `c1`, in one line.
fn inside(daemon: &Daemon, command: &str) -> String {
    let output = daemon.lxc(&["exec", "c1", "--cwd", "/root", "--", "sh", "-c", command]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const EIGHT: [(u32, u32); 8] = [(0, 0), (5, 1), (1, 7), (1, 3), (1, 8), (5, 0), (1, 9), (1, 5)];

#[test]
fn the_eight_nodes_are_made_and_no_other() {
    let daemon = daemon(&[("mknod", "true")], &json!({}));
    for (major, minor) in EIGHT {
        let path = format!("n-{major}-{minor}");
        assert_eq!(inside(&daemon, &format!("./calls mknod {path} c {major} {minor} 666")), "ok 0");
        let shown = inside(&daemon, &format!("stat -c '%F %t:%T %u:%g %a' {path}"));
        assert_eq!(shown, format!("character special file {major:x}:{minor:x} 0:0 644"));
    }
    assert_eq!(inside(&daemon, "echo x > n-1-3 && head -c 2 n-1-5 | od -An -c"), "\\0 \\0");
    for (arguments, answer) in [
        ("mknod mem c 1 1 666", "errno 1"),
        ("mknod tun c 10 200 666", "errno 1"),
        ("mknod sda b 8 0 666", "errno 1"),
        ("mknod pipe p 0 0 600", "ok 0"),
        // What the kernel would say.
        ("mknod n-1-3 c 1 3 666", "errno 17"),
        ("mknod /none/x c 1 3 666", "errno 2"),
        ("mknod calls/x c 1 3 666", "errno 20"),
        ("mknod x/ c 1 3 666", "errno 2"),
        ("wrong", "errno 14"),
        ("endless", "errno 14"),
        // With the caller's rights, root, umask and directories.
        // Who has no CAP_MKNOD may make nothing but marks of overlay file systems.
        ("-u 1000 mknod /tmp/x c 1 3 666", "errno 1"),
        ("-u 1000 mknod /root/x c 0 0 666", "errno 13"),
        ("-u 1000 mknod /tmp/user c 0 0 600", "ok 0"),
        ("-r /root mknod /root-is-here c 1 3 600", "ok 0"),
        ("-m 077 mknod umask c 1 3 666", "ok 0"),
        ("mknodat /root at c 1 3 600", "ok 0"),
        ("mknodat /none /root/absolute c 1 3 600", "ok 0"),
        ("mknodat /none relative c 1 3 600", "errno 9"),
    ] {
        assert_eq!(inside(&daemon, &format!("./calls {arguments}")), answer, "{arguments}");
    }
    assert_eq!(
        inside(&daemon, "stat -c %a umask; stat -c %u /tmp/user; ls root-is-here at absolute"),
        "600 1000 absolute at root-is-here"
    );
    // Links lead where they lead inside.
    let outside = daemon.scratch().join("node");
    let link = format!(
        "mkdir -p .{0}; ln -s {0} away; ./calls mknod away/node c 1 3 600",
        daemon.scratch().display()
    );
    assert_eq!(inside(&daemon, &link), "errno 2");
    assert_eq!(
        inside(&daemon, "ln -s /tmp near; ./calls mknod near/node c 1 3 600; ls /tmp/node"),
        "ok 0 /tmp/node"
    );
    assert!(!outside.exists());
    assert_eq!(inside(&daemon, "busybox mknod bb c 1 3 && stat -c %t:%T bb"), "1:3");
}

#[test]
fn overlay_marks_are_set_and_no_other() {
    let daemon = daemon(&[("setxattr", "true")], &json!({}));
    for (arguments, answer) in [
        (". trusted.overlay.opaque y", "ok 0"),
        (". trusted.overlay.other y", "errno 1"),
        (". trusted.overlay.opaque yy", "errno 1"),
        (". user.mine y", "ok 0"),
        ("calls trusted.overlay.opaque y", "errno 1"),
        ("/none trusted.overlay.opaque y", "errno 2"),
    ] {
        assert_eq!(inside(&daemon, &format!("./calls setxattr {arguments}")), answer, "{arguments}");
    }
    // Who has no CAP_SYS_ADMIN may not, of its own directories neither.
    let own = "mkdir -m 777 /tmp/own; chown 1000 /tmp/own; ./calls -u 1000 setxattr /tmp/own trusted.overlay.opaque y";
    assert_eq!(inside(&daemon, own), "errno 1");
    let path = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs/root");
    let mut value = [0_u8; 8];
    let length = rustix::fs::getxattr(&path, "trusted.overlay.opaque", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"y");
}

/// A loop device with an ext4 file system, detached with the test.
struct Loop(String);

impl Loop {
    fn new(daemon: &Daemon, name: &str) -> Self {
        let image = daemon.scratch().join(name);
        std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        assert!(Command::new("mkfs.ext4").arg("-qF").arg(&image).status().unwrap().success());
        let output = Command::new("losetup").args(["-f", "--show"]).arg(&image).output().unwrap();
        Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn allowed_file_systems_are_mounted() {
    let daemon = daemon(&[("mount", "true"), ("mount.allowed", "hugetlbfs")], &json!({}));
    let device = Loop::new(&daemon, "device.img");
    let foreign = Loop::new(&daemon, "foreign.img");
    let devices = json!({"blk": {"type": "unix-block", "source": device.0, "path": "/dev/blk"}});
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"devices": devices}));
    inside(&daemon, "mkdir -p /mnt/a; ln -s a /mnt/link");
    let mount = |arguments: &str| inside(&daemon, &format!("./calls mount {arguments}"));
    // What is not allowed, the kernel decides.
    assert_eq!(mount("/dev/blk /mnt/a ext4 0 ''"), "errno 1");
    assert_eq!(mount("none /mnt/a tmpfs 0 size=1M"), "ok 0");
    inside(&daemon, "umount /mnt/a");
    assert_eq!(mount("none /mnt/a hugetlbfs 0 gid=5"), "ok 0");
    assert_eq!(
        inside(&daemon, "stat -c %u:%g:%T -f /mnt/a >/dev/null; stat -c %u:%g /mnt/a; umount /mnt/a"),
        "0:5"
    );
    assert_eq!(mount("none /mnt/a hugetlbfs 0 min_size=2M"), "errno 1");
    // The list is looked at anew.
    let key = "security.syscalls.intercept.mount.allowed";
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {key: "ext4"}}));
    assert_eq!(mount("/dev/blk /mnt/a ext4 0 errors=panic"), "errno 1");
    // The device is opened as the flags say, and mounted as it was opened.
    assert_eq!(mount("/dev/blk /mnt/a ext4 1 rw"), "errno 1");
    assert_eq!(mount("/dev/blk /mnt/a ext4 1 ''"), "ok 0");
    assert_eq!(inside(&daemon, "grep -c '/mnt/a ext4 ro,' /proc/mounts; touch /mnt/a/x; umount /mnt/a"), "1");
    assert_eq!(mount("/dev/none /mnt/a ext4 0 ''"), "errno 2");
    assert_eq!(mount("/dev/null /mnt/a ext4 0 ''"), "errno 15");
    assert_eq!(inside(&daemon, "./calls -u 1000 mount /dev/blk /mnt/a ext4 0 ''"), "errno 1");
    assert_eq!(mount("/dev/blk /mnt/link ext4 8 ''"), "ok 0");
    let shown = inside(&daemon, "grep /mnt/a /proc/mounts");
    assert!(shown.starts_with("/dev/blk /mnt/a ext4 rw,nodev,noexec,"), "{shown}");
    // Nodes on what the container writes must not become devices of the host: nobody inside takes "nodev" away.
    assert_eq!(mount("none /mnt/a none 0x1028 ''"), "errno 1");
    assert_eq!(mount("none /mnt/a none 0x102c ''"), "ok 0");
    assert_eq!(inside(&daemon, "stat -c %u /mnt/a; umount /mnt/a; grep -c /mnt/a /proc/mounts"), "65534 0");
    let key = "security.syscalls.intercept.mount.shift";
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {key: "true"}}));
    assert_eq!(mount("/dev/blk /mnt/a ext4 0 ''"), "ok 0");
    assert_eq!(inside(&daemon, "touch /mnt/a/f && stat -c %u /mnt/a /mnt/a/f; umount /mnt/a"), "0 0");
    // A node that is no device of the instance is not mounted, though it be on its own disk.
    let node = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs/root/own");
    let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(&foreign.0).unwrap());
    let (kind, mode) = (rustix::fs::FileType::BlockDevice, 0o666.into());
    rustix::fs::mknodat(rustix::fs::CWD, &node, kind, mode, number).unwrap();
    assert_eq!(mount("/root/own /mnt/a ext4 0 ''"), "errno 1");
    assert_eq!(mount("/dev/blk /mnt/a ext4 0 ''"), "ok 0");
    inside(&daemon, "umount /mnt/a");
    assert!(
        daemon.call("PUT", "/1.0/instances/c1/state", &json!({"action": "stop", "force": true})).status < 300
    );
}

#[test]
fn device_programs_are_loaded_into_the_container_s_own_groups() {
    let daemon = daemon(&[("bpf", "true"), ("bpf.devices", "true")], &json!({}));
    assert_eq!(inside(&daemon, "mkdir /mnt/g; mount -t cgroup2 none /mnt/g; ./calls devices /mnt/g"), "ok 0");
    assert_eq!(
        inside(&daemon, "mkdir /mnt/g/x; ./calls devices /mnt/g/x; ./calls devices /tmp"),
        "ok 0 errno 9"
    );
    assert_eq!(inside(&daemon, "./calls -u 1000 devices /mnt/g"), "errno 13");
}

#[test]
fn calls_survive_daemons_and_the_daemon_survives_callers() {
    let mut daemon = daemon(&[("mknod", "true")], &json!({}));
    // One that calls all the time, and notes the answers.
    let calls =
        "while :; do ./calls mknod k c 1 3 600 >> answers; rm -f k; usleep 20000; done >/dev/null 2>&1 &";
    inside(&daemon, calls);
    let answered = |daemon: &Daemon, answer: &str| {
        let path = daemon.lxd_dir().join("storage-pools/default/containers/c1/rootfs/root/answers");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().last().is_some_and(|last| last == answer).then_some(())
    };
    wait_for("an answer", 10, || answered(&daemon, "ok 0"));
    daemon.kill();
    // ENOSYS: the call is not there.
    wait_for("the answer of nobody", 10, || answered(&daemon, "errno 38"));
    daemon.launch();
    wait_for("an answer of the next daemon", 10, || answered(&daemon, "ok 0"));
    let killed = "for i in 1 2 3 4 5 6 7 8 9; do ./calls loop l$i 100000 & p=$!; usleep 20000; kill -9 $p; wait $p; done; ./calls mknod last c 1 3 600";
    assert!(inside(&daemon, killed).ends_with("ok 0"));
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

/// liblxc's attach now and then fails when the filter asks the daemon (dependencies.md); the command then runs once all the same.
#[test]
fn commands_run_exactly_once_beside_the_listener() {
    let daemon = daemon(&[("mknod", "true")], &json!({}));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..40 {
                    daemon.lxc_ok(&["exec", "c1", "--", "sh", "-c", "echo x >> /root/runs"]);
                }
            });
        }
    });
    assert_eq!(inside(&daemon, "wc -l < runs"), "160");
}

#[test]
fn privileged_containers_call_the_kernel_themselves() {
    let daemon = Daemon::start().with_pool_and_image();
    let config = json!({"security.privileged": "true", "security.syscalls.intercept.mknod": "true"});
    daemon.create("c1", &json!({"config": config}));
    daemon.state("c1", "start", "");
    let conf = std::fs::read_to_string(daemon.lxd_dir().join("logs/c1/lxc.conf")).unwrap();
    assert!(!conf.contains("notify"), "{conf}");
}
