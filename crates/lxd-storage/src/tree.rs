//! Copying a tree that a tenant wrote: everything `cp -a` keeps, nothing outside the two directories.
//!
//! Owners are numbers, hard links stay links, holes stay holes, extended attributes (capabilities, ACLs) follow;
//! file content is shared where the file system can (reflinks). Names are used only as single components below
//! directory descriptors, so that a tree that changes meanwhile can make the copy fail but not lead it elsewhere.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use lxd_sys::{Dir, Entry, FileKind};
use lxd_types::{Error, Kind, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// Deepest tree that is copied: two descriptors are open per level.
const DEPTH: usize = 1024;

/// Largest list of attribute names, and largest attribute, that the kernel knows.
const XATTR_MAX: usize = 64 << 10;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Copied {
    /// Files, directories, links, nodes.
    pub entries: u64,
    /// Bytes of file content (holes not counted).
    pub bytes: u64,
}

/// Copies everything in `from` into the directory `to`, which is empty, and gives `to` the owner, mode, times
/// and attributes of `from`.
///
/// # Errors
/// The first thing that could not be read or made, with its path; what was made stays (the caller removes `to`).
pub fn copy(from: &Dir, to: &Dir) -> Result<Copied> {
    let mut work = Work { copied: Copied::default(), links: HashMap::new(), top: to, here: PathBuf::new() };
    work.tree(from, to).map_err(|error| {
        let path = work.here.display();
        Error::with_source(Kind::Internal, format!("Failed to copy \"{path}\""), error)
    })?;
    Ok(work.copied)
}

struct Work<'a> {
    copied: Copied,
    /// First copies of files with several links, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    top: &'a Dir,
    /// The path of what is being copied, for links and messages.
    here: PathBuf,
}

impl Work<'_> {
    /// Copies level by level with a stack of its own: a tenant chooses the depth, not our thread's stack.
    fn tree(&mut self, from: &Dir, to: &Dir) -> io::Result<()> {
        let mut levels = vec![Level::new(from.open_dir(".")?, to.open_dir(".")?)?];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                level.finish()?;
                levels.pop();
                self.here.pop();
                continue;
            };
            self.here.push(&entry.name);
            self.copied.entries += 1;
            if entry.kind != FileKind::Dir {
                self.entry(&level.from, &level.to, &entry)?;
                self.here.pop();
                continue;
            }
            level.to.mkdir(&entry.name, 0o700)?;
            let next = Level::new(level.from.open_dir(&entry.name)?, level.to.open_dir(&entry.name)?)?;
            levels.push(next);
            if levels.len() > DEPTH {
                return Err(io::Error::other(format!("directories nested deeper than {DEPTH}")));
            }
        }
        Ok(())
    }

    fn entry(&mut self, from: &Dir, to: &Dir, entry: &Entry) -> io::Result<()> {
        let name = &*entry.name;
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                return self.top.hard_link(first, &self.here);
            }
            self.links.insert(key, self.here.clone());
        }
        match entry.kind {
            FileKind::File => self.file(from, to, name),
            FileKind::Symlink => {
                to.symlink(from.read_link(name)?, name)?;
                dress(from, to, name, &stat)
            }
            FileKind::Socket => node(from, to, name, &stat, FileType::Socket),
            FileKind::Fifo => node(from, to, name, &stat, FileType::Fifo),
            FileKind::Char => node(from, to, name, &stat, FileType::CharacterDevice),
            FileKind::Block => node(from, to, name, &stat, FileType::BlockDevice),
            FileKind::Dir => Ok(()), // `tree` takes care of these.
        }
    }

    fn file(&mut self, from: &Dir, to: &Dir, name: &OsStr) -> io::Result<()> {
        let source = from.open_file(name)?;
        let target = to.create_new(name, 0o600)?;
        let stat = rustix::fs::fstat(&source)?;
        self.copied.bytes += copy_content(&source, &target, stat.st_size.try_into().unwrap_or(0))?;
        rustix::fs::fchown(&target, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
        // After the owner: a change of owner clears set-uid bits and capabilities.
        rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        copy_attributes(source.as_fd(), target.as_fd())?;
        Ok(rustix::fs::futimens(&target, &times(&stat))?)
    }
}

/// One directory that is being copied.
struct Level {
    from: Dir,
    to: Dir,
    entries: std::vec::IntoIter<Entry>,
}

impl Level {
    fn new(from: Dir, to: Dir) -> io::Result<Self> {
        let entries = from.read_dir(".")?.into_iter();
        Ok(Self { from, to, entries })
    }

