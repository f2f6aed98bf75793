//! `setxattr`: the mark of overlay file systems for directories that hide those below.

use std::io;

use lxd_sys::caps::CapabilitySet;
use lxd_types::helper::SyscallAnswer;
use rustix::fs::{Access, AtFlags, Mode, OFlags, ResolveFlags, XattrFlags};

use super::caller::{Caller, by_number};
use super::errno;
use super::mknod::PATH_MAX;

/// The attribute that a container may set.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// Bytes of an attribute's name, its end included.
const NAME_MAX: usize = 256;

/// Sets the attribute; others, and callers that lack the right to, are left to the kernel.
pub fn run(caller: &Caller, path: u64, name: u64, value: u64, flags: u32) -> io::Result<SyscallAnswer> {
    // What is wrong with the name or the flags, the kernel tells.
    let known = caller.rights.capabilities.contains(CapabilitySet::SYS_ADMIN)
        && caller.text(name, NAME_MAX).is_ok_and(|name| name == OPAQUE);
    let Some(flags) = XattrFlags::from_bits(flags).filter(|_| known) else {
        return Ok(SyscallAnswer::Continue);
    };
    let mut byte = [0];
    caller.read(value, &mut byte)?;
    let path = caller.text(path, PATH_MAX)?;
    let found = caller.as_caller(libc::AT_FDCWD, |base| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat2(base, &path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
        rustix::fs::accessat(&folder, ".", Access::WRITE_OK, AtFlags::empty())?;
        Ok(vec![folder])
    });
    let found = match found {
        // Of no use on anything but a directory.
        Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => return Ok(SyscallAnswer::Continue),
        found => found?,
    };
    let folder = found.first().ok_or_else(|| errno(libc::EPERM))?;
    caller.must_wait()?;
    rustix::fs::setxattr(by_number(folder), OPAQUE, &byte, flags)?;
    Ok(SyscallAnswer::Value(0))
}
