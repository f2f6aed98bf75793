//! Bridges of Open vSwitch: an own one per test, with its userspace datapath, in the daemon's network namespace.

use std::path::{Path, PathBuf};
use std::process::Command;

use lxd_testkit::{Daemon, wait_for};
use serde_json::{Value, json};

/// Open vSwitch's programs for a test; they end with it.
struct Switch {
    folder: tempfile::TempDir,
}

impl Switch {
    /// `None` where Open vSwitch is not installed.
    fn prepare() -> Option<Self> {
        if !Path::new("/usr/sbin/ovs-vswitchd").exists() {
            println!("skipped: Open vSwitch is not installed");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("lxdovs").tempdir().unwrap();
        // A bridge of the kernel's datapath needs a module: bridges are made in user space here.
        let wrapper = "#!/bin/bash\nbr= prev=; for a in \"$@\"; do [ \"$prev\" = add-br ] && br=$a; prev=$a; done\n\
            /usr/bin/ovs-vsctl \"$@\" || exit $?\n\
            [ -z \"$br\" ] || /usr/bin/ovs-vsctl set bridge \"$br\" datapath_type=netdev\n";
        let file = folder.path().join("ovs-vsctl");
        std::fs::write(&file, wrapper).unwrap();
        std::os::unix::fs::chown(&file, Some(0), Some(0)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, mode).unwrap();
        Some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, daemon: &Daemon) {
        let socket = format!("unix:{}", self.path("db.sock").display());
        let database = self.path("conf.db");
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run(Command::new("ovsdb-tool").arg("create").arg(&database).arg(schema));
        let common = |name: &str| {
            [
                "--detach".to_owned(),
                "--no-chdir".to_owned(),
                self.option("--pidfile=", name, "pid"),
                self.option("--log-file=", name, "log"),
            ]
        };
        let remote = format!("--remote=punix:{}", self.path("db.sock").display());
        let mut server = daemon.netns.command("ovsdb-server");
        run(self.env(server.args(common("ovsdb-server")).arg(remote).arg(&database)));
        run(Command::new("/usr/bin/ovs-vsctl").arg(format!("--db={socket}")).args(["--no-wait", "init"]));
        let mut switch = daemon.netns.command("ovs-vswitchd");
        run(self.env(switch.args(common("ovs-vswitchd")).arg(socket)));
    }

    fn option(&self, option: &str, name: &str, suffix: &str) -> String {
        format!("{option}{}", self.path(&format!("{name}.{suffix}")).display())
    }

    fn env<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("OVS_RUNDIR", self.folder.path()).env("OVS_LOGDIR", self.folder.path())
    }

