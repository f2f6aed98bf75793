//! File access inside a container, running or not, through a confined helper.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lxd_host::HelperProcess;
use lxd_sys::Dir;
use lxd_types::helper::{FileReply, FileRequest, FileSession};
use lxd_types::{Error, Result};

use crate::driver::Containers;
use crate::running::Running;

/// A session of file requests inside one container. Dropping it ends the helper.
#[derive(Debug)]
pub struct Files {
    process: HelperProcess,
}

impl Containers {
    /// Opens a session inside a running container; `unprivileged` says whether it has an id map.
    ///
    /// # Errors
    /// The container has ended.
    pub async fn files_of_running(&self, running: &Running, unprivileged: bool) -> Result<Files> {
        self.files(FileSession::Running { unprivileged }, running.init_fd()).await
    }

    /// Opens a session below the root directory of a stopped container, in which files have the ids of the inside.
    ///
    /// # Errors
    /// The helper cannot be started.
    pub async fn files_of_stopped(&self, root: &Dir) -> Result<Files> {
        self.files(FileSession::Stopped, root.as_fd()).await
    }

    async fn files(&self, session: FileSession, fd: BorrowedFd<'_>) -> Result<Files> {
        let mut process = self.helper.start("file", &session, &[fd], None).await?;
        process.answer::<FileReply>().await?;
        Ok(Files { process })
    }
}

impl Files {
    /// Whether it can take another request: the helper lives and has answered the last one.
    pub fn is_idle(&mut self) -> bool {
        self.process.is_idle()
    }

    /// One request; a descriptor comes with [`FileReply::Opened`].
    ///
    /// # Errors
    /// `NotFound`, and what the file system says.
    pub async fn request(&mut self, request: &FileRequest) -> Result<(FileReply, Option<OwnedFd>)> {
        self.process.request(request, &[]).await?;
        let (reply, mut fds) = self.process.answer_with_fds().await?;
        Ok((reply, fds.pop()))
    }

    /// [`FileRequest::Write`] of this content.
    ///
    /// # Errors
    /// As [`Files::request`].
    pub async fn write(&mut self, request: &FileRequest, content: &[u8]) -> Result<()> {
        self.process.request_with(request, content).await?;
        self.process.answer::<FileReply>().await.map(drop)
    }

    /// One request that is answered with an open file.
    ///
    /// # Errors
    /// As [`Files::request`].
    pub async fn open(&mut self, request: &FileRequest) -> Result<(lxd_types::helper::FileStat, OwnedFd)> {
        match self.request(request).await? {
            (FileReply::Opened(stat), Some(fd)) => Ok((stat, fd)),
            _ => Err(Error::internal("Helper gave a wrong answer")),
        }
    }
}
