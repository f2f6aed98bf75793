//! Packing directory trees into tar archives: owners, modes, times, links, device nodes and extended attributes as they
//! are, in the PAX form that all servers read. Everything is read through directory descriptors.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ::tar::{Builder, EntryType, Header};
use lxd_sys::{Dir, FileKind};
use rustix::fs::Stat;
use rustix::io::Errno;

/// Largest list of attribute names, and largest attribute, that the kernel knows.
const XATTR_MAX: usize = 64 << 10;

/// Beginning of the PAX records that hold extended attributes.
const XATTR_RECORD: &str = "SCHILY.xattr.";

/// How often something that is replaced again and again is looked at.
const TRIES: usize = 8;

/// An archive being written.
pub struct Packer<W: Write> {
    tar: Builder<W>,
    /// Where a file with several names went first, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<W> {
    /// An empty archive.
    pub fn new(out: W) -> Self {
        Self { tar: Builder::new(out), links: HashMap::new() }
    }

    /// Adds a directory of our own making, owned by root.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        let mut header = own_header(EntryType::Directory, mode);
        self.tar.append_data(&mut header, path, io::empty())
    }

    /// Adds a file of our own making, owned by root.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut header = own_header(EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content)
    }

    /// Adds the content of an open file, under any path, owned by root and for root only.
    ///
    /// # Errors
    /// Those of the file system and of the writer.
    pub fn copy(&mut self, path: &str, file: &File) -> io::Result<()> {
        let size = file.metadata()?.len();
        let mut header = own_header(EntryType::Regular, 0o600);
        header.set_size(size);
        self.tar.append_data(&mut header, path, Exactly { file, left: size })
    }

    /// Adds a directory with all that is below it, under another path. Sockets are left out, as no archive can hold them;
    /// so is what somebody removes meanwhile.
    ///
    /// # Errors
    /// Those of the file system and of the writer.
    pub fn tree(&mut self, root: &Dir, path: &str) -> io::Result<()> {
        if let Some(found) = Found::at(root, OsStr::new("."))? {
            self.entry(found, Path::new(path))?;
        }
        let mut waiting = vec![PathBuf::from(".")];
        while let Some(below) = waiting.pop() {
            let Some(dir) = still(root.open_dir(&below))? else { continue };
            for entry in still(dir.read_dir("."))?.unwrap_or_default() {
                let place = if below == Path::new(".") {
                    PathBuf::from(&entry.name)
                } else {
                    below.join(&entry.name)
                };
                let Some(found) = Found::at(&dir, &entry.name)? else { continue };
                let is_dir = found.kind() == FileKind::Dir;
                self.entry(found, &Path::new(path).join(&place))?;
                if is_dir {
                    waiting.push(place);
                }
            }
        }
        Ok(())
    }

    /// Writes the end of the archive.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }

    fn entry(&mut self, found: Found, path: &Path) -> io::Result<()> {
        let (kind, stat) = (found.kind(), found.stat);
        let mut header = Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(stat.st_uid.into());
        header.set_gid(stat.st_gid.into());
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        header.set_size(0);
        if kind != FileKind::Dir && stat.st_nlink > 1 {
            let first = self.links.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_owned());
            if first != path {
                header.set_entry_type(EntryType::Link);
                let first = first.clone();
                return self.tar.append_link(&mut header, path, first);
            }
        }
        if kind == FileKind::Socket {
            return Ok(());
        }
        self.records(&found)?;
        match found.content {
            Content::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                self.tar.append_link(&mut header, path, target)
            }
            Content::File(file) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(u64::try_from(stat.st_size).unwrap_or(0));
                self.tar.append_data(&mut header, path, Exactly::new(file, stat.st_size))
            }
            Content::None => {
                header.set_entry_type(entry_type(kind));
                if matches!(kind, FileKind::Block | FileKind::Char) {
                    header.set_device_major(rustix::fs::major(stat.st_rdev))?;
                    header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
                }
                self.tar.append_data(&mut header, path, io::empty())
            }
        }
    }

    /// The PAX records of an entry: what its header has no room for.
    fn records(&mut self, found: &Found) -> io::Result<()> {
        let stat = &found.stat;
        let mut records: Vec<(String, &[u8])> = Vec::new();
        let time = format!("{}.{:09}", stat.st_mtime, stat.st_mtime_nsec);
        if stat.st_mtime_nsec != 0 && stat.st_mtime >= 0 {
            records.push(("mtime".to_owned(), time.as_bytes()));
        }
        for (attribute, value) in &found.attributes {
            records.push((format!("{XATTR_RECORD}{attribute}"), value));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.tar.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), *value)))
    }
}

