//! A container for tests: a root file system that borrows `/usr` of the host and a shell script as init.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use lxd_container::{Containers, Mount, Rootfs, Running, Spec};
use lxd_host::Helper;
use lxd_types::IdMap;

const INIT: &str = "#!/bin/sh
trap 'kill -KILL $child; exit 0' PWR
echo init started
: > /run/booted
while :; do sleep 3600 & child=$!; wait; done
";

/// A directory like `LXD_DIR` with one container in it; everything is removed at the end.
pub struct World {
    pub dir: tempfile::TempDir,
    pub containers: Containers,
    started: std::sync::Mutex<Vec<Running>>,
}

impl Drop for World {
    fn drop(&mut self) {
        // After a failed test: nothing may stay.
        for running in self.started.lock().unwrap().iter() {
            let _ = running.signal(9);
        }
    }
}

impl World {
    /// None when this is not root on a machine with liblxc.
    pub fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let containers = Containers::new(Helper::open(&helper()).unwrap()).ok()?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        Some(Self { dir, containers, started: Default::default() })
    }

    /// An unprivileged container.
    pub fn spec(&self, name: &str) -> Spec {
        let rootfs = self.dir.path().join(name).join("rootfs");
        make_rootfs(&rootfs);
        Spec {
            name: name.into(),
            hostname: name.into(),
            lxcpath: self.dir.path().into(),
            log_dir: self.dir.path().join("logs").join(name),
            log_level: "trace".into(),
            rootfs: Rootfs { path: rootfs, idmapped: true, read_only: false },
            idmap: IdMap::range(100_000, 65_536).unwrap(),
            personality: "linux64".into(),
            mounts: vec![Mount {
                source: "/usr".into(),
                target: "usr".into(),
                fs_type: "none".into(),
                options: vec!["rbind".into(), "ro".into()],
            }],
            ..Spec::default()
        }
    }

    /// Starts it and waits until its init is at work.
    pub async fn start(&self, spec: &Spec) -> Running {
        let running = match self.containers.start(spec).await {
            Ok(running) => running,
            Err(error) => {
                let log = std::fs::read_to_string(spec.log_dir.join("lxc.log")).unwrap_or_default();
                panic!("{}\n{log}", error.chain());
            }
        };
        self.started.lock().unwrap().push(running.clone());
        while !spec.rootfs.path.join("run/booted").exists() {
            assert!(running.alive(), "ended at once");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        running
    }
}

fn make_rootfs(rootfs: &Path) {
    for dir in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var"] {
        std::fs::create_dir_all(rootfs.join(dir)).unwrap();
    }
    for dir in ["bin", "sbin", "lib", "lib64", "lib32"] {
        symlink(format!("usr/{dir}"), rootfs.join(dir)).unwrap();
    }
    std::fs::set_permissions(rootfs.join("tmp"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    // `/sbin` is the host's: init stands elsewhere, `lxc.init.cmd` of raw.lxc names it.
    std::fs::write(rootfs.join("init"), INIT).unwrap();
    std::fs::set_permissions(rootfs.join("init"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
}

/// Builds the helper (nothing to do when it is fresh) and says where it lies.
pub fn helper() -> PathBuf {
    let built = Command::new(env!("CARGO")).args(["build", "-q", "-p", "lxd-helper"]).status().unwrap();
    assert!(built.success());
    let test = std::env::current_exe().unwrap(); // target/debug/deps/NAME-HASH
    test.ancestors().nth(2).unwrap().join("lxd-helper")
}
