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

    /// Adds a directory with all that is below it, under another path. Sockets are left out, as no archive can hold them.
    ///
    /// # Errors
    /// Those of the file system and of the writer.
    pub fn tree(&mut self, root: &Dir, path: &str) -> io::Result<()> {
        let stat = root.stat(".")?;
        self.entry(root, OsStr::new("."), Path::new(path), &stat)?;
        let mut waiting = vec![PathBuf::from(".")];
        while let Some(below) = waiting.pop() {
            let dir = root.open_dir(&below)?;
            for entry in dir.read_dir(".")? {
                let place = if below == Path::new(".") {
                    PathBuf::from(&entry.name)
                } else {
                    below.join(&entry.name)
                };
                let stat = dir.stat(Path::new(&entry.name))?;
                self.entry(&dir, &entry.name, &Path::new(path).join(&place), &stat)?;
                if FileKind::of_mode(stat.st_mode) == FileKind::Dir {
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

    fn entry(&mut self, dir: &Dir, name: &OsStr, path: &Path, stat: &Stat) -> io::Result<()> {
        let kind = FileKind::of_mode(stat.st_mode);
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
        self.records(dir, name, kind, stat)?;
        match kind {
            FileKind::Dir => {
                header.set_entry_type(EntryType::Directory);
                self.tar.append_data(&mut header, path, io::empty())
            }
            FileKind::Symlink => {
                header.set_entry_type(EntryType::Symlink);
                self.tar.append_link(&mut header, path, dir.read_link(Path::new(name))?)
            }
            FileKind::File => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(u64::try_from(stat.st_size).unwrap_or(0));
                let file = dir.open_file(Path::new(name))?;
                self.tar.append_data(&mut header, path, Exactly::new(file, stat.st_size))
            }
            FileKind::Block | FileKind::Char => {
                header.set_entry_type(if kind == FileKind::Block {
                    EntryType::Block
                } else {
                    EntryType::Char
                });
                header.set_device_major(rustix::fs::major(stat.st_rdev))?;
                header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
                self.tar.append_data(&mut header, path, io::empty())
            }
            FileKind::Fifo => {
                header.set_entry_type(EntryType::Fifo);
                self.tar.append_data(&mut header, path, io::empty())
            }
            FileKind::Socket => Ok(()),
        }
    }

    /// The PAX records of an entry: what its header has no room for.
    fn records(&mut self, dir: &Dir, name: &OsStr, kind: FileKind, stat: &Stat) -> io::Result<()> {
        if kind == FileKind::Socket {
            return Ok(());
        }
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        if stat.st_mtime_nsec != 0 && stat.st_mtime >= 0 {
            let time = format!("{}.{:09}", stat.st_mtime, stat.st_mtime_nsec);
            records.push(("mtime".to_owned(), time.into_bytes()));
        }
        for (attribute, value) in attributes(dir, name)? {
            records.push((format!("{XATTR_RECORD}{attribute}"), value));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.tar.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), value.as_slice())))
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
    fn a_file_that_shrank_is_filled_up() {
        let mut out = Vec::new();
        Exactly::new(&b"abc"[..], 5).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"abc\0\0");
        out.clear();
        Exactly::new(&b"abcdef"[..], 3).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"abc");
    }
}