/// All of an entry that its place in the archive depends on, read before anything of it is written: a tree may change
/// while it is packed, as that of a running container.
struct Found {
    stat: Stat,
    content: Content,
    attributes: Vec<(String, Vec<u8>)>,
}

enum Content {
    File(File),
    Link(PathBuf),
    None,
}

impl Found {
    fn kind(&self) -> FileKind {
        FileKind::of_mode(self.stat.st_mode)
    }

    /// Nothing when it is gone.
    fn at(dir: &Dir, name: &OsStr) -> io::Result<Option<Self>> {
        let mut tries = TRIES;
        loop {
            let Some(stat) = still(dir.stat(Path::new(name)))? else { return Ok(None) };
            tries -= 1;
            match Self::unchanged(dir, name, stat) {
                Ok(found) if tries == 0 || found.content.is_of(&stat)? => return Ok(Some(found)),
                Err(error) if tries == 0 => return Err(error),
                _ => {} // It was replaced meanwhile.
            }
        }
    }

    /// What is still as it was looked at.
    fn unchanged(dir: &Dir, name: &OsStr, stat: Stat) -> io::Result<Self> {
        let kind = FileKind::of_mode(stat.st_mode);
        let content = match kind {
            FileKind::File => Content::File(dir.open_file(Path::new(name))?),
            FileKind::Symlink => Content::Link(dir.read_link(Path::new(name))?),
            _ => Content::None,
        };
        let attributes = if kind == FileKind::Socket { Vec::new() } else { attributes(dir, name)? };
        Ok(Self { stat, content, attributes })
    }
}

impl Content {
    /// Whether an open file is the one that was looked at, and not what replaced it.
    fn is_of(&self, stat: &Stat) -> io::Result<bool> {
        match self {
            Self::File(file) => {
                let opened = rustix::fs::fstat(file)?;
                Ok((opened.st_dev, opened.st_ino) == (stat.st_dev, stat.st_ino))
            }
            _ => Ok(true),
        }
    }
}

/// Nothing for what is gone.
fn still<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        found => Ok(Some(found?)),
    }
}

fn entry_type(kind: FileKind) -> EntryType {
    match kind {
        FileKind::Dir => EntryType::Directory,
        FileKind::Block => EntryType::Block,
        FileKind::Char => EntryType::Char,
        FileKind::Fifo => EntryType::Fifo,
        FileKind::Symlink => EntryType::Symlink,
        FileKind::File | FileKind::Socket => EntryType::Regular,
    }
}

fn own_header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    header.set_mtime(now.map_or(0, |now| now.as_secs()));
    header
}

/// The extended attributes of an entry. Names that are no UTF-8 do not exist.
fn attributes(dir: &Dir, name: &OsStr) -> io::Result<Vec<(String, Vec<u8>)>> {
    // Through the descriptor of the directory: nothing on the way can be exchanged, and the name itself is not followed.
    let path =
        Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&dir.as_fd()).to_string()).join(name);
    let list = match grown(|buffer| rustix::fs::llistxattr(&path, buffer)) {
        Err(error) if error.raw_os_error() == Some(Errno::NOTSUP.raw_os_error()) => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for attribute in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(attribute) = std::str::from_utf8(attribute) else { continue };
        match grown(|buffer| rustix::fs::lgetxattr(&path, attribute, buffer)) {
            // It went away meanwhile.
            Err(error) if error.raw_os_error() == Some(Errno::NODATA.raw_os_error()) => {}
            value => all.push((attribute.to_owned(), value?)),
        }
    }
    Ok(all)
}

