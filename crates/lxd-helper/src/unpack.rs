//! `unpack`: archives from strangers, unpacked where they can do no harm.
//!
//! The process has a mount namespace whose root *is* the target directory (for squashfs: a read-only view of the host), no network,
//! only the capabilities for owners and nodes, a system-call filter and resource limits. On top of that every path is resolved below
//! the target without symbolic links, so even a mistake in one layer stays inside.

mod squashfs;
mod stream;
mod tree;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use lxd_sys::Dir;
use lxd_sys::caps::{self, CapabilitySet};
use lxd_sys::seccomp::{self, Programs};
use lxd_types::helper::{Format, Unpack};

use crate::link::{Link, Outcome, failure, system};

/// What unpacking needs: owners and modes of others' files, set-id bits, file capabilities, device nodes.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::MKNOD);

/// Runs the job.
pub fn run(link: &Link) -> Outcome<()> {
    let (job, mut fds): (Unpack, _) = link.job()?;
    let (Some(target), Some(archive), None) = (fds.pop(), fds.pop(), fds.pop()) else {
        return Err(failure("Two descriptors are needed"));
    };
    let limits = job.limits;
    lxd_sys::process::limit(Some(limits.memory), None, Some(limits.seconds))
        .map_err(|error| system("Failed to limit resources", &error))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    if job.format == Format::Squashfs || is_squashfs(&archive) {
        return link.ok(&squashfs::unpack(&job, archive, &target)?, &[]);
    }
    let target = confine(&target).map_err(|error| system("Failed to confine the helper", &error))?;
    let mut stream = stream::open(archive).map_err(|error| system("Failed to read archive", &error))?;
    let unpacked = tree::unpack(&job, target, &mut stream)?;
    // The one who feeds us (and hashes) gets rid of the rest: padding, or what was not asked for.
    stream.finish();
    link.ok(&unpacked, &[])
}

/// Namespaces that an unpacking process has for itself, beside that of mounts.
const NAMESPACES: i32 = libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// Leaves the host behind; answers with the target, which is the root now.
pub fn confine(target: &OwnedFd) -> io::Result<Dir> {
    lxd_sys::mount::become_root(target, NAMESPACES)?;
    drop_rights(Programs::Refused)?;
    Dir::open("/")
}

fn drop_rights(programs: Programs) -> io::Result<()> {
    caps::keep_only(CAPABILITIES)?;
    seccomp::refuse_dangerous(programs)
}

/// Whether a file (not a pipe) begins like a squashfs.
fn is_squashfs(archive: &OwnedFd) -> bool {
    let mut magic = [0_u8; 4];
    matches!(rustix::io::pread(archive, &mut magic, 0), Ok(4)) && (&magic == b"hsqs" || &magic == b"sqsh")
}

/// Reads what is left and throws it away.
fn drain(file: &mut File) {
    let mut buffer = vec![0_u8; 256 << 10];
    while file.read(&mut buffer).is_ok_and(|got| got > 0) {}
}
