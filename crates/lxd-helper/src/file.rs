//! `file`: a session of file requests inside one container, running or not.
//!
//! The process leaves the host before the first request: it enters the mount and user namespaces of a running container, or makes the
//! root of a stopped one its own root. After that no path can lead to the host, and paths are resolved as below a root besides. Only what
//! is small is written here; else the daemon gets descriptors of regular files.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use lxd_sys::caps::{self, CapabilitySet};
use lxd_sys::dir::{Mode, OFlags, Stat};
use lxd_sys::namespace::{self, Namespaces};
use lxd_sys::seccomp::{self, Programs};
use lxd_sys::{Dir, FileKind};
use lxd_types::helper::{FileOwner, FileReply, FileRequest, FileSession, FileStat, PathKind};
use rustix::fs::{AtFlags, Gid, Uid};

use crate::link::{Link, Outcome, failure, system};

/// What root of a container may do with its files.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID);

/// Most names of one directory that are told.
const NAMES: usize = 1_000_000;

/// Serves requests until the daemon closes the socket.
pub fn run(link: &Link) -> Outcome<()> {
    let (session, mut fds): (FileSession, _) = link.job()?;
    let fd = fds.pop().ok_or_else(|| failure("One descriptor is needed"))?;
    let root = enter(session, fd).map_err(|error| system("Failed to enter the container", &error))?;
    link.ok(&FileReply::Done, &[])?;
    let mut incoming = None;
    while let Some((request, _)) = link.next::<FileRequest>()? {
        let content = match &request {
            FileRequest::Write { .. } => link.content()?,
            _ => Vec::new(),
        };
        match serve(&root, &request, &content, &mut incoming) {
            Ok((reply, fd)) => {
                link.ok(&reply, &fd.iter().map(AsFd::as_fd).collect::<Vec<BorrowedFd<'_>>>())?
            }
            Err(error) => link.error(system(name(&request), &error))?,
        }
    }
    Ok(())
}

/// Leaves the host; answers with the container's root.
fn enter(session: FileSession, fd: OwnedFd) -> io::Result<Dir> {
    rustix::process::umask(Mode::empty());
    match session {
        FileSession::Stopped => lxd_sys::mount::become_root(fd, libc::CLONE_NEWNET)?,
        FileSession::Running { unprivileged } => {
            let user = if unprivileged { Namespaces::USER } else { Namespaces::empty() };
            namespace::enter(&fd, user | Namespaces::MOUNT)?;
            if unprivileged {
                become_inner_root()?;
            }
            rustix::process::chdir("/")?;
        }
    }
    drop_rights()?;
    Dir::open("/")
}

/// Root of the host is nobody in the namespace: only root of the inside can own files there.
fn become_inner_root() -> io::Result<()> {
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    Ok(())
}

fn drop_rights() -> io::Result<()> {
    caps::keep_only(CAPABILITIES)?;
    seccomp::refuse_dangerous(Programs::Refused)
}

fn serve(
    root: &Dir,
    request: &FileRequest,
    content: &[u8],
    incoming: &mut Option<Incoming>,
) -> io::Result<(FileReply, Option<OwnedFd>)> {
    let whole = incoming.take();
    match request {
        FileRequest::Stat { path } => Ok((FileReply::Stat(stat(root, path)?), None)),
        FileRequest::Open { path } => opened(root.open_in_root(path, OFlags::RDONLY | READ, 0)?),
        FileRequest::Create { path, append, owner } => create(root, path, *append, *owner),
        FileRequest::Write { path, append, owner } => done(write(root, path, *append, *owner, content)),
        FileRequest::Receive { path, owner } => {
            let begun = Incoming::begin(root, path, *owner)?;
            let reply = begun.reply()?;
            *incoming = Some(begun);
            Ok(reply)
        }
        FileRequest::Publish => {
            let whole = whole.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
            whole.publish(root)
        }
        FileRequest::List { path } => Ok((FileReply::Names(names(root, path)?), None)),
        FileRequest::Mkdir { path, owner } => done(mkdir(root, path, *owner)),
        FileRequest::Symlink { path, target, owner } => {
            let (parent, name) = parent(root, path)?;
            rustix::fs::symlinkat(target.as_str(), &parent, name)?;
            done(own(&parent, name, *owner))
        }
        FileRequest::ReadLink { path } => {
            let (parent, name) = parent(root, path)?;
            let text = rustix::fs::readlinkat(&parent, name, Vec::new())?;
            Ok((FileReply::Link(text.to_string_lossy().into_owned()), None))
        }
        FileRequest::Delete { path } => done(delete(root, path)),
    }
}

/// What was asked, for the error's text.
fn name(request: &FileRequest) -> String {
    match request {
        FileRequest::Stat { path } => format!("lstat {path}"),
        FileRequest::Open { path }
        | FileRequest::Create { path, .. }
        | FileRequest::Write { path, .. }
        | FileRequest::Receive { path, .. } => format!("open {path}"),
        FileRequest::Publish => "open".to_owned(),
        FileRequest::List { path } => format!("readdir {path}"),
        FileRequest::Mkdir { path, .. } => format!("mkdir {path}"),
        FileRequest::Symlink { path, target, .. } => format!("symlink {target} {path}"),
        FileRequest::ReadLink { path } => format!("readlink {path}"),
        FileRequest::Delete { path } => format!("remove {path}"),
    }
}

/// No request may hang on a pipe or take a terminal.
const READ: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

fn done(result: io::Result<()>) -> io::Result<(FileReply, Option<OwnedFd>)> {
    result.map(|()| (FileReply::Done, None))
}

/// Hands a regular file out, of a file system on which reading cannot be made to hang by the container.
fn opened(fd: OwnedFd) -> io::Result<(FileReply, Option<OwnedFd>)> {
    const FUSE: i64 = 0x6573_5546;
    let stat = file_stat(&rustix::fs::fstat(&fd)?);
    if stat.kind != PathKind::File {
        return Err(io::Error::from_raw_os_error(if stat.kind == PathKind::Directory {
            libc::EISDIR
        } else {
            libc::EINVAL
        }));
    }
    if rustix::fs::fstatfs(&fd)?.f_type == FUSE {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK)?;
    Ok((FileReply::Opened(stat), Some(fd)))
}

fn create(
    root: &Dir,
    path: &str,
    append: bool,
    owner: FileOwner,
) -> io::Result<(FileReply, Option<OwnedFd>)> {
    let (reply, fd) = whole(root, path, append, owner)?;
    if let (Some(fd), false) = (&fd, append) {
        rustix::fs::ftruncate(fd, 0)?;
    }
    Ok((reply, fd))
}

/// Opens a file for writing, with what is in it; makes it if need be.
fn whole(root: &Dir, path: &str, append: bool, owner: FileOwner) -> io::Result<(FileReply, Option<OwnedFd>)> {
    let flags = OFlags::WRONLY | READ | if append { OFlags::APPEND } else { OFlags::empty() };
    let fresh = flags | OFlags::CREATE | OFlags::EXCL;
    let (fd, new) = match root.open_in_root(path, fresh, owner.mode & 0o7777) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match root.open_in_root(path, flags, 0)
        {
            // A link to what does not exist: made where it points to, as a program inside would.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (root.open_in_root(path, flags | OFlags::CREATE, owner.mode & 0o7777)?, true)
            }
            other => (other?, false),
        },
        other => (other?, true),
    };
    if new {
        rustix::fs::fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(owner.mode & 0o7777))?;
    }
    opened(fd)
}

