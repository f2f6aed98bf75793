//! Owner, mode, times and extended attributes of what is copied.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;

use lxd_sys::{Dir, FileKind};
use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// Largest list of attribute names, and largest attribute, that the kernel knows.
const XATTR_MAX: usize = 64 << 10;

/// Room that is enough for nearly every file.
const XATTR_COMMON: usize = 512;

/// Gives an open file or directory what another one has; `new` means that it was just made and has nothing yet.
pub(super) fn dress_open(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat, new: bool) -> io::Result<()> {
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    // After the owner: a change of owner clears set-uid bits and capabilities.
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let wanted = names(|list| rustix::fs::flistxattr(from, list))?;
    if !new {
        for attribute in names(|list| rustix::fs::flistxattr(to, list))? {
            if !wanted.contains(&attribute) {
                rustix::fs::fremovexattr(to, &*attribute)?;
            }
        }
    }
    for attribute in wanted {
        let read = value(|buffer| rustix::fs::fgetxattr(from, &*attribute, buffer));
        let Some(value) = unless_gone(read)? else { continue };
        ignoring_unsupported(rustix::fs::fsetxattr(to, &*attribute, &value, XattrFlags::empty()))?;
    }
    Ok(rustix::fs::futimens(to, &times(stat))?)
}

/// Whether two open files have the same extended attributes.
pub(super) fn same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    let all = |fd: BorrowedFd<'_>| {
        let mut names = names(|list| rustix::fs::flistxattr(fd, list))?;
        names.sort();
        let value = |name: &Vec<u8>| value(|buffer| rustix::fs::fgetxattr(fd, &**name, buffer));
        let values = names.iter().map(value).collect::<io::Result<Vec<_>>>()?;
        io::Result::Ok((names, values))
    };
    Ok(all(one)? == all(other)?)
}

/// Owner, mode, attributes and times of what was just made and cannot be opened.
pub(super) fn dress(from: &Dir, to: &Dir, name: &OsStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileKind::of_mode(stat.st_mode) != FileKind::Symlink {
        to.chmod(name, stat.st_mode & 0o7777)?;
    }
    let (old, new) = (from.proc_path().join(name), to.proc_path().join(name));
    for attribute in names(|list| rustix::fs::llistxattr(&old, list))? {
        let read = value(|buffer| rustix::fs::lgetxattr(&old, &*attribute, buffer));
        let Some(value) = unless_gone(read)? else { continue };
        ignoring_unsupported(rustix::fs::lsetxattr(&new, &*attribute, &value, XattrFlags::empty()))?;
    }
    Ok(rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: i64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(stat.st_atime, i64::try_from(stat.st_atime_nsec).unwrap_or(0)),
        last_modification: time(stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
    }
}

/// The attribute names that `list` writes, one after the other, each ended by a zero byte.
fn names(list: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<Vec<u8>>> {
    let buffer = match value(list) {
        Err(error) if error.raw_os_error() == Some(Errno::NOTSUP.raw_os_error()) => return Ok(Vec::new()),
        other => other?,
    };
    Ok(buffer.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

/// What `read` writes into a buffer, which is made larger when it does not fit.
fn value(mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; XATTR_COMMON];
    let length = match read(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer.resize(XATTR_MAX, 0);
            read(&mut buffer)?
        }
        other => other?,
    };
    buffer.truncate(length);
    Ok(buffer)
}

/// A running container may remove an attribute after its name was read.
fn unless_gone(read: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match read {
        Err(error) if error.raw_os_error() == Some(Errno::NODATA.raw_os_error()) => Ok(None),
        value => Ok(Some(value?)),
    }
}

/// Another file system may not know an attribute; the copy is made without it, as `cp -a` does.
fn ignoring_unsupported(done: rustix::io::Result<()>) -> io::Result<()> {
    match done {
        Err(Errno::NOTSUP) => Ok(()),
        other => Ok(other?),
    }
}