    fn ask(&self, args: &[&str]) -> String {
        let mut command = Command::new("/usr/bin/ovs-vsctl");
        let output = self.env(command.args(args)).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for name in ["ovs-vswitchd.pid", "ovsdb-server.pid"] {
            let pid = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            let known = std::fs::read_to_string(format!("/proc/{}/comm", pid.trim())).unwrap_or_default();
            if known.starts_with("ovs") {
                let _ = Command::new("kill").arg(pid.trim()).status();
            }
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn host(daemon: &Daemon, args: &[&str]) -> String {
    let output = daemon.netns.command("ip").args(args).output().expect("ip is there");
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn in_instance(daemon: &Daemon, instance: &str, args: &[&str]) -> (bool, String) {
    let pid = daemon.get(&format!("/1.0/instances/{instance}/state")).metadata()["pid"].to_string();
    let enter = ["--target", &pid, "--net", "--mount", "--root", "--"];
    let output = Command::new("nsenter").args(enter).args(args).output().expect("nsenter is there");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn address(daemon: &Daemon, instance: &str, address: &str) {
    in_instance(daemon, instance, &["/bin/ip", "addr", "add", address, "dev", "eth0"]);
}

fn reaches(daemon: &Daemon, instance: &str, address: &str) -> bool {
    in_instance(daemon, instance, &["/bin/ping", "-c", "1", "-W", "1", address]).0
}

fn nic(more: Value) -> Value {
    let mut nic = json!({"type": "nic", "network": "ovbr0", "name": "eth0"});
    for (key, value) in more.as_object().into_iter().flatten() {
        nic[key] = value.clone();
    }
    json!({"devices": {"eth0": nic}})
}

#[test]
fn a_network_on_open_vswitch_separates_vlans() {
    let Some(switch) = Switch::prepare() else { return };
    let path = format!("{}:{}", switch.folder.path().display(), std::env::var("PATH").unwrap());
    let folder = switch.folder.path().display().to_string();
    let mut daemon = Daemon::start_with(&[("OVS_RUNDIR", &folder), ("PATH", &path)]).with_pool_and_image();
    switch.start(&daemon);
    let config = json!({
        "bridge.driver": "openvswitch", "ipv4.address": "10.77.6.1/24", "ipv6.address": "none",
        "bridge.hwaddr": "00:16:3e:01:02:03"
    });
    daemon.ok("POST", "/1.0/networks", &json!({"name": "ovbr0", "config": config}));
    assert_eq!(switch.ask(&["list-br"]), "ovbr0");
    wait_for("the bridge's own address", 10, || {
        host(&daemon, &["link", "show", "dev", "ovbr0"]).contains("00:16:3e:01:02:03").then_some(())
    });

    // Without a VLAN: DHCP from the network.
    daemon.create("c0", &nic(json!({})));
    daemon.state("c0", "start", "");
    wait_for("an address by DHCP", 30, || {
        let text = in_instance(&daemon, "c0", &["/bin/ip", "-4", "addr", "show", "eth0"]).1;
        text.contains("inet 10.77.6.").then_some(())
    });

    for (name, vlan) in [("c1", "5"), ("c2", "5"), ("c3", "6")] {
        daemon.create(name, &nic(json!({"vlan": vlan})));
        daemon.state(name, "start", "");
        let port =
            daemon.get(&format!("/1.0/instances/{name}")).metadata()["config"]["volatile.eth0.host_name"]
                .clone();
        assert_eq!(switch.ask(&["get", "port", port.as_str().unwrap(), "tag"]), vlan);
    }
    address(&daemon, "c1", "10.99.0.1/24");
    address(&daemon, "c2", "10.99.0.2/24");
    address(&daemon, "c3", "10.99.0.3/24");
    wait_for("an answer in the same VLAN", 20, || reaches(&daemon, "c1", "10.99.0.2").then_some(()));
    assert!(!reaches(&daemon, "c1", "10.99.0.3"), "another VLAN does not answer");

    // A restart finds the bridge as it is: nobody is cut off.
    let ports = switch.ask(&["list-ports", "ovbr0"]);
    daemon.restart();
    assert_eq!(switch.ask(&["list-ports", "ovbr0"]), ports);
    assert!(reaches(&daemon, "c1", "10.99.0.2"));

    // The driver cannot change under instances.
    let error = daemon.fails("PATCH", "/1.0/networks/ovbr0", &json!({"config": {"bridge.driver": "native"}}));
    assert!(error.contains("cannot be changed while"), "{error}");

    daemon.state("c3", "stop", "force");
    daemon.ok("PATCH", "/1.0/instances/c3", &nic(json!({"vlan": "none", "vlan.tagged": "6,8-9"})));
    daemon.state("c3", "start", "");
    let port = daemon.get("/1.0/instances/c3").metadata()["config"]["volatile.eth0.host_name"].clone();
    assert_eq!(
        switch.ask(&["get", "port", port.as_str().unwrap(), "trunks", "vlan_mode"]),
        "[6, 8, 9]\ntrunk"
    );

    // Interfaces of the host come and go.
    host(&daemon, &["link", "add", "ext0", "type", "veth", "peer", "name", "ext1"]);
    daemon.lxc_ok(&["network", "set", "ovbr0", "bridge.external_interfaces=ext0"]);
    assert!(switch.ask(&["list-ports", "ovbr0"]).contains("ext0"));
    daemon.lxc_ok(&["network", "unset", "ovbr0", "bridge.external_interfaces"]);
    assert!(!switch.ask(&["list-ports", "ovbr0"]).contains("ext0"));

    for name in ["c0", "c1", "c2", "c3"] {
        daemon.remove(name);
    }
    assert_eq!(switch.ask(&["list-ports", "ovbr0"]), "");
    daemon.lxc_ok(&["network", "set", "ovbr0", "bridge.driver=native"]);
    assert_eq!(switch.ask(&["list-br"]), "");
    daemon.lxc_ok(&["network", "set", "ovbr0", "bridge.driver=openvswitch"]);
    assert_eq!(switch.ask(&["list-br"]), "ovbr0");
    daemon.ok("DELETE", "/1.0/networks/ovbr0", &Value::Null);
    assert_eq!(switch.ask(&["list-br"]), "");
}

#[test]
fn vlans_need_a_bridge_that_filters() {
    let daemon = Daemon::start().with_pool_and_image();
    let config = json!({"ipv4.address": "10.77.6.1/24", "ipv6.address": "none"});
    daemon.ok("POST", "/1.0/networks", &json!({"name": "ovbr0", "config": config}));
    daemon.create("c1", &nic(json!({"vlan": "5"})));
    if host(&daemon, &["-d", "link", "show", "dev", "ovbr0"]).contains("vlan_default_pvid") {
        daemon.state("c1", "start", "");
        let port = daemon.get("/1.0/instances/c1").metadata()["config"]["volatile.eth0.host_name"].clone();
        let output =
            daemon.netns.command("bridge").args(["vlan", "show", "dev"]).arg(port.as_str().unwrap()).output();
        let text = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
        assert!(text.contains("5 PVID Egress Untagged"), "{text}");
    } else {
        println!("skipped: this kernel does not filter VLANs on bridges");
        let error = daemon.fails("PUT", "/1.0/instances/c1/state", &json!({"action": "start"}));
        assert!(error.contains("Failed getting bridge VLAN status for \"ovbr0\""), "{error}");
    }
}