fn write(root: &Dir, path: &str, append: bool, owner: FileOwner, content: &[u8]) -> io::Result<()> {
    match create(root, path, append, owner)?.1 {
        Some(fd) => File::from(fd).write_all(content),
        None => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}

/// A file that is being received: the path does not show it before it is whole.
struct Incoming {
    path: String,
    owner: FileOwner,
    /// The file without a name, and where it belongs.
    unnamed: Option<(OwnedFd, OwnedFd, OsString)>,
}

impl Incoming {
    /// What can be refused is refused now.
    fn begin(root: &Dir, path: &str, owner: FileOwner) -> io::Result<Self> {
        match root.open_in_root(path, OFlags::WRONLY | READ, 0) {
            Ok(existing) => drop(opened(existing)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (parent, name) = parent(root, path)?;
        let unnamed = unnamed(&parent, owner).ok().map(|fd| (fd, parent, name.to_owned()));
        Ok(Self { path: path.to_owned(), owner, unnamed })
    }

    fn reply(&self) -> io::Result<(FileReply, Option<OwnedFd>)> {
        match &self.unnamed {
            Some((fd, ..)) => opened(fd.try_clone()?),
            None => done(Ok(())),
        }
    }

    /// An existing file keeps its identity (links, owner, who has it open): only its content changes. It is not truncated here,
    /// as writing over what is allocated is faster and finds room on a full disk.
    fn publish(self, root: &Dir) -> io::Result<(FileReply, Option<OwnedFd>)> {
        if let Some((fd, parent, name)) = &self.unnamed
            && rustix::fs::linkat(fd, "", parent, name.as_os_str(), AtFlags::EMPTY_PATH).is_ok()
        {
            return done(Ok(()));
        }
        whole(root, &self.path, false, self.owner)
    }
}

/// A file without a name, where the file system has such and reading cannot be made to hang.
fn unnamed(parent: &OwnedFd, owner: FileOwner) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(owner.mode & 0o7777);
    let fd = rustix::fs::openat(parent, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode)?;
    rustix::fs::fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    rustix::fs::fchmod(&fd, mode)?;
    opened(fd.try_clone()?)?;
    Ok(fd)
}

fn mkdir(root: &Dir, path: &str, owner: FileOwner) -> io::Result<()> {
    if let Ok(stat) = stat(root, path)
        && stat.kind != PathKind::Symlink
    {
        return match stat.kind {
            PathKind::Directory => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::EEXIST)),
        };
    }
    let (parent, name) = parent(root, path)?;
    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(owner.mode & 0o777))?;
    own(&parent, name, owner)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
    Ok(rustix::fs::fchmod(made, Mode::from_raw_mode(owner.mode & 0o7777))?)
}