    /// Owner, mode, attributes and times, after everything below was made.
    fn finish(&self) -> io::Result<()> {
        let stat = rustix::fs::fstat(&self.from)?;
        rustix::fs::fchown(&self.to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
        rustix::fs::fchmod(&self.to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        copy_attributes(self.from.as_fd(), self.to.as_fd())?;
        Ok(rustix::fs::futimens(&self.to, &times(&stat))?)
    }
}

fn node(from: &Dir, to: &Dir, name: &OsStr, stat: &Stat, kind: FileType) -> io::Result<()> {
    rustix::fs::mknodat(to, name, kind, Mode::from_raw_mode(0o600), stat.st_rdev)?;
    dress(from, to, name, stat)
}

/// Owner, mode, attributes and times of what cannot be opened.
fn dress(from: &Dir, to: &Dir, name: &OsStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileKind::of_mode(stat.st_mode) != FileKind::Symlink {
        to.chmod(name, stat.st_mode & 0o7777)?;
    }
    let (old, new) = (from.proc_path().join(name), to.proc_path().join(name));
    for attribute in names(|list| rustix::fs::llistxattr(&old, list))? {
        let mut value = vec![0; XATTR_MAX];
        let length = rustix::fs::lgetxattr(&old, &*attribute, &mut value[..])?;
        ignoring_unsupported(rustix::fs::lsetxattr(
            &new,
            &*attribute,
            &value[..length],
            XattrFlags::empty(),
        ))?;
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

/// Copies extended attributes between open files or directories.
fn copy_attributes(from: std::os::fd::BorrowedFd<'_>, to: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
    for attribute in names(|list| rustix::fs::flistxattr(from, list))? {
        let mut value = vec![0; XATTR_MAX];
        let length = rustix::fs::fgetxattr(from, &*attribute, &mut value[..])?;
        ignoring_unsupported(rustix::fs::fsetxattr(to, &*attribute, &value[..length], XattrFlags::empty()))?;
    }
    Ok(())
}

/// The attribute names that `list` writes, one after the other, each ended by a zero byte.
fn names(list: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<Vec<u8>>> {
    let mut buffer = vec![0; XATTR_MAX];
    let length = match list(&mut buffer) {
        Err(Errno::NOTSUP) => 0,
        other => other?,
    };
    buffer.truncate(length);
    Ok(buffer.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Another file system may not know an attribute; the copy is made without it, as `cp -a` does.
fn ignoring_unsupported(done: rustix::io::Result<()>) -> io::Result<()> {
    match done {
        Err(Errno::NOTSUP) => Ok(()),
        other => Ok(other?),
    }
}

/// Copies the content; returns the bytes that were not holes.
fn copy_content(from: &File, to: &File, size: u64) -> io::Result<u64> {
    if size == 0 {
        return Ok(0);
    }
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(size);
    }
    let mut bytes = 0;
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break, // Only a hole is left.
            Err(Errno::INVAL) => at,   // No knowledge of holes.
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start)).unwrap_or(size).min(size);
        bytes += copy_range(from, to, start, end)?;
        at = end.max(start + 1);
    }
    to.set_len(size)?;
    Ok(bytes)
}

/// Copies one range inside the kernel, or through a buffer where the kernel cannot.
fn copy_range(from: &File, to: &File, start: u64, end: u64) -> io::Result<u64> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let length = usize::try_from(end - read).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            Ok(0) => break, // The file became shorter meanwhile.
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                return copy_through_buffer(from, to, read, end).map(|more| read - start + more);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read - start)
}

fn copy_through_buffer(from: &File, to: &File, start: u64, end: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 256 << 10];
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let length = from.read_at(&mut buffer[..wanted], at)?;
        if length == 0 {
            break;
        }
        to.write_all_at(&buffer[..length], at)?;
        at += length as u64;
    }
    Ok(at - start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    fn scratch(name: &str) -> (tempfile::TempDir, Dir) {
        let temp = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn everything_follows() {
        let (from_path, from) = scratch("from");
        let (to_path, to) = scratch("to");
        from.mkdir_all("a/b", 0o1770).unwrap();
        from.create("a/f", 0o600).unwrap().write_all(b"content").unwrap();
        from.chown("a/f", 100_000, 100_001).unwrap();
        from.chmod("a/f", 0o4755).unwrap();
        from.set_xattr("a/f", "user.note", b"x").unwrap();
        from.hard_link("a/f", "a/b/link").unwrap();
        from.symlink("/etc/passwd", "a/s").unwrap();
        rustix::fs::mknodat(&from, "pipe", FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
        let sparse = from.create("sparse", 0o644).unwrap();
        sparse.set_len(64 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 32 << 20).unwrap();

        let copied = copy(&from, &to).unwrap();
        assert_eq!(copied.entries, 7);
        let file = to.stat("a/f").unwrap();
        assert_eq!((file.st_uid, file.st_gid, file.st_mode & 0o7777), (100_000, 100_001, 0o4755));
        assert_eq!(file.st_mtime, from.stat("a/f").unwrap().st_mtime);
        assert_eq!(to.xattr("a/f", "user.note").unwrap().as_deref(), Some(&b"x"[..]));
        assert_eq!(file.st_ino, to.stat("a/b/link").unwrap().st_ino);
        assert_eq!(to.stat("a/b").unwrap().st_mode & 0o7777, 0o1770);
        assert_eq!(to.read_link("a/s").unwrap(), std::path::Path::new("/etc/passwd"));
        assert_eq!(to.kind("pipe").unwrap(), Some(FileKind::Fifo));
        let copy = std::fs::metadata(to_path.path().join("sparse")).unwrap();
        assert_eq!(copy.len(), 64 << 20);
        assert!(copy.blocks() * 512 < 1 << 20, "holes stay holes");
        drop(from_path);
    }

    #[test]
    fn too_deep_trees_are_refused() {
        let (_from_path, from) = scratch("from");
        let (_to_path, to) = scratch("to");
        let mut here = from.open_dir(".").unwrap();
        for _ in 0..DEPTH + 2 {
            here.mkdir("d", 0o755).unwrap();
            here = here.open_dir("d").unwrap();
        }
        drop(here);
        assert!(copy(&from, &to).unwrap_err().chain().contains("deeper"));
        to.clear().unwrap();
        from.clear().unwrap();
    }
}
