//! Network namespaces of tests.

use std::process::Command;

/// A network namespace with loopback up; removed when dropped.
pub struct Netns {
    /// Its name, as in `ip netns`.
    pub name: String,
}

impl Netns {
    /// A fresh one.
    ///
    /// # Panics
    /// It cannot be made: root and iproute2 are needed.
    pub fn new() -> Self {
        let random = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("the clock is past 1970")
            .as_nanos();
        let name = format!("lxdt-{}-{}", std::process::id(), random % 1_000_000_000);
        run("ip", &["netns", "add", &name]);
        run("ip", &["-n", &name, "link", "set", "lo", "up"]);
        Self { name }
    }

    /// A command that runs in this namespace but sees the host's mounts.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg("--").arg(program);
        command
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The processes in it have ended; a failure here must not hide the test's own.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}