fn delete(root: &Dir, path: &str) -> io::Result<()> {
    let (parent, name) = parent(root, path)?;
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Err(rustix::io::Errno::ISDIR) => Ok(rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?),
        other => Ok(other?),
    }
}

fn names(root: &Dir, path: &str) -> io::Result<Vec<String>> {
    let dir = Dir::from_fd(root.open_in_root(path, OFlags::DIRECTORY | OFlags::RDONLY, 0)?);
    let entries = dir.read_dir(".")?;
    Ok(entries.into_iter().take(NAMES).map(|entry| entry.name.to_string_lossy().into_owned()).collect())
}

fn stat(root: &Dir, path: &str) -> io::Result<FileStat> {
    let found = match parent(root, path) {
        Ok((parent, name)) => rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?,
        // The root itself.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => rustix::fs::fstat(root)?,
        Err(error) => return Err(error),
    };
    Ok(file_stat(&found))
}

fn file_stat(stat: &Stat) -> FileStat {
    FileStat {
        kind: match FileKind::of_mode(stat.st_mode) {
            FileKind::Dir => PathKind::Directory,
            FileKind::Symlink => PathKind::Symlink,
            FileKind::File => PathKind::File,
            _ => PathKind::Other,
        },
        owner: FileOwner { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 },
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: stat.st_mtime,
    }
}

fn own(parent: &OwnedFd, name: &OsStr, owner: FileOwner) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    Ok(rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The directory of the last component, and that component; `EBUSY` for the root.
fn parent<'p>(root: &Dir, path: &'p str) -> io::Result<(OwnedFd, &'p OsStr)> {
    let path = Path::new(path);
    match path.components().next_back() {
        Some(Component::Normal(name)) => {
            let above = path.parent().unwrap_or(Path::new("/"));
            let above = if above.as_os_str().is_empty() { Path::new("/") } else { above };
            Ok((root.open_in_root(above, OFlags::DIRECTORY | OFlags::PATH, 0)?, name))
        }
        Some(Component::ParentDir) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        _ => Err(io::Error::from_raw_os_error(libc::EBUSY)),
    }
}
