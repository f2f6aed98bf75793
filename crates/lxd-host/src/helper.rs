//! Starting `lxd-helper`: one sealed copy in memory, one process per job, JSON frames over a socket pair.
//!
//! ```ignore
//! let helper = Helper::open(Path::new("/usr/lib/lxd/lxd-helper"))?;        // once per daemon
//! let mut process = helper.start("unpack", &job, &[archive.as_fd(), target.as_fd()], None).await?;
//! let done: Unpacked = process.answer().await?;
//! ```
//!
//! A process is killed when its [`HelperProcess`] is dropped: that is how a job is cancelled.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use lxd_sys::frame;
use lxd_types::helper::Answer;
use lxd_types::{Error, Kind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// Frames up to this size are written at once: a fresh socket's buffer holds them.
const SMALL: usize = 64 << 10;

/// The helper program, opened once.
#[derive(Clone, Debug)]
pub struct Helper {
    program: Arc<OwnedFd>,
    path: PathBuf,
    /// Whether it is told where programs are.
    programs: bool,
}

impl Helper {
    /// Copies the program at `path` into sealed memory.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let program = lxd_sys::memfd::sealed_copy(path)
            .map_err(|error| Error::with_source(Kind::Internal, format!("Failed to open {path:?}"), error))?;
        Ok(Self { program: Arc::new(program), path: path.to_owned(), programs: true })
    }

    /// Opens the helper that lies beside this executable, or beside the one that `LXD_EXEC_PATH` names
    /// (`lxd-helper`; manual 3.6.6).
    ///
    /// # Errors
    /// It is not there.
    pub fn beside_executable() -> Result<Self> {
        let named = std::env::var_os("LXD_EXEC_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
        let own = named.map_or_else(std::env::current_exe, Ok);
        let own =
            own.map_err(|error| Error::with_source(Kind::Internal, "Failed to find own executable", error))?;
        Self::open(&own.with_file_name("lxd-helper"))
    }

    /// One whose processes have no `PATH`: libraries in it find no programs to use.
    #[must_use]
    pub fn without_programs(&self) -> Self {
        Self { programs: false, ..self.clone() }
    }

    /// Where the program lies on disk, for command lines that outlive the daemon (hooks).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts `lxd-helper SUBCOMMAND` and gives it a job and descriptors. What it writes to its standard error goes to
    /// `log`, or nowhere. It sees no environment but a `PATH`, and only the descriptors given.
    ///
    /// # Errors
    /// The process cannot be started or does not take its job.
    pub async fn start(
        &self,
        subcommand: &str,
        job: &impl Serialize,
        fds: &[BorrowedFd<'_>],
        log: Option<File>,
    ) -> Result<HelperProcess> {
        self.begin(subcommand, job, fds, log, true).await
    }

    /// As [`Helper::start`], but the process goes on when this daemon ends or drops it.
    ///
    /// # Errors
    /// The process cannot be started or does not take its job.
    pub async fn start_lasting(
        &self,
        subcommand: &str,
        job: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<HelperProcess> {
        self.begin(subcommand, job, fds, None, false).await
    }

    async fn begin(
        &self,
        subcommand: &str,
        job: &impl Serialize,
        fds: &[BorrowedFd<'_>],
        log: Option<File>,
        ends_with_us: bool,
    ) -> Result<HelperProcess> {
        let failed = |error: io::Error| {
            Error::with_source(Kind::Internal, format!("Failed to start helper {subcommand:?}"), error)
        };
        let job = serde_json::to_vec(job).map_err(|error| failed(error.into()))?;
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        let child = self.spawn(subcommand, theirs, log, ends_with_us).map_err(failed)?;
        let ours = send_first(ours, job, fds).await.map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        Ok(HelperProcess { child, socket: UnixStream::from_std(ours).map_err(failed)?, waits: false })
    }

    fn spawn(
        &self,
        subcommand: &str,
        socket: StdStream,
        log: Option<File>,
        ends_with_us: bool,
    ) -> io::Result<Child> {
        let mut command = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command.env_clear();
        if self.programs {
            command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        }
        command
            .arg0("lxd-helper")
            .arg(subcommand)
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::null())
            .stderr(log.map_or_else(Stdio::null, Stdio::from))
            .process_group(0)
            .kill_on_drop(ends_with_us)
            .spawn()
    }
}

/// Sends the job; a large one from a thread, because the child reads it only after its start.
async fn send_first(socket: StdStream, job: Vec<u8>, fds: &[BorrowedFd<'_>]) -> io::Result<StdStream> {
    if job.len() <= SMALL {
        frame::send(&socket, &job, fds)?;
        return Ok(socket);
    }
    let fds = fds.iter().map(BorrowedFd::try_clone_to_owned).collect::<io::Result<Vec<_>>>()?;
    tokio::task::spawn_blocking(move || {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        frame::send(&socket, &job, &fds)?;
        Ok(socket)
    })
    .await
    .map_err(io::Error::other)?
}

/// A running helper. Dropping it kills the process, unless it was started to last.
#[derive(Debug)]
pub struct HelperProcess {
    child: Child,
    socket: UnixStream,
    /// A request was sent whose answer was not received, or not wholly.
    waits: bool,
}

impl HelperProcess {
    /// The next answer, without its descriptors.
    ///
    /// # Errors
    /// The helper's own failure, or that it ended without an answer.
    pub async fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(self.answer_with_fds().await?.0)
    }

    /// The next answer with the descriptors that came along.
    ///
    /// # Errors
    /// As [`HelperProcess::answer`].
    pub async fn answer_with_fds<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>)> {
        let frame = self.receive().await;
        let frame = frame.map_err(|error| Error::with_source(Kind::Internal, "Helper is gone", error))?;
        let Some((data, fds)) = frame else { return Err(self.ended().await) };
        match serde_json::from_slice(&data) {
            Ok(Answer::Ok(value)) => Ok((value, fds)),
            Ok(Answer::Error(failure)) => Err(match failure.errno {
                Some(errno) => {
                    let source = io::Error::from_raw_os_error(errno);
                    Error::with_source(kind_of(&source), failure.message, source)
                }
                None => Error::internal(failure.message),
            }),
            Err(error) => Err(Error::with_source(Kind::Internal, "Helper gave a wrong answer", error)),
        }
    }

    /// Sends one more request to a helper that serves several. Small ones only (64 KiB).
    ///
    /// # Errors
    /// The helper is gone.
    pub async fn request(&mut self, request: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let failed = |error: io::Error| Error::with_source(Kind::Internal, "Helper is gone", error);
        let data = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
        self.waits = true;
        self.send(&data, fds).await.map_err(failed)
    }

    /// As [`HelperProcess::request`], for a request that announces `content` as the next frame.
    ///
    /// # Errors
    /// The helper is gone.
    pub async fn request_with(&mut self, request: &impl Serialize, content: &[u8]) -> Result<()> {
        self.request(request, &[]).await?;
        let sent = self.send(content, &[]).await;
        sent.map_err(|error| Error::with_source(Kind::Internal, "Helper is gone", error))
    }

    /// Whether a helper that serves several requests can take the next one: it lives, and has answered the last.
    pub fn is_idle(&mut self) -> bool {
        !self.waits && matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits for the end of the process; true when its exit status is 0.
    ///
    /// # Errors
    /// As `waitpid`.
    pub async fn wait(&mut self) -> io::Result<bool> {
        Ok(self.child.wait().await?.success())
    }

    async fn receive(&mut self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let mut head = [0_u8; 4];
        let read = |head: &mut [u8; 4]| frame::receive_head(self.socket.as_fd(), head);
        let (got, fds) = self.socket.async_io(Interest::READABLE, || read(&mut head)).await?;
        if got == 0 {
            return Ok(None);
        }
        self.socket.read_exact(&mut head[got..]).await?;
        let mut data = vec![0_u8; frame::length(head)?];
        self.socket.read_exact(&mut data).await?;
        self.waits = false;
        Ok(Some((data, fds)))
    }

    async fn send(&mut self, data: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        use tokio::io::AsyncWriteExt;
        let head = frame::head(data)?;
        let first = || frame::send_part(self.socket.as_fd(), &head, data, fds);
        let sent = self.socket.async_io(Interest::WRITABLE, first).await?;
        self.socket.write_all(&head[sent.min(head.len())..]).await?;
        self.socket.write_all(&data[sent.saturating_sub(head.len())..]).await
    }

    async fn ended(&mut self) -> Error {
        match self.child.wait().await {
            Ok(status) => Error::internal(format!("Helper ended without an answer: {status}")),
            Err(error) => Error::with_source(Kind::Internal, "Helper ended without an answer", error),
        }
    }
}

/// What an error of the file system means for the one who asked.
fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::AlreadyExists => Kind::Conflict,
        io::ErrorKind::PermissionDenied => Kind::Forbidden,
        _ => Kind::Internal,
    }
}
