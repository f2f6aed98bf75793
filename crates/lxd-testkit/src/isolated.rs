//! Tests in a network namespace of their own, so that bridges, addresses and firewall rules never meet the host's.

use std::process::Command;

/// Set in the process that runs inside the namespace.
const INSIDE: &str = "LXD_TESTKIT_NETNS";

/// Runs the calling test again in a process with a network and mount namespace of its own, and says whether the
/// caller *is* that process. Call it first in a test with the test's full path:
///
/// ```no_run
/// # fn a_bridge_has_an_address() {
/// if !lxd_testkit::isolated::inside("a_bridge_has_an_address") {
///     return; // ran inside, in the other process
/// }
/// # }
/// ```
///
/// The loopback interface is up and `/sys` shows the namespace.
///
/// # Panics
/// When the test fails inside, or when the namespace cannot be made (root is needed).
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some_and(|name| name == test) {
        return true;
    }
    let program = std::env::current_exe().expect("a test has an executable");
    let prepare = "mount -t sysfs sysfs /sys && ip link set lo up && exec \"$@\"";
    let status = Command::new("timeout")
        .args(["--kill-after=5", "120", "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"])
        .args(["--kill-child", "sh", "-c", prepare, "sh"])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .status()
        .expect("unshare starts");
    assert!(status.success(), "{test} failed inside its network namespace");
    false
}
