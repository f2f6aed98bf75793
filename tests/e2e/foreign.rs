//! A data directory that another LXD made: the daemon refuses it, changes nothing in it and says what to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lxd_testkit::{Netns, binary, wait_for};

/// The reference, if it is installed.
const REFERENCE: &str = "/usr/bin/lxd";

/// Everything below a folder: modes, times, targets of links, bytes.
fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        let what = match () {
            () if meta.is_file() => format!("{:?}", std::fs::read(&path).unwrap_or_default()),
            () if meta.is_symlink() => format!("{:?}", std::fs::read_link(&path)),
            () => String::new(),
        };
        if meta.is_dir() {
            left.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
        let stamp = (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec());
        found.insert(path, format!("{stamp:?} {what}"));
    }
    found
}

/// Our daemon refuses this directory and leaves every byte and every time as it is.
fn is_refused(dir: &Path) {
    let before = contents(dir);
    assert!(!before.is_empty());
    let netns = Netns::new();
    for more in [&[][..], &["--debug", "--group", "root"][..]] {
        let output = netns
            .command("timeout")
            .arg("30")
            .arg(binary("lxd"))
            .args(more)
            .env("LXD_DIR", dir)
            .stdin(Stdio::null())
            .output()
            .expect("timeout is there");
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for word in ["another LXD", "nothing was changed", "LXD_DIR", "lxc copy"] {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
        let after = contents(dir);
        let changed: Vec<_> = after.iter().filter(|(path, what)| before.get(*path) != Some(what)).collect();
        assert!(changed.is_empty(), "{:?}", changed.iter().map(|(path, _)| path).collect::<Vec<_>>());
        assert_eq!(after.len(), before.len());
    }
}

/// Runs the reference once in a directory of its own; with a dump of its database when `sync` is set.
/// `nsenter` and `exec` keep the pid: the child is the daemon itself.
fn made_by_the_reference(dir: &Path, sync: bool) {
    let netns = Netns::new();
    let mut daemon = netns
        .command(REFERENCE)
        .env("LXD_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is executable");
    let run = |program: &str, args: &[&str]| {
        let mut command = netns.command("timeout");
        command.arg("30").arg(program).args(args).env("LXD_DIR", dir).env("LXD_CONF", dir.parent().unwrap());
        command.stdin(Stdio::null()).output().expect("timeout is there")
    };
    wait_for("the reference", 60, || {
        run(REFERENCE, &["waitready", "--timeout=5"]).status.success().then_some(())
    });
    if sync {
        let output = run(REFERENCE, &["sql", "global", ".sync"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(dir.join("database/global/db.bin").exists());
    }
    // A clean end would write a dump, too.
    let _ = daemon.kill();
    let _ = daemon.wait();
    for mount in ["shmounts", "devlxd", "guestapi"] {
        let _ = Command::new("umount").arg("-l").arg(dir.join(mount)).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_directory_of_the_reference_is_left_alone() {
    if !Path::new(REFERENCE).is_file() {
        println!("skipped: {REFERENCE} is not installed");
        return;
    }
    for sync in [false, true] {
        let scratch = tempfile::Builder::new().prefix("lxdt").tempdir().expect("a writable temporary folder");
        let dir = scratch.path().join("lxd");
        std::fs::create_dir(&dir).unwrap();
        made_by_the_reference(&dir, sync);
        is_refused(&dir);
    }
}

/// What the oldest directories have at least: files of dqlite, or a database without our mark.
#[test]
fn files_of_another_database_are_enough() {
    for (name, bytes) in [
        ("database/global/metadata1", &b"\0"[..]),
        ("database/global/open-1", b"\0"),
        ("database/global/0000000000000001-0000000000000002", b"\0"),
        ("database/global/db.bin", b"SQLite format 3\0"),
        ("database/local.db", b"SQLite format 3\0 and more that is not ours"),
    ] {
        let scratch = tempfile::Builder::new().prefix("lxdt").tempdir().expect("a writable temporary folder");
        let file = scratch.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, bytes).unwrap();
        std::fs::write(scratch.path().join("unix.socket"), "").unwrap();
        is_refused(scratch.path());
    }
}
