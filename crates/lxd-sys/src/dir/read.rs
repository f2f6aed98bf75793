//! Reading files and directories with limits.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, RawDir};

use super::Dir;

/// One entry of a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The name; any bytes but `/` and NUL.
    pub name: OsString,
    /// What it is (never followed).
    pub kind: FileKind,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Block,
    /// A character device.
    Char,
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
}

impl FileKind {
    /// From `st_mode`; unknown types count as sockets (nothing treats those as content).
    pub fn of_mode(mode: u32) -> Self {
        Self::of_type(FileType::from_raw_mode(mode))
    }

    pub(super) fn of_type(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            FileType::BlockDevice => Self::Block,
            FileType::CharacterDevice => Self::Char,
            FileType::Fifo => Self::Fifo,
            _ => Self::Socket,
        }
    }
}

impl Dir {
    /// The entries of a directory below this one (`"."`: of this one), without `.` and `..`, sorted by name.
    ///
    /// # Errors
    /// As the system calls.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.open_dir(path)?.each_entry(&mut |name, kind| {
            entries.push(Entry { name: name.to_owned(), kind });
            Ok(())
        })?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Calls `with` for every entry, in the order of the file system. The descriptor's position moves.
    pub(super) fn each_entry(
        &self,
        with: &mut dyn FnMut(&OsStr, FileKind) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 16 << 10];
        let mut entries = RawDir::new(self, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => {
                    let stat = rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileKind::of_mode(stat.st_mode)
                }
                known => FileKind::of_type(known),
            };
            with(name, kind)?;
        }
        Ok(())
    }

    /// Reads a whole regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] when it is larger, and as [`Dir::open_file`].
    pub fn read_limited(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.open_file(path)?.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(content)
    }

    /// As [`Dir::read_limited`] for UTF-8 text.
    ///
    /// # Errors
    /// Also [`io::ErrorKind::InvalidData`].
    pub fn read_text(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<String> {
        String::from_utf8(self.read_limited(path, limit)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
