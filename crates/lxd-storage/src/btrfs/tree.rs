//! Subvolumes with all that are nested in them (a container may make its own): kept through snapshots, removed together.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use lxd_sys::{Dir, btrfs};

/// Deepest nesting that is followed.
const DEPTH: usize = 64;

/// Makes an empty subvolume at a path below `root`.
pub(super) fn create(root: &Dir, path: &str) -> io::Result<()> {
    let (parent, name) = parent(root, Path::new(path))?;
    btrfs::create(&parent, name)
}

/// Makes a snapshot of a subvolume, with those nested in it, at a path below `root`.
pub(super) fn snapshot(source: &Dir, root: &Dir, path: &str, read_only: bool) -> io::Result<()> {
    let made = copy(source, root, Path::new(path), DEPTH);
    if read_only && made.is_ok() {
        return make_read_only(root, path);
    }
    made
}

/// Makes a writable snapshot of a subvolume at a path that need not be text.
pub(super) fn snapshot_at(source: &Dir, root: &Dir, path: &Path) -> io::Result<()> {
    copy(source, root, path, DEPTH)
}

/// Makes a subvolume at a path below `root`, and those in it, read-only.
pub(super) fn make_read_only(root: &Dir, path: &str) -> io::Result<()> {
    protect(&root.open_dir(path)?, true, DEPTH)
}

fn copy(source: &Dir, root: &Dir, path: &Path, depth: usize) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    let (parent, name) = parent(root, path)?;
    btrfs::snapshot(source, &parent, name)?;
    let nested = btrfs::nested(source)?;
    if nested.is_empty() {
        return Ok(());
    }
    let made = parent.open_dir(name)?;
    for inner in nested {
        // The kernel leaves an empty directory in its place.
        match made.remove_dir(&inner) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        copy(&source.open_dir(&inner)?, &made, &inner, depth)?;
    }
    Ok(())
}

/// Makes a subvolume and those in it read-only or writable.
fn protect(subvolume: &Dir, read_only: bool, depth: usize) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    if !read_only {
        btrfs::set_read_only(subvolume, false)?;
    }
    for inner in btrfs::nested(subvolume)? {
        protect(&subvolume.open_dir(&inner)?, read_only, depth)?;
    }
    btrfs::set_read_only(subvolume, read_only)
}

/// Removes what is at a path below `root`: a subvolume with those in it, or (what an interrupted run left) a directory.
/// Nothing there is success.
pub(super) fn remove(root: &Dir, path: &str) -> io::Result<()> {
    let subvolume = match root.open_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !btrfs::is_subvolume(&subvolume)? {
        return root.remove_tree(path);
    }
    protect(&subvolume, false, DEPTH)?;
    drop(subvolume);
    destroy(root, Path::new(path), DEPTH)
}

fn destroy(root: &Dir, path: &Path, depth: usize) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    let (parent, name) = parent(root, path)?;
    let subvolume = parent.open_dir(name)?;
    for inner in btrfs::nested(&subvolume)? {
        destroy(&subvolume, &inner, depth)?;
    }
    drop(subvolume);
    match btrfs::destroy(&parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The directory that holds the last component, and that component.
fn parent<'p>(root: &Dir, path: &'p Path) -> io::Result<(Dir, &'p OsStr)> {
    let name = path.file_name().ok_or(rustix::io::Errno::INVAL)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((root.open_dir(above)?, name))
}

fn too_deep() -> io::Error {
    io::Error::other(format!("subvolumes nested deeper than {DEPTH}"))
}
