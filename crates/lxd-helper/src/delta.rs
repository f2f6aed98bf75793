//! `delta`: `xdelta3` on files from strangers. It sees the host read-only, has no network, no capability and the filter of
//! system calls, and writes to one descriptor.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use lxd_sys::caps::{self, CapabilitySet};
use lxd_sys::seccomp::{self, Programs};
use lxd_types::helper::{Delta, Patched};

use crate::link::{Link, Outcome, failure, system};

/// Namespaces of its own, beside that of mounts.
const NAMESPACES: i32 = libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// Runs the job.
pub fn run(link: &Link) -> Outcome<()> {
    let (job, mut fds): (Delta, _) = link.job()?;
    let (Some(result), Some(delta), Some(base), None) = (fds.pop(), fds.pop(), fds.pop(), fds.pop()) else {
        return Err(failure("Three descriptors are needed"));
    };
    lxd_sys::process::limit(Some(job.memory), Some(0), Some(job.seconds))
        .map_err(|error| system("Failed to limit resources", &error))?;
    confine().map_err(|error| system("Failed to confine the helper", &error))?;
    let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    for fd in [&base, &delta] {
        inherit(fd).map_err(|error| system("Failed to hand a file on", &error))?;
    }
    let output = Command::new("xdelta3")
        .args(["-d", "-c", "-s", &path(&base), &path(&delta)])
        .stdin(Stdio::null())
        .stdout(Stdio::from(result))
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| system("Failed to run xdelta3", &error))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.trim().lines().last().unwrap_or_default();
        return Err(failure(format!("Failed to apply the delta: {}: {last}", output.status)));
    }
    link.ok(&Patched::default(), &[])
}

fn confine() -> io::Result<()> {
    lxd_sys::mount::read_only(NAMESPACES)?;
    caps::keep_only(CapabilitySet::empty())?;
    seccomp::refuse_dangerous(Programs::Allowed)
}

/// `xdelta3` opens the file by our descriptor's number.
fn inherit(fd: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?)
}
