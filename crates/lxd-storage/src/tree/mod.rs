//! Copying and refreshing a tree that a tenant wrote: everything `cp -a` keeps, nothing outside the two directories.
//!
//! Owners are numbers, hard links stay links, holes stay holes, extended attributes (capabilities, ACLs) follow;
//! file content is shared where the file system can (reflinks). Names are used only as single components below
//! directory descriptors, so that a tree that changes meanwhile cannot lead the copy elsewhere. A running container removes
//! and replaces its files while they are copied: what is gone is left out, what was replaced is copied anew.

mod attributes;
mod content;
mod reuse;

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use lxd_sys::{Dir, Entry, FileKind};
use lxd_types::{Error, Kind, Result};
use rustix::fs::{AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;

use attributes::{dress, dress_open};
use reuse::Written;

/// Deepest tree that is copied: two descriptors are open per level.
const DEPTH: usize = 1024;

/// How often a file that somebody keeps replacing is tried.
const TRIES: usize = 8;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Copied {
    /// Files, directories, links, nodes that were made.
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
    run(from, to, false, None)
}

/// Makes the empty directory `to` equal to `from`, as [`copy`] does, to replace `old`, which is about the same: files that are in
/// `old` as they are in `from` get one more name. What is new is on the disk then. Nobody may write into `old`.
///
/// # Errors
/// As [`copy`].
pub fn rebuild(from: &Dir, old: &Dir, to: &Dir) -> Result<Copied> {
    run(from, to, false, Some(old))
}

/// Makes the directory `to` equal to `from`: what differs in type, size or time of change is copied anew, what is not
/// in `from` is removed, owners, modes and attributes are corrected. May be called again after a failure.
///
/// # Errors
/// As [`copy`].
pub fn refresh(from: &Dir, to: &Dir) -> Result<Copied> {
    run(from, to, true, None)
}

/// `look`: `to` may have something already.
fn run(from: &Dir, to: &Dir, look: bool, old: Option<&Dir>) -> Result<Copied> {
    let mut work = Work {
        copied: Copied::default(),
        links: HashMap::new(),
        claimed: HashMap::new(),
        written: old.map(|_| Written::default()),
        top: to,
        here: PathBuf::new(),
    };
    let done = work.tree(from, to, look, old);
    let done = done.and_then(|()| work.written.as_ref().map_or(Ok(()), |written| written.wait(to)));
    done.map_err(|error| {
        let path = work.here.display();
        Error::with_source(Kind::Internal, format!("Failed to copy \"{path}\""), error)
    })?;
    Ok(work.copied)
}

/// A file by device and inode.
type Id = (u64, u64);

fn id(stat: &Stat) -> Id {
    (stat.st_dev, stat.st_ino)
}

struct Work<'a> {
    copied: Copied,
    /// First copies of files with several links, by the original.
    links: HashMap<Id, PathBuf>,
    /// Originals of files with several links, by the copy.
    claimed: HashMap<Id, Id>,
    /// What must be on the disk at the end, where that matters.
    written: Option<Written>,
    top: &'a Dir,
    /// The path of what is being copied, for links and messages.
    here: PathBuf,
}

