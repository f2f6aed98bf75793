//! What the host has or an administrator switches off: lxcfs, AppArmor, mounts that shift ids.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lxd_testkit::{Daemon, binary, wait_for};
use serde_json::json;

/// An lxcfs of the test's own, in the daemon's mount namespace; ended with the test.
struct Lxcfs {
    scratch: tempfile::TempDir,
}

impl Lxcfs {
    /// The daemon as a program that starts lxcfs first: it is looked for in one place of the file system only.
    fn daemon(&self) -> PathBuf {
        let (program, scratch) = (self.scratch.path().join("lxd"), self.scratch.path());
        let script = format!(
            "#!/bin/sh\nset -e\n\
             [ -n \"$INSIDE\" ] || INSIDE=1 exec unshare --mount --propagation private \"$0\" \"$@\"\n\
             mkdir -p {scratch}/tree && mount --bind {scratch}/tree /var/lib/lxcfs\n\
             lxcfs -f -p {scratch}/pid /var/lib/lxcfs </dev/null >{scratch}/log 2>&1 &\n\
             for try in $(seq 200); do [ -e /var/lib/lxcfs/proc/meminfo ] && break; sleep 0.05; done\n\
             exec {daemon} \"$@\"\n",
            scratch = scratch.display(),
            daemon = binary("lxd").display(),
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        program
    }
}

impl Drop for Lxcfs {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.scratch.path().join("pid")) {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
    }
}

#[test]
fn lxcfs_shows_the_limits() {
    if !Path::new("/usr/bin/lxcfs").exists() {
        println!("skipped: /usr/bin/lxcfs (package lxcfs) is not installed");
        return;
    }
    let lxcfs = Lxcfs { scratch: tempfile::tempdir().unwrap() };
    let daemon = Daemon::start_program(lxcfs.daemon(), &[]).with_pool_and_image();
    daemon.create("c1", &json!({"config": {"limits.memory": "64MiB", "limits.cpu": "1"}}));
    daemon.state("c1", "start", "");
    let total = || daemon.lxc_ok(&["exec", "c1", "--", "grep", "MemTotal", "/proc/meminfo"]);
    let kilobytes = |text: &str| text.split_whitespace().nth(1).map(str::to_owned);
    assert_eq!(kilobytes(&total()).as_deref(), Some("65536"), "{}", daemon.log());
    let processors = daemon.lxc_ok(&["exec", "c1", "--", "grep", "-c", "^processor", "/proc/cpuinfo"]);
    assert_eq!(processors.trim(), "1");
    let uptime = daemon.lxc_ok(&["exec", "c1", "--", "cat", "/proc/uptime"]);
    let seconds: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
    assert!(seconds < 60.0, "of the instance, not of the host: {uptime}");
    daemon.ok("PATCH", "/1.0/instances/c1", &json!({"config": {"limits.memory": "128MiB"}}));
    wait_for("the new limit", 10, || (kilobytes(&total()).as_deref() == Some("131072")).then_some(()));
    daemon.state("c1", "stop", "force");
    daemon.remove("c1");
}

#[test]
fn variables_switch_things_off() {
    let env = [
        ("LXD_SECURITY_APPARMOR", "false"),
        ("LXD_IDMAPPED_MOUNTS_DISABLE", "1"),
        ("LXD_OVMF_PATH", "/usr/share/OVMF"),
    ];
    let daemon = Daemon::start_with(&env).with_pool_and_image();
    let server = daemon.get("/1.0").metadata();
    assert_eq!(server["environment"]["kernel_features"]["idmapped_mounts"], "false");
    let raised = wait_for("the warning", 10, || {
        let warnings = daemon.get("/1.0/warnings?recursion=1").metadata();
        let found =
            warnings.as_array()?.iter().find(|w| w["type"] == "AppArmor support has been disabled")?;
        Some(found["last_message"].clone())
    });
    assert_eq!(raised, "Manually disabled");
    assert!(daemon.log().contains("LXD_OVMF_PATH has no effect"));
    daemon.create("c1", &json!({}));
    let start = json!({"action": "start", "timeout": 30});
    let refused = daemon.fails("PUT", "/1.0/instances/c1/state", &start);
    assert!(refused.contains("LXD_IDMAPPED_MOUNTS_DISABLE"), "{refused}");
    daemon.create("c2", &json!({"config": {"security.privileged": "true"}}));
    daemon.state("c2", "start", "");
}
