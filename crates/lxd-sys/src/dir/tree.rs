//! Removing whole trees that somebody else may be changing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags, ResolveFlags};

use super::{BENEATH, Dir, FileKind, open_beneath};

/// Depth up to which one descriptor per level is held; deeper directories are first moved up.
const DEPTH: usize = 100;

impl Dir {
    /// Removes `path` with everything below it; symbolic links are removed, not followed; nothing there is
    /// success. Stops with an error at a mount point (`EXDEV`): what is mounted there is not ours to delete.
    /// Depth of the tree is not limited.
    ///
    /// # Errors
    /// As the system calls.
    pub fn remove_tree(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (parent, name) = match self.parent(path.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let parent =
            Dir::from_fd(open_beneath(parent.as_fd(), Path::new("."), OFlags::DIRECTORY, 0, BENEATH)?);
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(stat) if FileKind::of_mode(stat.st_mode) != FileKind::Dir => return unlink(&parent, name),
            Ok(_) => {}
        }
        remove_children(&parent.child(name)?)?;
        rmdir(&parent, name)
    }

    /// Removes everything below this directory, but not the directory.
    ///
    /// # Errors
    /// As [`Dir::remove_tree`].
    pub fn clear(&self) -> io::Result<()> {
        remove_children(&self.open_dir(".")?)
    }

    /// Removes the device nodes below this directory but character devices of the numbers (major, minor) in `keep`; says how many.
    ///
    /// # Errors
    /// As the system calls.
    pub fn remove_devices(&self, keep: &[(u32, u32)]) -> io::Result<u64> {
        let mut removed = 0;
        let mut below = vec![PathBuf::from(".")];
        while let Some(path) = below.pop() {
            let dir = self.open_dir(&path)?;
            dir.each_entry(&mut |name, kind| {
                match kind {
                    FileKind::Dir => below.push(path.join(name)),
                    FileKind::Char if dir.is_device(name, keep)? => {}
                    FileKind::Char | FileKind::Block => {
                        unlink(&dir, name)?;
                        removed += 1;
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(removed)
    }

    /// Whether a device node has one of these numbers.
    fn is_device(&self, name: &OsStr, numbers: &[(u32, u32)]) -> io::Result<bool> {
        let device = rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW)?.st_rdev;
        Ok(numbers.contains(&(rustix::fs::major(device), rustix::fs::minor(device))))
    }

    /// A directory right below, on the same mount.
    fn child(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let how = BENEATH | ResolveFlags::NO_XDEV;
        Ok(Self::from_fd(open_beneath(self.as_fd(), Path::new(name), flags, 0, how)?))
    }
}

/// Empties `top`, in rounds while too deep directories had to be moved to it.
fn remove_children(top: &Dir) -> io::Result<()> {
    let mut moved = 0_usize;
    loop {
        let before = moved;
        empty(&top.open_dir(".")?, top, 0, &mut moved)?;
        if moved == before {
            return Ok(());
        }
    }
}

/// Removes what is in `dir`.
fn empty(dir: &Dir, top: &Dir, depth: usize, moved: &mut usize) -> io::Result<()> {
    let mut below: Vec<OsString> = Vec::new();
    dir.each_entry(&mut |name, kind| {
        if kind == FileKind::Dir {
            below.push(name.to_owned());
            return Ok(());
        }
        unlink(dir, name)
    })?;
    for name in below {
        if depth >= DEPTH {
            *moved += 1;
            rustix::fs::renameat(dir, &*name, top, format!(".deep-{}-{moved}", std::process::id()))?;
            continue;
        }
        match dir.child(&name) {
            Ok(child) => empty(&child, top, depth + 1, moved)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        rmdir(dir, &name)?;
    }
    Ok(())
}

fn unlink(dir: &Dir, name: &OsStr) -> io::Result<()> {
    gone_is_fine(rustix::fs::unlinkat(dir, name, AtFlags::empty()))
}

fn rmdir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    gone_is_fine(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR))
}

fn gone_is_fine(done: rustix::io::Result<()>) -> io::Result<()> {
    match done {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
