//! The firewall driver xtables: a host without `nft`, whose chains drop what nobody lets pass.
//!
//! `LXD_TEST_XTABLES` names the folder of an unpacked package `iptables` where it is not installed.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

/// The programs of a host without `nft`.
pub struct Tools {
    folder: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Tools {
    /// With `iptables` of this kind (`legacy` or `nft`); `None` where it is not there.
    pub fn prepare(kind: &str) -> Option<Self> {
        let root = std::env::var_os("LXD_TEST_XTABLES").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let multi = |kind: &str| root.join(format!("usr/sbin/xtables-{kind}-multi"));
        if !multi(kind).exists() || !multi("nft").exists() {
            println!("skipped: iptables is not installed");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("lxdxt").tempdir().unwrap();
        for place in ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
            for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let ours = ["iptables", "ip6tables", "ebtables", "nft"];
                if !ours.iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
                    let _ = symlink(entry.path(), folder.path().join(name));
                }
            }
        }
        for name in ["iptables", "ip6tables"] {
            for end in ["", "-save", "-restore"] {
                symlink(multi(kind), folder.path().join(format!("{name}{end}"))).unwrap();
            }
        }
        // The old ebtables is not in every kernel.
        for name in ["ebtables", "ebtables-restore"] {
            symlink(multi("nft"), folder.path().join(name)).unwrap();
        }
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let env = vec![
            ("PATH", folder.path().display().to_string()),
            ("LD_LIBRARY_PATH", libraries.display().to_string()),
            ("XTABLES_LIBDIR", libraries.join("xtables").display().to_string()),
        ];
        Some(Self { folder, env })
    }

    /// A daemon on such a host.
    pub fn daemon(&self) -> Daemon {
        let env: Vec<(&str, &str)> = self.env.iter().map(|(key, value)| (*key, value.as_str())).collect();
        Daemon::start_with(&env)
    }

    /// What a program of the host says.
    fn ask(&self, daemon: &Daemon, program: &str, args: &[&str]) -> String {
        let mut command: Command =
            daemon.netns.command(&self.folder.path().join(program).display().to_string());
        let output = command.args(args).envs(self.env.iter().cloned()).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// All rules of the host, without counters and comments.
    fn rules(&self, daemon: &Daemon) -> Vec<String> {
        let saved = ["iptables-save", "ip6tables-save"].map(|program| self.ask(daemon, program, &[]));
        let listed = self.ask(daemon, "ebtables", &["-L"]);
        let all = saved.iter().chain([&listed]).flat_map(|text| text.lines());
        all.filter(|line| line.starts_with('-') || line.starts_with("Bridge chain: lxd"))
            .map(str::to_owned)
            .collect()
    }
}

fn nic(more: Value) -> Value {
    let mut nic = json!({"type": "nic", "network": "xtbr0", "name": "eth0"});
    nic.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    nic
}

fn count(rules: &[String], part: &str) -> usize {
    rules.iter().filter(|rule| rule.contains(part)).count()
}

