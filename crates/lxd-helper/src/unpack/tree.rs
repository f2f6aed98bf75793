//! From tar entries to files. Per entry as few system calls as can be: parents are kept open, owners and modes are set only where
//! they differ from what creating gave.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use lxd_sys::Dir;
use lxd_sys::dir::{Mode, OFlags};
use lxd_types::helper::{Failure, HARMLESS_DEVICES, Unpack, UnpackLimits, Unpacked};
use lxd_types::{IdKind, IdMap};
use rustix::fs::{AtFlags, FileType, Gid, SeekFrom, Timespec, Timestamps, Uid, XattrFlags};
use tar::{Archive, Entry, EntryType};

use crate::link::{Outcome, failure, system};
use crate::owners;

/// Names at the top of an image or backup that the daemon reads or enters: never a link.
const NEVER_LINKS: &[&str] = &[
    "rootfs",
    "rootfs.img",
    "metadata.yaml",
    "templates",
    "backup.yaml",
    "backup",
    "index.yaml",
    "container",
];

/// Size of the copy buffer.
const BUFFER: usize = 256 << 10;

/// Unpacks the stream below `target`.
pub fn unpack(job: &Unpack, target: Dir, stream: &mut dyn Read) -> Outcome<Unpacked> {
    let mut writer = Writer::new(job, target);
    let mut archive = Archive::new(stream);
    let entries = archive.entries().map_err(|error| system("Failed to read archive", &error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| system("Failed to read archive", &error))?;
        writer.count_entry()?;
        writer.entry(&mut entry)?;
        if job.stop_early && writer.found.len() == job.only.len() {
            break;
        }
    }
    writer.finish()
}

struct Writer<'j> {
    job: &'j Unpack,
    limits: UnpackLimits,
    target: Dir,
    /// The directory of the last entry, open.
    parent: Option<(PathBuf, Rc<OwnedFd>)>,
    /// Directories get their times at the end, when nothing is written into them any more.
    times: Vec<(PathBuf, Timestamps)>,
    buffer: Vec<u8>,
    found: HashSet<String>,
    seen: u64,
    done: Unpacked,
}

/// What an entry says about a file.
struct Meta {
    uid: u32,
    gid: u32,
    mode: u32,
    times: Timestamps,
    xattrs: Vec<(OsString, Vec<u8>)>,
}

impl<'j> Writer<'j> {
    fn new(job: &'j Unpack, target: Dir) -> Self {
        Self {
            job,
            limits: job.limits,
            target,
            parent: None,
            times: Vec::new(),
            buffer: vec![0; BUFFER],
            found: HashSet::new(),
            seen: 0,
            done: Unpacked::default(),
        }
    }

    fn count_entry(&mut self) -> Outcome<()> {
        self.seen += 1;
        if self.seen > self.limits.entries {
            return Err(failure("The archive has too many entries"));
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Outcome<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader | EntryType::GNULongName) {
            return Ok(());
        }
        let name = entry.path_bytes();
        let name = OsStr::from_bytes(&name).to_owned();
        let path = clean(Path::new(&name))?;
        refuse_links(&path, kind)?;
        let Some(path) = self.wanted(&path) else { return Ok(()) };
        let result = self.write(entry, kind, &path);
        result.map_err(|problem| Failure { message: format!("{}: {name:?}", problem.message), ..problem })
    }

    /// The path in the target, or none when it was not asked for.
    fn wanted(&mut self, path: &Path) -> Option<PathBuf> {
        if !self.job.only.is_empty() {
            let name = self.job.only.iter().find(|name| path.starts_with(name.as_str()))?;
            self.found.insert(name.clone());
        }
        path.strip_prefix(&self.job.strip).ok().map(Path::to_owned)
    }

