//! Other programs' firewall rules and listeners that keep a network from working are told, with the remedy.

use lxd_testkit::{Daemon, wait_for};
use serde_json::json;

fn host(daemon: &Daemon, script: &str) {
    let output = daemon.netns.command("sh").args(["-c", script]).output().expect("sh is there");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The message of the unresolved warning of a type, if there is one.
fn warning(daemon: &Daemon, kind: &str) -> Option<String> {
    let all = daemon.get("/1.0/warnings?recursion=1").metadata();
    let all = all.as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|warning| warning["type"] == kind && warning["status"] != "resolved")?;
    found["last_message"].as_str().map(str::to_owned)
}

const KIND: &str = "Other firewall rules block a network";

#[test]
fn rules_that_block_a_network_become_a_warning_with_a_remedy() {
    let daemon = Daemon::start();
    host(
        &daemon,
        "nft 'add table ip filter; add chain ip filter DOCKER-USER; add chain ip filter FORWARD { type filter hook forward \
         priority 0; policy drop; }; add rule ip filter FORWARD jump DOCKER-USER'",
    );
    let config = json!({"ipv4.address": "10.77.5.1/24", "ipv6.address": "none"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "clbr0", "config": config}));
    let text = wait_for("the warning", 20, || warning(&daemon, KIND));
    assert!(
        text.starts_with("Docker drops forwarded packets of network \"clbr0\" (chain ip filter FORWARD"),
        "{text}"
    );
    assert!(text.contains("iptables -I DOCKER-USER -i clbr0 -j ACCEPT"), "{text}");
    // After the remedy it is resolved.
    host(&daemon, "nft 'add rule ip filter DOCKER-USER iifname \"clbr0\" accept'");
    wait_for("the end of the warning", 20, || warning(&daemon, KIND).is_none().then_some(()));
    // What comes later is found, too.
    host(
        &daemon,
        "nft 'add table inet late; add chain inet late i { type filter hook input priority 0; policy drop; }'",
    );
    let text = wait_for("the other warning", 20, || warning(&daemon, KIND));
    assert!(text.contains("chain inet late i, policy drop"), "{text}");
}

#[test]
fn a_taken_port_is_told_with_the_process_that_has_it() {
    let daemon = Daemon::start();
    let mut other = daemon
        .netns
        .command("dnsmasq")
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--port=53"])
        .spawn()
        .expect("dnsmasq is there");
    wait_for("the other's socket", 20, || {
        let output = daemon.netns.command("cat").arg("/proc/net/udp").output().ok()?;
        String::from_utf8_lossy(&output.stdout).contains(":0035 ").then_some(())
    });
    let config = json!({"ipv4.address": "10.77.5.1/24", "ipv6.address": "none"});
    let error = daemon.fails("POST", "/1.0/networks", &json!({"name": "clbr0", "config": config.clone()}));
    let wanted = format!("Port 53 of 10.77.5.1 is taken by process \"dnsmasq\" (pid {})", other.id());
    assert!(error.contains(&wanted) && error.contains("Address already in use"), "{error}");
    other.kill().unwrap();
    other.wait().unwrap();
    daemon.ok("POST", "/1.0/networks", &json!({"name": "clbr0", "config": config}));
}