fn everything_is_there_and_goes(kind: &str) {
    let Some(tools) = Tools::prepare(kind) else { return };
    let daemon = tools.daemon().with_pool_and_image();
    for program in ["iptables", "ip6tables"] {
        for chain in ["INPUT", "FORWARD"] {
            tools.ask(&daemon, program, &["-P", chain, "DROP"]);
        }
        tools.ask(&daemon, program, &["-A", "FORWARD", "-i", "other0", "-j", "ACCEPT"]);
        tools.ask(&daemon, program, &["-t", "nat", "-A", "POSTROUTING", "-o", "other0", "-j", "MASQUERADE"]);
    }
    let before = tools.rules(&daemon);
    let config = json!({"ipv4.address": "10.77.3.1/24", "ipv4.nat": "true", "ipv6.address": "fd77:3::1/64", "ipv6.nat": "true"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "xtbr0", "config": config}));
    assert_eq!(daemon.get("/1.0").metadata()["environment"]["firewall"], "xtables");
    let rules = tools.rules(&daemon);
    let comment = "--comment \"generated for LXD network xtbr0\"";
    let nat = "-A POSTROUTING -s 10.77.3.0/24 ! -d 10.77.3.0/24 ";
    let place =
        |rules: &[String], part: &str| rules.iter().position(|rule| rule.contains(part)).expect("a rule");
    assert!(count(&rules, comment) > 20, "{rules:#?}");
    assert!(place(&rules, nat) < place(&rules, "-A POSTROUTING -o other0"), "{rules:#?}");

    // Addresses are given out, though the host lets nothing else in.
    let filtered = json!({"security.mac_filtering": "true", "security.ipv4_filtering": "true"});
    daemon.create("c1", &json!({"devices": {"eth0": nic(filtered)}}));
    daemon.state("c1", "start", "");
    let own = wait_for("an address by DHCP", 30, || {
        let state = daemon.get("/1.0/instances/c1/state").metadata();
        let all = state["network"]["eth0"]["addresses"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|one| one["family"] == "inet")?;
        found["address"].as_str().map(str::to_owned)
    });
    assert_eq!(count(&tools.rules(&daemon), "Bridge chain: lxd"), 2);

    // Keys that only this driver has an order for; an ACL; a forward; a proxy.
    daemon.ok("POST", "/1.0/network-acls", &json!({"name": "web"}));
    let allowed = json!([{"action": "allow", "state": "enabled", "protocol": "tcp", "destination_port": "80,90-99",
        "source": "192.0.2.0/24,198.51.100.1-198.51.100.9"}]);
    daemon.ok("PUT", "/1.0/network-acls/web", &json!({"ingress": allowed, "egress": []}));
    let keys = json!({"ipv4.nat.order": "after", "ipv4.nat.address": "192.0.2.1", "security.acls": "web"});
    daemon.ok("PATCH", "/1.0/networks/xtbr0", &json!({"config": keys}));
    let forward = json!({"listen_address": "192.0.2.7", "config": {"target_address": own}});
    daemon.ok("POST", "/1.0/networks/xtbr0/forwards", &forward);
    let changed = tools.rules(&daemon);
    assert!(place(&changed, nat) > place(&changed, "-A POSTROUTING -o other0"), "{changed:#?}");
    for (part, number) in [
        ("-j SNAT --to-source 192.0.2.1", 1),
        (" -j lxd_acl_xtbr0", 8),
        ("-A lxd_acl_xtbr0 -s 192.0.2.0/24 -o xtbr0 -p tcp -m multiport --dports 80,90:99 -j ACCEPT", 1),
        ("--src-range 198.51.100.1-198.51.100.9", 1),
        ("-d 192.0.2.7/32 ", 2),
    ] {
        assert_eq!(count(&changed, part), number, "{part}: {changed:#?}");
    }
    // A change that is refused leaves all as it was.
    let wrong = json!({"config": {"ipv4.address": "10.77.3.1/24", "raw.dnsmasq": "no-such-option"}});
    daemon.fails("PUT", "/1.0/networks/xtbr0", &wrong);
    assert_eq!(tools.rules(&daemon).len(), changed.len());

    daemon.ok("DELETE", "/1.0/networks/xtbr0/forwards/192.0.2.7", &Value::Null);
    daemon.remove("c1");
    daemon.ok("DELETE", "/1.0/networks/xtbr0", &Value::Null);
    assert_eq!(tools.rules(&daemon), before, "nothing is left, and nothing of others is gone");
}

#[test]
fn a_network_with_everything_in_the_old_tables() {
    everything_is_there_and_goes("legacy");
}

#[test]
fn a_network_with_everything_through_the_tools_of_nftables() {
    everything_is_there_and_goes("nft");
}

fn devices_have_their_rules(kind: &str) {
    let Some(tools) = Tools::prepare(kind) else { return };
    let daemon = tools.daemon().with_pool_and_image();
    let before = tools.rules(&daemon);
    let rule = "-A PREROUTING -d 10.77.3.1/32 -p tcp -m tcp --dport 7301";
    crate::proxies::translated(&daemon, || tools.rules(&daemon).join("\n"), rule);
    daemon.remove("c1");
    daemon.ok("DELETE", "/1.0/networks/npbr0", &Value::Null);
    crate::nics::routed_is_filtered(&daemon);
    assert_eq!(tools.rules(&daemon), before, "nothing is left");
}

#[test]
fn devices_have_their_rules_in_the_old_tables() {
    devices_have_their_rules("legacy");
}

#[test]
fn devices_have_their_rules_through_the_tools_of_nftables() {
    devices_have_their_rules("nft");
}

#[test]
fn a_host_with_nft_uses_it() {
    let daemon = Daemon::start();
    assert!(Path::new("/usr/sbin/nft").exists());
    let config = json!({"ipv4.address": "10.77.3.1/24", "ipv6.address": "none"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "xtbr0", "config": config}));
    assert_eq!(daemon.get("/1.0").metadata()["environment"]["firewall"], "nftables");
}