impl Work<'_> {
    /// Copies level by level with a stack of its own: a tenant chooses the depth, not our thread's stack.
    fn tree(&mut self, from: &Dir, to: &Dir, look: bool, old: Option<&Dir>) -> io::Result<()> {
        let old = old.map(|old| old.open_dir(".")).transpose()?;
        let mut levels = vec![Level::new(from.open_dir(".")?, to.open_dir(".")?, look, old)?];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                level.finish()?;
                levels.pop();
                self.here.pop();
                continue;
            };
            self.here.push(&entry.name);
            let present = level.present.contains(&entry.name);
            if entry.kind != FileKind::Dir {
                self.entry(level, &entry.name, present)?;
                self.here.pop();
                continue;
            }
            let from = match level.from.open_dir(&entry.name) {
                Err(error) if replaced(&error) => {
                    level.to.remove_tree(&entry.name)?;
                    self.here.pop();
                    continue;
                }
                opened => opened?,
            };
            if !present {
                self.copied.entries += 1;
                level.to.mkdir(&entry.name, 0o700)?;
            }
            let to = level.to.open_dir(&entry.name)?;
            // What is no directory there has nothing to share.
            let old = level.old.as_ref().and_then(|old| old.open_dir(&entry.name).ok());
            levels.push(Level::new(from, to, present, old)?);
            if levels.len() > DEPTH {
                return Err(io::Error::other(format!("directories nested deeper than {DEPTH}")));
            }
        }
        Ok(())
    }

    /// Anything but a directory; `present` when something of its type is there already.
    fn entry(&mut self, level: &Level, name: &OsStr, present: bool) -> io::Result<()> {
        let (from, to) = (&level.from, &level.to);
        let mut present = present;
        let mut tries = TRIES;
        loop {
            let now = look(from, name)?.filter(|stat| FileKind::of_mode(stat.st_mode) != FileKind::Dir);
            let Some(stat) = now else {
                return to.remove_tree(name);
            };
            tries -= 1;
            match self.unchanged(level, name, &stat, present) {
                Err(error) if tries > 0 && replaced(&error) => {
                    to.remove_tree(name)?;
                    present = false;
                }
                done => return done,
            }
        }
    }

    /// What is still as it was looked at.
    fn unchanged(&mut self, level: &Level, name: &OsStr, stat: &Stat, present: bool) -> io::Result<()> {
        let (from, to) = (&level.from, &level.to);
        let first = self.links.get(&id(stat)).filter(|_| stat.st_nlink > 1).cloned();
        if present {
            let there = rustix::fs::statat(to, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if self.keeps(from, to, name, stat, &there, first.is_some())? {
                if stat.st_nlink > 1 {
                    self.links.entry(id(stat)).or_insert_with(|| self.here.clone());
                    self.claimed.insert(id(&there), id(stat));
                }
                return Ok(());
            }
            to.remove_file(name)?;
        }
        self.copied.entries += 1;
        if let Some(first) = first {
            return self.top.hard_link(first, &self.here);
        }
        if let Some(old) = &level.old
            && reuse::shares(from, old, to, name, stat)?
        {
            return Ok(());
        }
        self.make(from, to, name, stat)?;
        if stat.st_nlink > 1 {
            let made = rustix::fs::statat(to, name, AtFlags::SYMLINK_NOFOLLOW)?;
            self.links.insert(id(stat), self.here.clone());
            self.claimed.insert(id(&made), id(stat));
        }
        Ok(())
    }

    /// Whether what is there can stay, with its attributes corrected.
    fn keeps(
        &self,
        from: &Dir,
        to: &Dir,
        name: &OsStr,
        stat: &Stat,
        there: &Stat,
        linked: bool,
    ) -> io::Result<bool> {
        let claim = self.claimed.get(&id(there));
        if stat.st_nlink > 1 {
            // A further name must be the same file as the first; a first one must not be another's copy.
            if linked {
                return Ok(claim == Some(&id(stat)));
            }
            if claim.is_some() {
                return Ok(false);
            }
        } else if there.st_nlink > 1 {
            return Ok(false);
        }
        let same_time = (stat.st_mtime, stat.st_mtime_nsec) == (there.st_mtime, there.st_mtime_nsec);
        let files = [stat, there].iter().all(|stat| FileKind::of_mode(stat.st_mode) == FileKind::File);
        if !files || !same_time || stat.st_size != there.st_size {
            return Ok(false);
        }
        let (source, target) = (from.open_file(name)?, to.open_file(name)?);
        dress_open(source.as_fd(), target.as_fd(), stat, false)?;
        Ok(true)
    }

    fn make(&mut self, from: &Dir, to: &Dir, name: &OsStr, stat: &Stat) -> io::Result<()> {
        match FileKind::of_mode(stat.st_mode) {
            FileKind::File => self.file(from, to, name),
            FileKind::Symlink => {
                to.symlink(from.read_link(name)?, name)?;
                dress(from, to, name, stat)
            }
            FileKind::Socket => node(from, to, name, stat, FileType::Socket),
            FileKind::Fifo => node(from, to, name, stat, FileType::Fifo),
            FileKind::Char => node(from, to, name, stat, FileType::CharacterDevice),
            FileKind::Block => node(from, to, name, stat, FileType::BlockDevice),
            FileKind::Dir => Ok(()), // `tree` takes care of these.
        }
    }

    fn file(&mut self, from: &Dir, to: &Dir, name: &OsStr) -> io::Result<()> {
        let source = from.open_file(name)?;
        let target = to.create_new(name, 0o600)?;
        let stat = rustix::fs::fstat(&source)?;
        let size = stat.st_size.try_into().unwrap_or(0);
        self.copied.bytes += content::copy_content(&source, &target, size)?;
        dress_open(source.as_fd(), target.as_fd(), &stat, true)?;
        if let Some(written) = &mut self.written {
            written.add(target);
        }
        Ok(())
    }
}

/// One directory that is being copied.
struct Level {
    from: Dir,
    to: Dir,
    entries: std::vec::IntoIter<Entry>,
    /// What is in `to` already, of the same type as in `from`.
    present: HashSet<OsString>,
    new: bool,
    /// The directory of the tree that is to be replaced.
    old: Option<Dir>,
}

impl Level {
    /// Reads both directories (`to` only when it can have something: `look`) and removes what is too much in `to`.
    fn new(from: Dir, to: Dir, look: bool, old: Option<Dir>) -> io::Result<Self> {
        let entries = match from.read_dir(".") {
            Err(error) if replaced(&error) => Vec::new(),
            read => read?,
        };
        let mut present = HashSet::new();
        if look {
            let wanted: HashMap<&OsStr, FileKind> =
                entries.iter().map(|entry| (&*entry.name, entry.kind)).collect();
            for there in to.read_dir(".")? {
                if wanted.get(&*there.name) == Some(&there.kind) {
                    present.insert(there.name);
                } else {
                    to.remove_tree(&there.name)?;
                }
            }
        }
        Ok(Self { from, to, entries: entries.into_iter(), present, new: !look, old })
    }

    /// Owner, mode, attributes and times, after everything below was made.
    fn finish(&self) -> io::Result<()> {
        let stat = rustix::fs::fstat(&self.from)?;
        dress_open(self.from.as_fd(), self.to.as_fd(), &stat, self.new)
    }
}

/// Whether a name no longer stands for what it did: each kind of file refuses in its own way what is done with another.
/// (A look at the inode says less: its number is given out again at once.)
fn replaced(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::LOOP, Errno::NOTDIR, Errno::ISDIR, Errno::INVAL, Errno::NXIO]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// What a name stands for now, unless it is gone.
fn look(from: &Dir, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        looked => Ok(Some(looked?)),
    }
}

fn node(from: &Dir, to: &Dir, name: &OsStr, stat: &Stat, kind: FileType) -> io::Result<()> {
    rustix::fs::mknodat(to, name, kind, Mode::from_raw_mode(0o600), stat.st_rdev)?;
    dress(from, to, name, stat)
}

#[cfg(test)]
mod tests;
