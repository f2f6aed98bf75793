//! Squashfs through `unsquashfs`, which gets a read-only host, the target and few rights.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use lxd_sys::Dir;
use lxd_sys::seccomp::Programs;
use lxd_types::helper::{HARMLESS_DEVICES, Unpack, Unpacked};

use crate::link::{Outcome, failure, system};

/// Where the target appears for `unsquashfs`: a directory that every host has.
const PLACE: &str = "/tmp";

/// Unpacks the whole image.
pub fn unpack(job: &Unpack, archive: OwnedFd, target: &OwnedFd) -> Outcome<Unpacked> {
    if !job.strip.is_empty() {
        return Err(failure("A squashfs cannot be unpacked in part"));
    }
    confine(target).map_err(|error| system("Failed to confine the helper", &error))?;
    let image = format!("/proc/self/fd/{}", archive.as_raw_fd());
    inherit(&archive).map_err(|error| system("Failed to hand the image on", &error))?;
    let output = Command::new("unsquashfs")
        .args(["-no-progress", "-force", "-processors", &processors(), "-data-queue", "64", "-dest", PLACE])
        .arg(image)
        .args(&job.only)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| system("Failed to run unsquashfs", &error))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.trim().lines().last().unwrap_or_default();
        return Err(failure(format!("Failed to unpack the squashfs image: {}: {last}", output.status)));
    }
    let skipped =
        remove_devices(job).map_err(|error| system("Failed to remove device nodes of the image", &error))?;
    Ok(Unpacked { skipped, ..Unpacked::default() })
}

/// `unsquashfs` makes whatever the image has, and cannot be told not to.
fn remove_devices(job: &Unpack) -> io::Result<u64> {
    let keep: &[_] = if job.devices { &HARMLESS_DEVICES } else { &[] };
    Dir::open(PLACE)?.remove_devices(keep)
}

fn confine(target: &OwnedFd) -> io::Result<()> {
    lxd_sys::mount::read_only_but(target, PLACE, super::NAMESPACES)?;
    super::drop_rights(Programs::Allowed)
}

/// `unsquashfs` opens the image by our descriptor's number.
fn inherit(fd: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?)
}

fn processors() -> String {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(4)).to_string()
}