    fn write<R: Read>(&mut self, entry: &mut Entry<'_, R>, kind: EntryType, path: &Path) -> Outcome<()> {
        let mut meta = Meta::of(entry)?;
        if path.starts_with("rootfs") {
            meta.unshift(&self.job.owners);
        }
        let failed = |error: io::Error| system("Failed to unpack", &error);
        if path.as_os_str().is_empty() {
            self.done.entries += 1;
            return self.top(kind, &meta).map_err(failed);
        }
        match kind {
            EntryType::Directory => self.directory(path, &meta).map_err(failed)?,
            EntryType::Symlink => self.symlink(entry, path, &meta)?,
            EntryType::Link => self.hard_link(entry, path)?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => self.node(entry, kind, path, &meta)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, path, &meta)?
            }
            _ => self.done.skipped += 1,
        }
        self.done.entries += 1;
        Ok(())
    }

    /// The target directory itself (`./`, or the stripped name).
    fn top(&mut self, kind: EntryType, meta: &Meta) -> io::Result<()> {
        if kind == EntryType::Directory {
            self.times.push((PathBuf::from("."), meta.times.clone()));
            let fd = self.target.open_raw(".", OFlags::DIRECTORY, 0)?;
            self.owner_and_mode(&fd, meta, None)?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path, meta: &Meta) -> io::Result<()> {
        let (parent, name) = self.parent_of(path)?;
        let mode = Mode::from_raw_mode(meta.mode & 0o777);
        let made = match rustix::fs::mkdirat(&parent, name, mode) {
            Err(rustix::io::Errno::EXIST) => {
                let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
                    rustix::fs::mkdirat(&parent, name, mode)?;
                }
                None
            }
            other => {
                other?;
                Some(meta.mode & 0o777)
            }
        };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
        self.owner_and_mode(&fd, meta, made)?;
        self.times.push((path.to_owned(), meta.times.clone()));
        self.parent = Some((path.to_owned(), Rc::new(fd))); // What follows is most often in it.
        Ok(())
    }

    fn file<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: &Path, meta: &Meta) -> Outcome<()> {
        let failed = |error: io::Error| system("Failed to unpack", &error);
        let fd = self.create(path, meta.mode & 0o777).map_err(failed)?;
        let mut size = 0;
        loop {
            let got =
                entry.read(&mut self.buffer).map_err(|error| system("Failed to read archive", &error))?;
            if got == 0 {
                break;
            }
            self.done.bytes += got as u64;
            if self.done.bytes > self.limits.bytes {
                return Err(failure("The archive is too large"));
            }
            size += got as u64;
            if self.buffer[..got].iter().all(|byte| *byte == 0) {
                // A hole: disks of machines are mostly empty.
                rustix::fs::seek(&fd, SeekFrom::Start(size)).map_err(|error| failed(error.into()))?;
                continue;
            }
            write_all(&fd, &self.buffer[..got]).map_err(failed)?;
        }
        rustix::fs::ftruncate(&fd, size).map_err(|error| failed(error.into()))?;
        self.owner_and_mode(&fd, meta, Some(meta.mode & 0o777)).map_err(failed)?;
        rustix::fs::futimens(&fd, &meta.times).map_err(|error| failed(error.into()))
    }

    /// A new file; what was there under this name is removed first.
    fn create(&mut self, path: &Path, mode: u32) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (parent, name) = self.parent_of(path)?;
        match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(mode)) {
            Err(rustix::io::Errno::EXIST) => {
                self.remove(path)?;
                Ok(rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(mode))?)
            }
            other => Ok(other?),
        }
    }

    fn symlink<R: Read>(&mut self, entry: &Entry<'_, R>, path: &Path, meta: &Meta) -> Outcome<()> {
        let failed = |error: io::Error| system("Failed to unpack", &error);
        let target = entry.link_name_bytes().ok_or_else(|| failure("Link without a target"))?;
        let target = OsStr::from_bytes(&target);
        let (parent, name) = self.parent_of(path).map_err(failed)?;
        if let Err(rustix::io::Errno::EXIST) = rustix::fs::symlinkat(target, &parent, name) {
            self.remove(path).map_err(failed)?;
            rustix::fs::symlinkat(target, &parent, name).map_err(|error| failed(error.into()))?;
        }
        self.owner_of_name(&parent, name, meta).map_err(failed)?;
        rustix::fs::utimensat(&parent, name, &meta.times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| failed(error.into()))
    }

    fn hard_link<R: Read>(&mut self, entry: &Entry<'_, R>, path: &Path) -> Outcome<()> {
        let failed = |error: io::Error| system("Failed to link", &error);
        let target = entry.link_name_bytes().ok_or_else(|| failure("Link without a target"))?;
        let target = clean(Path::new(OsStr::from_bytes(&target)))?;
        let target =
            target.strip_prefix(&self.job.strip).map_err(|_| failure("Link to what is not unpacked"))?;
        let (from, from_name) = open_parent(&self.target, target).map_err(failed)?;
        let (parent, name) = self.parent_of(path).map_err(failed)?;
        let link = || rustix::fs::linkat(&from, from_name, &parent, name, AtFlags::empty());
        match link() {
            Err(rustix::io::Errno::EXIST) if target != path => {
                self.remove(path).map_err(failed)?;
                link().map_err(|error| failed(error.into()))
            }
            Err(rustix::io::Errno::EXIST) => Ok(()),
            other => other.map_err(|error| failed(error.into())),
        }
    }

    fn node<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
        kind: EntryType,
        path: &Path,
        meta: &Meta,
    ) -> Outcome<()> {
        let failed = |error: io::Error| system("Failed to make a node", &error);
        let kind = match kind {
            EntryType::Char => FileType::CharacterDevice,
            EntryType::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
        let (major, minor) = (number(entry.header().device_major()), number(entry.header().device_minor()));
        let harmless = kind == FileType::CharacterDevice
            && HARMLESS_DEVICES.contains(&(major, minor))
            && self.job.devices;
        if kind != FileType::Fifo && !harmless {
            self.done.skipped += 1;
            return Ok(());
        }
        let (parent, name) = self.parent_of(path).map_err(failed)?;
        let mode = Mode::from_raw_mode(meta.mode & 0o7777);
        let make = || rustix::fs::mknodat(&parent, name, kind, mode, rustix::fs::makedev(major, minor));
        match make() {
            Err(rustix::io::Errno::EXIST) => {
                self.remove(path).map_err(failed)?;
                make().map_err(|error| failed(error.into()))?;
            }
            // In a container the kernel lets nobody make devices.
            Err(rustix::io::Errno::PERM) => {
                self.done.skipped += 1;
                return Ok(());
            }
            other => other.map_err(|error| failed(error.into()))?,
        }
        self.owner_of_name(&parent, name, meta).map_err(failed)
    }

    /// Owner, then mode (changing the owner clears set-id bits), then attributes (it clears capabilities too).
    fn owner_and_mode(&mut self, fd: &OwnedFd, meta: &Meta, created: Option<u32>) -> io::Result<()> {
        let chown = created.is_none() || (meta.uid, meta.gid) != (0, 0);
        if chown {
            rustix::fs::fchown(fd, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
        }
        let mode = meta.mode & 0o7777;
        if created != Some(mode) {
            rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?;
        }
        for (name, value) in &meta.xattrs {
            match rustix::fs::fsetxattr(fd, name.as_os_str(), value, XattrFlags::empty()) {
                // The file system has none, or the name is not for us (`trusted.`, a security module).
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM) => self.done.skipped += 1,
                other => other?,
            }
        }
        Ok(())
    }

    fn owner_of_name(&self, parent: &OwnedFd, name: &OsStr, meta: &Meta) -> io::Result<()> {
        if (meta.uid, meta.gid) == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        Ok(rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.parent = None; // It may be what is removed.
        self.target.remove_tree(path)
    }

    /// The open directory of `path` (made where it is missing) and the last name.
    fn parent_of<'p>(&mut self, path: &'p Path) -> io::Result<(Rc<OwnedFd>, &'p OsStr)> {
        let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        let above = path.parent().unwrap_or(Path::new(""));
        if let Some((open, fd)) = &self.parent
            && open == above
        {
            return Ok((fd.clone(), name));
        }
        let fd = match open_dir(&self.target, above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.target.mkdir_all(above, 0o755)?;
                open_dir(&self.target, above)?
            }
            other => other?,
        };
        let fd = Rc::new(fd);
        self.parent = Some((above.to_owned(), fd.clone()));
        Ok((fd, name))
    }

    fn finish(self) -> Outcome<Unpacked> {
        for (path, times) in self.times.iter().rev() {
            // It may have been replaced since by something else, which has its times already.
            if let Ok(fd) = open_dir(&self.target, path) {
                rustix::fs::futimens(&fd, times)
                    .map_err(|error| system("Failed to set times", &error.into()))?;
            }
        }
        Ok(self.done)
    }
}

