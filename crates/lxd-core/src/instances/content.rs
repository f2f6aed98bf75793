//! `/1.0/instances/{name}/files`: files, directories and links inside an instance, running or not.

use std::fs::File;

use lxd_auth::Permit;
use lxd_container::Files;
use lxd_instance::keys::volatile::{self, IDMAP_CURRENT};
use lxd_sys::Dir;
use lxd_types::helper::{FileOwner, FileReply, FileRequest, FileStat, PathKind};
use lxd_types::names::InstanceName;
use lxd_types::{Error, Kind, Result};

use super::file_sessions::{Place, Session};
use super::{InstanceKey, Model, load, start};
use crate::SharedCore;
use crate::lifecycle::Lifecycle;

/// What is at a path.
pub enum Content {
    /// A file, opened for reading.
    File(File),
    /// The names in a directory.
    Directory(Vec<String>),
    /// The text of a symbolic link.
    Symlink(String),
}

/// What is to be put at a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum New {
    /// A file, whose content is written by the caller.
    File {
        /// Write at its end rather than replacing its content.
        append: bool,
    },
    /// A directory.
    Directory,
    /// A symbolic link with this text.
    Symlink(String),
}

/// Reads a path.
///
/// # Errors
/// Not found; what the file system says.
pub async fn get(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    path: &str,
) -> Result<(FileStat, Content)> {
    let key = InstanceKey::new(permit.project(), name);
    let mut session = open(core, &key).await?;
    let files = session.files()?;
    let path = path.to_owned();
    let stat = match ask(files, &FileRequest::Stat { path: path.clone() }).await? {
        FileReply::Stat(stat) => stat,
        _ => return Err(wrong()),
    };
    let event = Lifecycle::new("instance-file-retrieved", key.url()).in_project(&key.project);
    let content = match stat.kind {
        PathKind::Directory => match ask(files, &FileRequest::List { path }).await? {
            FileReply::Names(names) => Content::Directory(names),
            _ => return Err(wrong()),
        },
        PathKind::Symlink => match ask(files, &FileRequest::ReadLink { path }).await? {
            FileReply::Link(text) => Content::Symlink(text),
            _ => return Err(wrong()),
        },
        PathKind::File | PathKind::Other => {
            let (_, fd) = files.open(&FileRequest::Open { path: path.clone() }).await.map_err(told)?;
            core.tell(permit.caller(), event.with("file-source", path));
            Content::File(fd.into())
        }
    };
    Ok((stat, content))
}

/// Puts a file, directory or link at a path. A file comes back opened for writing: its content is the caller's to write.
///
/// # Errors
/// What the file system says.
pub async fn put(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    path: &str,
    new: New,
    owner: FileOwner,
) -> Result<Option<File>> {
    let key = InstanceKey::new(permit.project(), name);
    let mut session = open(core, &key).await?;
    let files = session.files()?;
    let target = path.to_owned();
    let file = match new {
        New::File { append } => {
            let request = FileRequest::Create { path: target, append, owner };
            Some(files.open(&request).await.map_err(told)?.1.into())
        }
        New::Directory => {
            ask(files, &FileRequest::Mkdir { path: target, owner }).await?;
            None
        }
        New::Symlink(text) => {
            ask(files, &FileRequest::Symlink { path: target, target: text, owner }).await?;
            None
        }
    };
    core.tell(permit.caller(), pushed(&key, path));
    Ok(file)
}

/// Writes a file whose content is there, at once and as a whole.
///
/// # Errors
/// What the file system says.
pub async fn write(
    core: &SharedCore,
    permit: &Permit,
    name: &InstanceName,
    request: &FileRequest,
    content: &[u8],
) -> Result<()> {
    let key = InstanceKey::new(permit.project(), name);
    let mut session = open(core, &key).await?;
    session.files()?.write(request, content).await.map_err(told)?;
    if let FileRequest::Write { path, .. } = request {
        core.tell(permit.caller(), pushed(&key, path));
    }
    Ok(())
}

/// What readers of events learn of a new file.
pub(super) fn pushed(key: &InstanceKey, path: &str) -> Lifecycle {
    Lifecycle::new("instance-file-pushed", key.url()).in_project(&key.project).with("file-destination", path)
}

/// Removes a file or an empty directory.
///
/// # Errors
/// Not found; what the file system says.
pub async fn delete(core: &SharedCore, permit: &Permit, name: &InstanceName, path: &str) -> Result<()> {
    let key = InstanceKey::new(permit.project(), name);
    let mut session = open(core, &key).await?;
    let files = session.files()?;
    ask(files, &FileRequest::Delete { path: path.to_owned() }).await?;
    let event = Lifecycle::new("instance-file-deleted", key.url()).in_project(&key.project);
    core.tell(permit.caller(), event.with("file", path));
    Ok(())
}

/// A session in the instance as it is now: that of an earlier request, if there is one.
pub(super) async fn open(core: &SharedCore, key: &InstanceKey) -> Result<Session> {
    let entry = core.runtime.get(key);
    let place = entry.as_ref().map_or(Place::Stopped, |entry| Place::Running(entry.running.monitor()));
    let gate = key.to_string();
    let free = core.gates.holder(&gate).is_none();
    let mut session = core.file_sessions.session(gate, place, free);
    if session.is_open() {
        return Ok(session);
    }
    let wanted = key.clone();
    let model = core.db.read(move |tx| load(tx, &wanted)).await?;
    let containers = core.containers()?;
    session.opened(match entry {
        Some(entry) => {
            let idmap = volatile::read_idmap(&model.row.config, &IDMAP_CURRENT).unwrap_or_default();
            containers.files_of_running(&entry.running, !idmap.is_empty()).await?
        }
        None => containers.files_of_stopped(&rootfs(core, &model).await?).await?,
    });
    Ok(session)
}

/// The root directory of a stopped instance.
async fn rootfs(core: &SharedCore, model: &Model) -> Result<Dir> {
    let (_pool, root) = start::mount_root(core, model).await?;
    let dir = root.dir.clone();
    tokio::task::spawn_blocking(move || dir.open_dir("rootfs"))
        .await
        .map_err(|panic| Error::internal(panic.to_string()))?
        .map_err(|error| Error::with_source(Kind::Internal, "Failed to open the root directory", error))
}

async fn ask(files: &mut Files, request: &FileRequest) -> Result<FileReply> {
    Ok(files.request(request).await.map_err(told)?.0)
}

/// That nothing is there is said as the reference says it.
pub(super) fn told(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => Error::not_found("Not Found"),
        Kind::Forbidden | Kind::Conflict => error.with_kind(Kind::Internal),
        _ => error,
    }
}

fn wrong() -> Error {
    Error::internal("Helper gave a wrong answer")
}
