//! A real system: Debian 12 with systemd boots, gets its address, knows its neighbours by name and shuts down cleanly.

use std::path::PathBuf;

use lxd_testkit::{Daemon, wait_for};
use serde_json::json;

/// The image, a unified tarball that `LXD_TEST_DEBIAN` names. Making one takes a minute and a mirror, so it is not made here.
fn image() -> Option<PathBuf> {
    let named = std::env::var_os("LXD_TEST_DEBIAN").map(PathBuf::from).filter(|path| path.is_file());
    if named.is_none() {
        println!("skipped: LXD_TEST_DEBIAN names no image of Debian 12 with systemd");
    }
    named
}

#[test]
fn debian_boots_and_shuts_down() {
    let Some(image) = image() else { return };
    let daemon = Daemon::start().with_pool_and_image();
    daemon.import(&image, "debian");
    let config = json!({"ipv4.address": "10.94.1.1/24", "ipv6.address": "fd42:94::1/64"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "debbr0", "config": config}));
    let nic = json!({"devices": {"eth0": {"type": "nic", "network": "debbr0", "name": "eth0"}}});
    daemon.ok("PATCH", "/1.0/profiles/default", &nic);
    for name in ["one", "two"] {
        daemon.lxc_ok(&["launch", "debian", name]);
    }
    for name in ["one", "two"] {
        wait_for("systemd", 60, || {
            let state = daemon.lxc(&["exec", name, "--", "systemctl", "is-system-running"]);
            (String::from_utf8_lossy(&state.stdout).trim() == "running").then_some(())
        });
    }
    let address = wait_for("an address by DHCP", 30, || {
        let found = daemon.lxc_ok(&["exec", "one", "--", "ip", "-4", "-o", "addr", "show", "eth0"]);
        let cidr = found.split_whitespace().nth(3)?.to_owned();
        cidr.starts_with("10.94.1.").then(|| cidr.split('/').next().unwrap_or_default().to_owned())
    });
    wait_for("the neighbour's name", 30, || {
        let found = daemon.lxc(&["exec", "two", "--", "getent", "ahostsv4", "one.lxd"]);
        String::from_utf8_lossy(&found.stdout).contains(&address).then_some(())
    });
    // Without force: only an init that ends by itself does.
    for name in ["one", "two"] {
        daemon.state(name, "stop", "");
        assert_eq!(daemon.status(name), "Stopped");
    }
    for name in ["one", "two"] {
        daemon.remove(name);
    }
}
