//! Making a tree anew beside what it is to replace: what did not change is shared by hard links, so that only differences
//! cost time. The old tree is whole at any moment, and so is the new one once it is finished.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use lxd_sys::{Dir, FileKind};
use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use super::{attributes, content, look};

/// So many new files are written to the disk one by one; for more of them the whole file system is.
const FEW: usize = 8;

/// So long before its copy was made a file must have been left alone for its times to be believed: a page that a program writes
/// through its memory says so only once until the kernel has brought it to the disk (after 35 seconds, as kernels come).
const LEFT_ALONE: i64 = 120;

/// What keeps its files in memory never does so.
const TMPFS: i64 = 0x0102_1994;

/// New files, which must be on the disk before the old ones go.
#[derive(Debug, Default)]
pub(super) struct Written {
    files: Vec<File>,
    many: bool,
}

impl Written {
    pub(super) fn add(&mut self, file: File) {
        match self.files.len() < FEW {
            true => self.files.push(file),
            false => self.many = true,
        }
    }

    /// Waits for the disk. Names and links need no waiting: file systems bring these there in their order.
    pub(super) fn wait(&self, tree: &Dir) -> io::Result<()> {
        if self.many {
            return Ok(rustix::fs::syncfs(tree)?);
        }
        self.files.iter().try_for_each(File::sync_all)
    }
}

/// Gives a file that is in `old` as it was in `from` one more name in `to`. Answers whether it is such a file.
pub(super) fn shares(from: &Dir, old: &Dir, to: &Dir, name: &OsStr, stat: &Stat) -> io::Result<bool> {
    // Files of several names are copied: which names belong together may have changed.
    if FileKind::of_mode(stat.st_mode) != FileKind::File || stat.st_nlink > 1 {
        return Ok(false);
    }
    let Some(there) = look(old, name)?.filter(|there| alike(stat, there)) else { return Ok(false) };
    let (one, other) = (from.open_file(name)?, old.open_file(name)?);
    if !attributes::same(one.as_fd(), other.as_fd())? {
        return Ok(false);
    }
    // Nothing was done with it since the copy was made; else only the content can tell: its time of change is anybody's to set.
    let untouched =
        there.st_ctime + LEFT_ALONE < stat.st_ctime && rustix::fs::fstatfs(&other)?.f_type != TMPFS;
    if !untouched && !content::same(&one, &other)? {
        return Ok(false);
    }
    match rustix::fs::linkat(old, name, to, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The same type, mode, owner, size and time of change, and one name only.
fn alike(one: &Stat, other: &Stat) -> bool {
    let of = |stat: &Stat| {
        let time = (stat.st_mtime, stat.st_mtime_nsec);
        (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_size, time, stat.st_nlink)
    };
    of(one) == of(other)
}
