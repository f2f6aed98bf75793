//! The clients that people use: Debian's `lxc` and ours, against this daemon.

use std::path::{Path, PathBuf};

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

/// A container's life by one client; what it prints where it matters.
fn life(client: &Path) {
    let daemon = Daemon::start().with_pool_and_image();
    let run = |args: &[&str]| {
        let output = daemon.client(client, args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{client:?} {args:?}: {out}{err}\n{}", daemon.log());
        out.into_owned()
    };
    run(&["launch", "busybox", "c1", "-c", "user.note=hello"]);
    wait_for("the image's init", 20, || {
        daemon
            .client(client, &["exec", "c1", "--", "test", "-e", "/run/booted"])
            .status
            .success()
            .then_some(())
    });
    assert_eq!(run(&["list", "-f", "csv", "-c", "ns"]).trim(), "c1,RUNNING");
    assert_eq!(run(&["exec", "c1", "--", "hostname"]).trim(), "c1");
    assert_eq!(daemon.client(client, &["exec", "c1", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(run(&["config", "get", "c1", "user.note"]).trim(), "hello");
    run(&["config", "set", "c1", "limits.memory", "64MiB"]);
    let file = daemon.scratch().join("hello.txt");
    std::fs::write(&file, "hello from outside\n").unwrap();
    run(&["file", "push", file.to_str().unwrap(), "c1/root/hello.txt"]);
    assert_eq!(run(&["exec", "c1", "--", "cat", "/root/hello.txt"]), "hello from outside\n");
    let back = daemon.scratch().join("back.txt");
    run(&["file", "pull", "c1/root/hello.txt", back.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(back).unwrap(), "hello from outside\n");
    run(&["profile", "create", "p1"]);
    run(&["profile", "add", "c1", "p1"]);
    run(&["stop", "--force", "c1"]);
    run(&["delete", "c1"]);
    let missing = daemon.client(client, &["info", "c1"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&missing.stderr).trim(), "Error: Instance not found");
}

#[test]
fn the_original_client_drives_this_daemon() {
    if let Some(client) = original() {
        life(&client);
    }
}

#[test]
fn our_client_drives_this_daemon() {
    life(&binary("lxc"));
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
