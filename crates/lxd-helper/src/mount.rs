//! `mount`: shows a mount of the host in a running container, or takes it away.
//!
//! Works in the container's mount namespace with the rights of the host. What has to be made to mount on is made as the
//! container's root, so that it owns it, and cannot be led anywhere the container's root could not write. Links are
//! followed as they are inside: the root of the namespace is the container's.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use lxd_sys::dir::OFlags;
use lxd_sys::namespace::{self, Namespaces};
use lxd_sys::{Dir, FileKind, mount, process};
use lxd_types::helper::{Mount, MountAction};
use rustix::mount::UnmountFlags;

use crate::link::{Link, Outcome, failure, system};

/// Runs the job.
pub fn run(link: &Link) -> Outcome<()> {
    let (job, fds): (Mount, _) = link.job()?;
    let target = Path::new(&job.target);
    let plain = target.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || job.target.is_empty() {
        return Err(failure(format!("Wrong mount target {target:?}")));
    }
    let init = fds.first().ok_or_else(|| failure("A pidfd is needed"))?;
    namespace::enter(init, Namespaces::MOUNT)
        .map_err(|error| system("Failed to enter the mount namespace", &error))?;
    let root = Dir::open("/").map_err(|error| system("Failed to open the container's root", &error))?;
    match (job.action, fds.get(1)) {
        (MountAction::Remove, _) => {
            remove(&root, target, job.root).map_err(|error| system("Failed to unmount", &error))?;
        }
        (action, Some(tree)) => {
            let place = place(&root, target, action, job.root)
                .map_err(|error| system(format!("Failed to create the mount target {target:?}"), &error))?;
            mount::attach(tree, place).map_err(|error| system("Failed to attach the mount", &error))?;
        }
        (_, None) => return Err(failure("A mount is needed")),
    }
    link.ok(&(), &[])
}

/// The target, open; made with the directories above it where it is missing.
fn place(root: &Dir, target: &Path, action: MountAction, owner: (u32, u32)) -> io::Result<OwnedFd> {
    match root.open_in_root(target, OFlags::PATH, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    as_owner(owner, || {
        let mut above = PathBuf::new();
        for part in target.parent().into_iter().flat_map(Path::components) {
            make(root, &above, Path::new(&part), MountAction::Directory)?;
            above.push(part);
        }
        make(root, &above, Path::new(target.file_name().unwrap_or_default()), action)
    })?;
    root.open_in_root(target, OFlags::PATH, 0)
}

/// Makes one directory or file below a directory, unless it is there.
fn make(root: &Dir, above: &Path, name: &Path, action: MountAction) -> io::Result<()> {
    let parent = parent(root, above)?;
    let made = match action {
        MountAction::File => parent.create_new(name, 0o644).map(drop),
        _ => parent.mkdir(name, 0o755),
    };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn parent(root: &Dir, above: &Path) -> io::Result<Dir> {
    match above.as_os_str().is_empty() {
        true => root.try_clone(),
        false => Ok(Dir::from_fd(root.open_in_root(above, OFlags::DIRECTORY | OFlags::RDONLY, 0)?)),
    }
}

/// Unmounts what is mounted at the target; what was made to mount on goes when it is empty.
fn remove(root: &Dir, target: &Path, owner: (u32, u32)) -> io::Result<()> {
    let above = parent(root, target.parent().unwrap_or(Path::new("")))?;
    let name = Path::new(target.file_name().unwrap_or_default());
    match unmount(&above, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Nothing is mounted there any more.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        done => done?,
    }
    let clean = || match above.kind(name)? {
        Some(FileKind::Dir) => above.remove_dir(name),
        Some(FileKind::File) if above.stat(name)?.st_size == 0 => above.remove_file(name),
        _ => Ok(()),
    };
    // A place that is not empty, or not the container's own, stays.
    let _ = as_owner(owner, clean);
    Ok(())
}

/// Lazily unmounts what is mounted over a name. By way of the working directory: there is no `/proc` here that tells of
/// this process.
fn unmount(above: &Dir, name: &Path) -> io::Result<()> {
    rustix::process::fchdir(above)?;
    Ok(rustix::mount::unmount(name, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}

/// Works with the file rights of another user.
fn as_owner<T>((uid, gid): (u32, u32), work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    process::set_effective_ids(uid, gid)?;
    let done = work();
    process::set_effective_ids(0, 0)?;
    done
}
