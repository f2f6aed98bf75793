//! Files that come slowly: a path shows them when they are whole, and not before. A client that goes away in the middle
//! leaves what was there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use lxd_auth::{Caller, Permit};
use lxd_sys::Dir;
use lxd_sys::dir::OFlags;
use lxd_types::error::Context;
use lxd_types::helper::{FileOwner, FileReply, FileRequest};
use lxd_types::names::InstanceName;
use lxd_types::{Error, Result};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::InstanceKey;
use super::content::{self, told};
use super::file_sessions::Session;
use crate::SharedCore;

/// How much is copied at once.
const STEP: usize = 256 << 10;

/// A file on its way into an instance. Dropped, it leaves nothing.
pub struct Upload {
    core: SharedCore,
    caller: Caller,
    key: InstanceKey,
    path: String,
    session: Session,
    /// Has no name. Beside the path where that is possible, otherwise in `LXD_DIR`.
    file: File,
}

impl Upload {
    /// Begins; what can be refused is refused now.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn begin(
        core: &SharedCore,
        permit: &Permit,
        name: &InstanceName,
        path: &str,
        owner: FileOwner,
    ) -> Result<Self> {
        let key = InstanceKey::new(permit.project(), name);
        let mut session = content::open(core, &key).await?;
        let request = FileRequest::Receive { path: path.to_owned(), owner };
        let (_, fd) = session.files()?.request(&request).await.map_err(told)?;
        let file = match fd {
            Some(fd) => fd.into(),
            None => nameless(core).await.context("Failed to make a temporary file")?,
        };
        let (core, caller) = (core.clone(), permit.caller().clone());
        Ok(Self { core, caller, key, path: path.to_owned(), session, file })
    }

    /// Where the content is to be written.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn file(&self) -> Result<File> {
        self.file.try_clone().context("Failed to write the file")
    }

    /// Shows the content at the path. To be run on a task of the daemon ([`crate::Core::run`]).
    ///
    /// # Errors
    /// What the file system says.
    pub async fn finish(mut self) -> Result<()> {
        if let (FileReply::Opened(_), Some(target)) =
            self.session.files()?.request(&FileRequest::Publish).await.map_err(told)?
        {
            let (from, to) = (self.file, File::from(target));
            let copying = tokio::task::spawn_blocking(move || replace(&from, &to).map(|()| from));
            let copied = copying.await.map_err(|panic| Error::internal(panic.to_string()))?;
            let received = copied.context("Failed to write the file")?;
            // Its blocks and pages go while the client has its answer already.
            tokio::task::spawn_blocking(move || drop(received));
        }
        self.core.tell(&self.caller, content::pushed(&self.key, &self.path));
        Ok(())
    }
}

/// Gives a file the content of another one. The room is asked for first: a full disk leaves what was there.
fn replace(from: &File, to: &File) -> io::Result<()> {
    let size = from.metadata()?.len();
    if size > 0 {
        // Not every file system knows this.
        let room = rustix::fs::fallocate(to, FallocateFlags::KEEP_SIZE, 0, size);
        if matches!(room, Err(Errno::NOSPC | Errno::DQUOT)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
    }
    let mut buffer = vec![0; STEP];
    let mut at = 0;
    loop {
        let length = from.read_at(&mut buffer, at)?;
        if length == 0 {
            return to.set_len(at);
        }
        to.write_all_at(&buffer[..length], at)?;
        at += length as u64;
    }
}

/// A file that goes with its last descriptor.
async fn nameless(core: &SharedCore) -> io::Result<File> {
    let root = core.paths.root().to_owned();
    let make = move || Dir::open(root)?.open_raw(".", OFlags::TMPFILE | OFlags::RDWR, 0o600);
    Ok(tokio::task::spawn_blocking(make).await.map_err(io::Error::other)??.into())
}
