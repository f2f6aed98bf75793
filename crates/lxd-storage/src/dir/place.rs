//! Where a `dir` pool lives: checking its source, its lay-out, the bind mount of a source elsewhere.

use std::io;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use lxd_sys::Dir;
use lxd_types::{Error, Kind, Result};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};

use crate::blocking::io_error;
use crate::driver::PoolSpec;
use crate::folder::{self, unavailable};

/// Makes the pool; takes back what it made when something fails.
pub(super) fn create(spec: &PoolSpec) -> Result<()> {
    let pools = pools_dir(spec)?;
    let name = spec.name.as_str();
    let outside = check_source(spec)?;
    pools.mkdir(name, 0o711).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::internal(format!(
            "Storage pool directory \"{}\" already exists",
            spec.mount_path().display()
        )),
        _ => io_error(error, format!("Failed to create storage pool directory \"{name}\"")),
    })?;
    let made = fill(spec, outside);
    if made.is_err() {
        take_back(spec, &pools);
    }
    made
}

fn fill(spec: &PoolSpec, outside: bool) -> Result<()> {
    if outside {
        bind(spec)?;
    }
    folder::lay_out(
        &Dir::open(spec.mount_path()).map_err(|error| io_error(error, "Failed to open storage pool"))?,
    )
}

/// Removes the empty lay-out again after a failed create; the first error is the one to report.
fn take_back(spec: &PoolSpec, pools: &Dir) {
    if let Ok(root) = Dir::open(spec.mount_path()) {
        folder::take_back_layout(&root);
    }
    let _ = rustix::mount::unmount(spec.mount_path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    let _ = pools.remove_dir(spec.name.as_str());
}

/// Removes the lay-out. Data that is left in it is not ours to delete: the error says where it is.
pub(super) fn delete(spec: &PoolSpec) -> Result<()> {
    let pools = pools_dir(spec)?;
    let name = spec.name.as_str();
    if pools.kind(name).map_err(|error| io_error(error, "Failed to look for the storage pool"))?.is_none() {
        return Ok(());
    }
    if is_outside(spec) {
        mount(spec)?;
    }
    let root =
        Dir::open(spec.mount_path()).map_err(|error| io_error(error, "Failed to open storage pool"))?;
    folder::remove_layout(spec, &root)?;
    drop(root);
    if is_outside(spec) {
        rustix::mount::unmount(spec.mount_path(), UnmountFlags::NOFOLLOW).map_err(|error| {
            io_error(error.into(), "Failed to unmount storage pool").with_kind(Kind::Busy)
        })?;
    }
    pools.remove_dir(name).map_err(|error| {
        let place = spec.mount_path();
        io_error(error, format!("Failed to remove storage pool directory \"{}\"", place.display()))
    })
}

/// Makes the pool usable after a start: bind mount and lay-out.
pub(super) fn mount(spec: &PoolSpec) -> Result<()> {
    attach(spec)?;
    let root = Dir::open(spec.mount_path()).map_err(|error| unavailable(spec, error))?;
    folder::lay_out(&root)
}

/// Makes a pool reachable that nobody recorded. Answers whether it was not before.
pub(super) fn adopt(spec: &PoolSpec) -> Result<bool> {
    let opened = attach(spec)?;
    let checked = Dir::open(spec.mount_path())
        .map_err(|error| unavailable(spec, error))
        .and_then(|root| folder::require_layout(spec, &root));
    if opened && checked.is_err() {
        leave(spec)?;
    }
    checked.map(|()| opened)
}

/// Takes the bind mount away again, where there is one; a directory with anything in it stays.
pub(super) fn leave(spec: &PoolSpec) -> Result<()> {
    match rustix::mount::unmount(spec.mount_path(), UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(error) => {
            return Err(io_error(error.into(), "Failed to unmount storage pool").with_kind(Kind::Busy));
        }
    }
    folder::remove_if_empty(&pools_dir(spec)?, Path::new(spec.name.as_str()))
        .map_err(|error| io_error(error, "Failed to remove the storage pool's directory"))
}

/// Mounts a source elsewhere, when it is not mounted yet; answers whether.
fn attach(spec: &PoolSpec) -> Result<bool> {
    let pools = pools_dir(spec)?;
    let mut opened = false;
    if is_outside(spec) {
        let source = std::fs::metadata(&spec.source).map_err(|error| unavailable(spec, error))?;
        if !source.is_dir() {
            return Err(unavailable(
                spec,
                io::Error::from_raw_os_error(rustix::io::Errno::NOTDIR.raw_os_error()),
            ));
        }
        pools.mkdir_all(spec.name.as_str(), 0o711).map_err(|error| unavailable(spec, error))?;
        if !is_bound(spec, &source)? {
            bind(spec)?;
            opened = true;
        }
    }
    Ok(opened)
}

/// Whether the source is already mounted at the pool's place.
fn is_bound(spec: &PoolSpec, source: &std::fs::Metadata) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let place = std::fs::symlink_metadata(spec.mount_path()).map_err(|error| unavailable(spec, error))?;
    Ok((place.dev(), place.ino()) == (source.dev(), source.ino()))
}

/// Mounts the source over the pool's directory, by descriptors.
fn bind(spec: &PoolSpec) -> Result<()> {
    let failed = |error: rustix::io::Errno| {
        let text = format!("Failed to mount \"{}\" on storage pool \"{}\"", spec.source.display(), spec.name);
        io_error(error.into(), text)
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, &spec.source, flags).map_err(failed)?;
    let place =
        Dir::open(spec.mount_path()).map_err(|error| io_error(error, "Failed to open storage pool"))?;
    let both_empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree.as_fd(), "", place.as_fd(), "", both_empty).map_err(failed)
}

/// Checks the source as the reference does; true when it is outside `LXD_DIR`.
fn check_source(spec: &PoolSpec) -> Result<bool> {
    if !is_outside(spec) {
        return Ok(false);
    }
    let shown = spec.source.display();
    let missing = || Error::internal(format!("Source path '{shown}' doesn't exist"));
    if !spec.source.is_absolute() {
        return Err(missing());
    }
    let real = std::fs::canonicalize(&spec.source).map_err(|_| missing())?;
    let lxd_dir = std::fs::canonicalize(&spec.lxd_dir).unwrap_or_else(|_| spec.lxd_dir.clone());
    if real.starts_with(&lxd_dir) || spec.source.starts_with(&spec.lxd_dir) {
        return Err(Error::internal(format!("Source path '{shown}' is within the LXD directory")));
    }
    let mut entries = std::fs::read_dir(&real).map_err(|error| {
        Error::with_source(Kind::Internal, format!("Failed to read source path '{shown}'"), error)
    })?;
    if entries.next().is_some() {
        return Err(Error::internal(format!("Source path '{shown}' isn't empty")));
    }
    Ok(true)
}

/// Whether the source is another place than `LXD_DIR/storage-pools/NAME`.
fn is_outside(spec: &PoolSpec) -> bool {
    plain(&spec.source) != plain(&spec.mount_path())
}

/// The path without `.`, double and final slashes.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn pools_dir(spec: &PoolSpec) -> Result<Dir> {
    let path = spec.lxd_dir.join("storage-pools");
    Dir::open(&path).map_err(|error| io_error(error, format!("Failed to open \"{}\"", path.display())))
}