impl Meta {
    fn of<R: Read>(entry: &mut Entry<'_, R>) -> Outcome<Self> {
        let wrong = |error: io::Error| system("Wrong entry", &error);
        let id = |id: io::Result<u64>| {
            let id = id.map_err(wrong)?;
            u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or_else(|| failure("Owner out of range"))
        };
        let (uid, gid) = (id(entry.header().uid())?, id(entry.header().gid())?);
        let mode = entry.header().mode().map_err(wrong)?;
        let mut seconds = i64::try_from(entry.header().mtime().map_err(wrong)?).unwrap_or(0);
        let mut nanos = 0;
        let mut xattrs = Vec::new();
        let (mut long_uid, mut long_gid) = (None, None);
        for extension in entry.pax_extensions().map_err(wrong)?.into_iter().flatten() {
            let extension = extension.map_err(wrong)?;
            let value = extension.value_bytes();
            let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
            match extension.key_bytes() {
                b"uid" => long_uid = Some(id(number().ok_or_else(|| io::ErrorKind::InvalidData.into()))?),
                b"gid" => long_gid = Some(id(number().ok_or_else(|| io::ErrorKind::InvalidData.into()))?),
                b"mtime" => (seconds, nanos) = time(value).unwrap_or((seconds, 0)),
                key => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        xattrs.push((OsStr::from_bytes(name).to_owned(), value.to_vec()));
                    }
                }
            }
        }
        let stamp = Timespec { tv_sec: seconds, tv_nsec: nanos };
        let times = Timestamps { last_access: stamp, last_modification: stamp };
        Ok(Self { uid: long_uid.unwrap_or(uid), gid: long_gid.unwrap_or(gid), mode, times, xattrs })
    }
}

