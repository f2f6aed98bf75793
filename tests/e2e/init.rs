//! `lxd init` as a user runs it: flags, documents and the way back, questions on a terminal.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use lxd_testkit::{Daemon, binary};
use serde_json::{Value, json};

fn init(daemon: &Daemon, args: &[&str], input: &str) -> Output {
    // In the namespace: it looks for free subnets and makes a bridge.
    let mut command = daemon.netns.command("timeout");
    command.arg("60").arg(binary("lxd")).arg("init").args(args).env("LXD_DIR", daemon.lxd_dir());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("nsenter is there");
    // It may end without reading all of it.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it is our child")
}

fn good(daemon: &Daemon, args: &[&str], input: &str) -> String {
    let output = init(daemon, args, input);
    assert!(
        output.status.success(),
        "{args:?}: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        daemon.log()
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn names(daemon: &Daemon, list: &str) -> Vec<String> {
    let urls = daemon.get(&format!("/1.0/{list}")).metadata();
    urls.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a preseed may change.
fn state(daemon: &Daemon) -> Value {
    let profile = daemon.get("/1.0/profiles/default").metadata();
    json!({
        "config": daemon.get("/1.0").metadata()["config"],
        "pools": names(daemon, "storage-pools"),
        "profiles": names(daemon, "profiles"),
        "default": [profile["config"], profile["devices"], profile["description"]],
        "managed": daemon.get("/1.0/networks?recursion=1").metadata().as_array().unwrap().iter()
            .filter(|network| network["managed"] == true).map(|network| network["name"].clone()).collect::<Vec<_>>(),
    })
}

#[test]
fn minimal_and_auto() {
    let daemon = Daemon::start();
    good(&daemon, &["--minimal"], "");
    let devices = daemon.get("/1.0/profiles/default").metadata()["devices"].clone();
    assert_eq!(devices["root"], json!({"type": "disk", "path": "/", "pool": "default"}));
    assert_eq!(devices["eth0"], json!({"type": "nic", "name": "eth0", "network": "lxdbr0"}));

    let daemon = Daemon::start();
    let args = [
        "--auto",
        "--network-address",
        "127.0.0.1",
        "--network-port",
        "9050",
        "--storage-backend",
        "dir",
        "--trust-password",
        "sekret",
    ];
    good(&daemon, &args, "");
    let server = daemon.get("/1.0").metadata();
    assert_eq!(server["config"]["core.https_address"], "127.0.0.1:9050");
    assert_eq!(server["config"]["core.trust_password"], true);
    assert_eq!(names(&daemon, "storage-pools"), ["/1.0/storage-pools/default"]);
    let again = init(&daemon, &["--auto", "--storage-backend", "nosuch"], "");
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn a_dump_is_a_preseed() {
    let daemon = Daemon::start();
    let preseed = "config:\n  user.greeting: hello\nstorage_pools:\n- name: one\n  driver: dir\n  description: first\n\
                   networks:\n- name: seedbr0\n  type: bridge\n  config:\n    ipv4.address: 10.93.1.1/24\n    ipv6.address: none\n\
                   profiles:\n- name: default\n  devices:\n    root:\n      type: disk\n      path: /\n      pool: one\n\
                   - name: extra\n  description: more\n  config:\n    limits.memory: 64MiB\n";
    good(&daemon, &["--preseed"], preseed);
    let dump = good(&daemon, &["--dump"], "");
    let before = state(&daemon);
    good(&daemon, &["--preseed"], &dump);
    assert_eq!(state(&daemon), before, "applying one's own dump changes nothing");

    let other = Daemon::start();
    // But for where its pool lies.
    let dump: Vec<&str> = dump.lines().filter(|line| !line.contains("source: ")).collect();
    good(&other, &["--preseed"], &(dump.join("\n") + "\n"));
    assert_eq!(state(&other), before, "another server becomes the same");
}

#[test]
fn a_failing_preseed_leaves_nothing_behind() {
    let daemon = Daemon::start();
    daemon.ok("PATCH", "/1.0", &json!({"config": {"user.old": "1"}}));
    let before = state(&daemon);
    let config = "config:\n  user.new: '2'\n  core.https_address: 127.0.0.1:9051\n";
    let pool = "storage_pools:\n- name: one\n  driver: dir\n";
    let network = "networks:\n- name: seedbr1\n  type: bridge\n  config:\n    ipv4.address: 10.93.2.1/24\n    ipv6.address: none\n";
    let profile = "profiles:\n- name: default\n  description: changed\n  config:\n    limits.memory: 64MiB\n- name: extra\n";
    for bad in [
        "config:\n  no.such: '1'\n".to_owned(),
        format!("{config}storage_pools:\n- name: one\n  driver: nosuch\n"),
        format!(
            "{config}{pool}networks:\n- name: seedbr1\n  type: bridge\n  config:\n    ipv4.address: nonsense\n"
        ),
        format!("{config}{pool}{network}{profile}- name: third\n  config:\n    no.such: '1'\n"),
        format!(
            "{config}{pool}{network}profiles:\n- name: default\n  devices:\n    root:\n      type: nosuch\n"
        ),
        "config: [1]\n".to_owned(),
    ] {
        let output = init(&daemon, &["--preseed"], &bad);
        assert_eq!(output.status.code(), Some(1), "{bad}");
        assert!(!output.stderr.is_empty());
        assert_eq!(state(&daemon), before, "{bad}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    good(&daemon, &["--preseed"], &format!("{config}{pool}{network}{profile}"));
    assert_eq!(names(&daemon, "profiles").len(), 2);
}

#[test]
fn questions_on_a_terminal() {
    let daemon = Daemon::start();
    let script = daemon.scratch().join("dialogue.exp");
    // Each question must come, in this order, before its answer is sent.
    let dialogue = [
        ("Would you like to use LXD clustering", "no"),
        ("Do you want to configure a new storage pool", "yes"),
        ("Name of the new storage pool", "mine"),
        ("Would you like to connect to a MAAS server", ""),
        ("Would you like to create a new local network bridge", "maybe"),
        ("Invalid input", ""),
        ("Would you like to create a new local network bridge", "yes"),
        ("What should the new bridge be called", "askbr0"),
        ("What IPv4 address should be used", "10.93.3.1/24"),
        ("Would you like LXD to NAT IPv4 traffic on your bridge", "yes"),
        ("What IPv6 address should be used", "none"),
        ("Would you like the LXD server to be available over the network", "yes"),
        ("Address to bind LXD to", "127.0.0.1"),
        ("Port to bind LXD to", "9052"),
        ("Trust password for new clients", "sekret"),
        ("Again", "sekret"),
        ("Would you like stale cached images to be updated automatically", "no"),
        ("Would you like a YAML \\\"lxd init\\\" preseed to be printed", "yes"),
    ];
    let mut text = format!(
        "set timeout 20\nspawn nsenter --net=/run/netns/{} -- {} init\n",
        daemon.netns.name,
        binary("lxd").display()
    );
    for (question, answer) in dialogue {
        let say =
            if question == "Invalid input" { String::new() } else { format!("send -- \"{answer}\\r\"\n") };
        text.push_str(&format!(
            "expect {{\n -ex \"{question}\" {{}}\n \
             -ex \"Name of the storage backend\" {{ send -- \"dir\\r\"; exp_continue }}\n timeout {{ puts \"NO QUESTION: {question}\"; exit 9 }}\n \
             eof {{ puts \"ENDED BEFORE: {question}\"; exit 9 }}\n}}\n{say}"
        ));
    }
    text.push_str("expect eof\ncatch wait result\nexit [lindex $result 3]\n");
    std::fs::write(&script, text).unwrap();
    let output = Command::new("expect")
        .arg(&script)
        .env("LXD_DIR", daemon.lxd_dir())
        .output()
        .expect("expect is there");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    assert!(
        !shown.contains("sekret\r\n") || shown.contains("core.trust_password: sekret"),
        "hidden while typed: {shown}"
    );
    for part in ["storage_pools:", "name: mine", "name: askbr0", "ipv4.address: 10.93.3.1/24"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let config = daemon.get("/1.0").metadata()["config"].clone();
    assert_eq!(config["core.https_address"], "127.0.0.1:9052");
    assert_eq!(config["images.auto_update_interval"], "0");
    assert_eq!(daemon.get("/1.0/networks/askbr0").metadata()["config"]["ipv4.nat"], "true");
}
