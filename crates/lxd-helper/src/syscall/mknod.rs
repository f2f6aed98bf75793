//! `mknod` and `mknodat`: a device node that is safe to have.

use std::io;
use std::os::fd::OwnedFd;

use lxd_sys::caps::CapabilitySet;
use lxd_types::helper::SyscallAnswer;
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, ResolveFlags};

use super::caller::{Caller, become_user, keep};
use super::errno;

/// Bytes of a path, its end included.
pub const PATH_MAX: usize = 4096;

/// What overlay file systems take for "there is nothing": everybody may make it.
const WHITEOUT: (u32, u32) = (0, 0);

/// Makes a character device. Who lacks the right to is left to the kernel.
pub fn run(
    caller: &Caller,
    at: i32,
    path: u64,
    mode: u32,
    (major, minor): (u32, u32),
) -> io::Result<SyscallAnswer> {
    if (major, minor) != WHITEOUT && !caller.rights.capabilities.contains(CapabilitySet::MKNOD) {
        return Ok(SyscallAnswer::Continue);
    }
    let path = caller.text(path, PATH_MAX)?;
    let (folder, name) = split(&path)?;
    let at = if folder.starts_with(b"/") { libc::AT_FDCWD } else { at };
    let found = caller.as_caller(at, |base| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat2(base, folder, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
        rustix::fs::accessat(&folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())?;
        Ok(vec![folder])
    })?;
    let folder: &OwnedFd = found.first().ok_or_else(|| errno(libc::EPERM))?;
    caller.must_wait()?;
    // The node is the caller's, in a directory that the caller may write to: that is known by now.
    become_user(&caller.rights)?;
    keep(CapabilitySet::MKNOD | CapabilitySet::DAC_OVERRIDE)?;
    rustix::process::umask(Mode::from_raw_mode(caller.rights.umask));
    let mode = Mode::from_raw_mode(mode & 0o7777);
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(folder, name, FileType::CharacterDevice, mode, device)?;
    Ok(SyscallAnswer::Value(0))
}

/// The directory and the name in it of what is to be made, with the errors of the kernel.
fn split(path: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (folder, name) = match slash {
        None => (&b"."[..], path),
        Some(at) => (&path[..=at], &path[at + 1..]),
    };
    match name {
        b"" if !path.is_empty() && path.iter().all(|byte| *byte == b'/') => Err(errno(libc::EEXIST)),
        b"" => Err(errno(libc::ENOENT)),
        b"." | b".." => Err(errno(libc::EEXIST)),
        name => Ok((folder, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_at_the_last_slash() {
        let parts =
            |path: &'static str| split(path.as_bytes()).map_err(|error| error.raw_os_error().unwrap());
        assert_eq!(parts("null"), Ok((&b"."[..], &b"null"[..])));
        assert_eq!(parts("/null"), Ok((&b"/"[..], &b"null"[..])));
        assert_eq!(parts("a/../b/null"), Ok((&b"a/../b/"[..], &b"null"[..])));
        for (path, number) in [
            ("", libc::ENOENT),
            ("a/", libc::ENOENT),
            ("//", libc::EEXIST),
            ("a/..", libc::EEXIST),
            (".", libc::EEXIST),
        ] {
            assert_eq!(parts(path), Err(number), "{path}");
        }
    }
}