/// What `read` writes into a buffer, which is made larger when it does not fit.
fn grown(mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 512];
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

/// A file that gives as many bytes as its header says, whatever becomes of it meanwhile: the rest of one that shrank is
/// zeros, what was added to one that grew is left out.
struct Exactly<R> {
    file: R,
    left: u64,
}

impl<R: Read> Exactly<R> {
    fn new(file: R, size: i64) -> Self {
        Self { file, left: u64::try_from(size).unwrap_or(0) }
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let mut read = self.file.read(&mut buffer[..room])?;
        if read == 0 {
            buffer[..room].fill(0);
            read = room;
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn links_long_names_and_attributes_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let long = "x".repeat(150);
        std::fs::create_dir(place.path().join(&long)).unwrap();
        std::fs::write(place.path().join(&long).join("file"), "text").unwrap();
        std::fs::set_permissions(place.path().join(&long).join("file"), PermissionsExt::from_mode(0o4751))
            .unwrap();
        std::fs::hard_link(place.path().join(&long).join("file"), place.path().join("zzz")).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", place.path().join("link")).unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let attribute = dir.set_xattr(Path::new("zzz"), "user.note", b"value\0more");
        let mut packer = Packer::new(Vec::new());
        packer.file("metadata.yaml", 0o644, b"a: b\n").unwrap();
        packer.tree(&dir, "rootfs").unwrap();
        let bytes = packer.finish().unwrap();

        let mut archive = ::tar::Archive::new(&*bytes);
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let kind = entry.header().entry_type();
            if (path.ends_with("zzz") || path.ends_with("file")) && kind == EntryType::Regular {
                assert_eq!(entry.header().mode().unwrap(), 0o4751);
                let records = entry.pax_extensions().unwrap().unwrap();
                let keys: Vec<_> = records.map(|record| record.unwrap().key().unwrap().to_owned()).collect();
                assert!(
                    attribute.is_err() || keys.contains(&"SCHILY.xattr.user.note".to_owned()),
                    "{keys:?}"
                );
            }
            seen.push((path, kind));
        }
        let count = |kind: EntryType| seen.iter().filter(|(_, found)| *found == kind).count();
        assert_eq!((count(EntryType::Regular), count(EntryType::Link), count(EntryType::Symlink)), (2, 1, 1));
        assert!(seen.iter().any(|(path, _)| *path == format!("rootfs/{long}")));
    }

    #[test]
    fn a_tree_that_changes_is_packed() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("stays"), "text").unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let changes = || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for name in ["a", "z"].map(|name| place.path().join(name)) {
                    std::fs::write(&name, "new").unwrap();
                    std::fs::remove_file(&name).unwrap();
                    std::os::unix::fs::symlink("nowhere", &name).unwrap();
                    std::fs::remove_file(&name).unwrap();
                    std::fs::create_dir_all(name.join("inside")).unwrap();
                    std::fs::remove_dir_all(&name).unwrap();
                }
            }
        };
        let packed: Vec<_> = std::thread::scope(|scope| {
            scope.spawn(changes);
            let pack = || {
                let mut packer = Packer::new(Vec::new());
                packer.tree(&dir, "rootfs").and_then(|()| packer.finish())
            };
            let packed = (0..500).map(|_| pack()).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            packed
        });
        for bytes in packed {
            let bytes = bytes.unwrap();
            let mut archive = ::tar::Archive::new(&*bytes);
            let paths = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
            assert!(paths.collect::<Vec<_>>().contains(&PathBuf::from("rootfs/stays")));
        }
    }

    #[test]
    fn a_file_that_shrank_is_filled_up() {
        let mut out = Vec::new();
        Exactly::new(&b"abc"[..], 5).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"abc\0\0");
        out.clear();
        Exactly::new(&b"abcdef"[..], 3).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"abc");
    }
}