impl Meta {
    /// Gives the file the owner that it has inside.
    fn unshift(&mut self, map: &IdMap) {
        self.uid = owners::inside(map, IdKind::Uid, self.uid);
        self.gid = owners::inside(map, IdKind::Gid, self.gid);
        for (name, value) in &mut self.xattrs {
            *value = owners::attribute(map, name.as_bytes(), value);
        }
    }
}

/// Seconds and nanoseconds of a decimal number.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
    Some((whole.parse().ok()?, digits.parse().ok()?))
}

/// A relative path without `.`; absolute ones and `..` are refused.
fn clean(path: &Path) -> Outcome<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            _ => return Err(failure(format!("Refused path in archive: {path:?}"))),
        }
    }
    Ok(clean)
}

fn refuse_links(path: &Path, kind: EntryType) -> Outcome<()> {
    let link = matches!(kind, EntryType::Symlink | EntryType::Link);
    let name = path.to_str().unwrap_or_default();
    if link && NEVER_LINKS.contains(&name) {
        return Err(failure(format!("Refused link in archive: {path:?}")));
    }
    Ok(())
}

fn open_dir(target: &Dir, path: &Path) -> io::Result<OwnedFd> {
    target.open_raw(path, OFlags::DIRECTORY, 0)
}

fn open_parent<'p>(target: &Dir, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
    let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok((open_dir(target, path.parent().unwrap_or(Path::new("")))?, name))
}

fn write_all(fd: impl AsFd, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match rustix::io::write(&fd, data) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => data = &data[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
