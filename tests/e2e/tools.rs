//! Tools that manage instances for their users, unchanged, against this daemon. Ansible's collection `community.general`: the
//! modules `lxd_project`, `lxd_profile` and `lxd_container` (REST API) and the connection plugin `lxd` (the client `lxc`).
//! Packer's builder `lxd` (the client `lxc`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lxd_testkit::{Daemon, binary};
use serde_json::json;

/// Both clients that can be behind a tool.
fn clients() -> impl Iterator<Item = PathBuf> {
    let original = PathBuf::from("/usr/bin/lxc");
    if !original.exists() {
        println!("skipped: /usr/bin/lxc (package lxd-client) is not installed");
    }
    [binary("lxc"), original].into_iter().filter(|client| client.exists())
}

/// Runs a program that calls `lxc`: this one.
fn run(daemon: &Daemon, client: &Path, program: &Path, args: &[&str], env: &[(&str, &str)]) -> String {
    let programs = daemon.scratch().join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(client, programs.join("lxc")).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output: Output = Command::new("timeout")
        .args(["--kill-after=5", "300"])
        .arg(program)
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/tools"))
        .envs([("PATH", path.as_str()), ("LC_ALL", "C.UTF-8")])
        .env("LXD_DIR", daemon.lxd_dir())
        .env("LXD_CONF", daemon.scratch().join("conf"))
        .env("HOME", daemon.scratch())
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("timeout is there");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{program:?} with {client:?}: {text}\n{}", daemon.log());
    text
}

#[test]
fn ansible_drives_this_daemon() {
    let place = binary("lxd").with_file_name("ansible");
    let program = place.join("bin/ansible-playbook");
    if !program.exists() {
        println!("skipped: {} is not there (scripts/test makes it)", program.display());
        return;
    }
    for client in clients() {
        let daemon = Daemon::start().with_pool_and_image();
        let config = json!({"ipv4.address": "10.77.9.1/24", "ipv6.address": "none"});
        daemon.ok("POST", "/1.0/networks", &json!({"name": "ansbr0", "config": config}));
        let collections = place.join("collections");
        let env = [("ANSIBLE_COLLECTIONS_PATH", collections.to_str().unwrap()), ("ANSIBLE_NOCOLOR", "1")];
        let text = run(&daemon, &client, &program, &["-i", "localhost,", "playbook.yml"], &env);
        assert_eq!(daemon.get("/1.0/instances?all-projects=true").metadata(), json!([]), "{text}");
        assert_eq!(daemon.get("/1.0/projects").metadata(), json!(["/1.0/projects/default"]), "{text}");
    }
}

#[test]
fn packer_builds_an_image() {
    let program = Path::new("/usr/bin/packer");
    if !program.exists() {
        println!("skipped: /usr/bin/packer (package packer) is not installed");
        return;
    }
    for client in clients() {
        let daemon = Daemon::start().with_pool_and_image();
        let args = ["build", "-color=false", "packer.json"];
        let text = run(&daemon, &client, program, &args, &[("CHECKPOINT_DISABLE", "1")]);
        assert_eq!(daemon.get("/1.0/instances").metadata(), json!([]), "{text}");
        let image = daemon.get("/1.0/images/aliases/packed").metadata();
        let image = daemon.get(&format!("/1.0/images/{}", image["target"].as_str().expect(&text))).metadata();
        assert_eq!(image["properties"]["description"], "made by packer");
        // What the provisioner made is in it.
        daemon.create("c1", &json!({"source": {"type": "image", "alias": "packed"}}));
        assert_eq!(daemon.get("/1.0/instances/c1/files?path=/root/built").bytes, b"built\n", "{text}");
    }
}
