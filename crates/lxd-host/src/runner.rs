//! The only door to child processes.
//!
//! A [`Cmd`] is an explicit argument vector (never a shell), an environment of its own, a time limit and a limit
//! on what is kept of its output. The child runs in a process group of its own; the whole group is killed when
//! the time is over or when the caller drops the future, so that nothing is left running unseen.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use lxd_types::error::{Classify, Kind};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How long a command may run when nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of each of its two outputs is kept when nothing else is said, in bytes.
pub const DEFAULT_OUTPUT_LIMIT: usize = 1 << 20;

/// A command that takes longer is named in the log.
const SLOW: Duration = Duration::from_secs(10);

/// Variables of our own that a child must not see: they belong to this process alone.
const NOT_INHERITED: &[&str] =
    &["LANG", "LANGUAGE", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET"];

/// Where a child reads from.
#[derive(Debug, Default)]
pub enum Input {
    /// `/dev/null`.
    #[default]
    Null,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// An open file, pipe or socket.
    File(File),
}

/// Where the standard output of a child goes.
#[derive(Debug, Default)]
pub enum OutputTo {
    /// Into [`Output::stdout`], at most the output limit.
    #[default]
    Capture,
    /// Into an open file, pipe or socket.
    File(File),
    /// `/dev/null`.
    Null,
}

/// A command to run: what, with which arguments, environment, input and limits.
///
/// Operands that come from users belong behind a `--` (security rule R4).
#[derive(Debug)]
pub struct Cmd {
    /// The program: a name found in `PATH`, or a path.
    pub program: OsString,
    /// Its arguments, one by one.
    pub args: Vec<OsString>,
    /// Variables set on top of the inherited ones.
    pub env: BTreeMap<OsString, OsString>,
    /// Standard input.
    pub input: Input,
    /// Standard output.
    pub stdout: OutputTo,
    /// Working directory; `/` when nothing is said.
    pub directory: PathBuf,
    /// After this time the process group is killed; `None` waits for ever (long copies that a caller may cancel).
    pub timeout: Option<Duration>,
    /// More output than this is read but not kept, in bytes.
    pub output_limit: usize,
}

impl Cmd {
    /// A command without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            input: Input::Null,
            stdout: OutputTo::Capture,
            directory: PathBuf::from("/"),
            timeout: Some(DEFAULT_TIMEOUT),
            output_limit: DEFAULT_OUTPUT_LIMIT,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// One more variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(key.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// What it reads.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// Where its standard output goes.
    #[must_use]
    pub fn stdout(mut self, to: OutputTo) -> Self {
        self.stdout = to;
        self
    }

    /// Its working directory.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = path.into();
        self
    }

    /// Another time limit than [`DEFAULT_TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// No time limit: the caller cancels by dropping the future.
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Another output limit than [`DEFAULT_OUTPUT_LIMIT`], in bytes.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Program and arguments as one line, for messages and for the fakes of tests.
    pub fn line(&self) -> String {
        let mut line = self.program.to_string_lossy().into_owned();
        for arg in &self.args {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }
}

/// What a command that ended with status 0 wrote.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Output {
    /// Standard output (empty unless captured).
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The id that the process had.
    pub pid: i32,
}

impl Output {
    /// Standard output as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A child that was left running and outlives us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Detached {
    /// Its process id.
    pub pid: i32,
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CmdError {
    /// There is no such program.
    #[error("Failed to run: {line}: exec: {program:?}: executable file not found in $PATH")]
    Missing {
        /// The program.
        program: String,
        /// The whole command.
        line: String,
    },
    /// It could not be started, or its pipes broke.
    #[error("Failed to run: {line}")]
    Start {
        /// The whole command.
        line: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It ended with another status than 0.
    #[error("Failed to run: {line}: {status} ({})", String::from_utf8_lossy(stderr).trim())]
    Failed {
        /// The whole command.
        line: String,
        /// How it ended.
        status: Ended,
        /// What it wrote to standard output.
        stdout: Vec<u8>,
        /// What it wrote to standard error.
        stderr: Vec<u8>,
    },
    /// It took too long and was killed.
    #[error("Failed to run: {line}: killed after {limit:?}")]
    TimedOut {
        /// The whole command.
        line: String,
        /// Its time limit.
        limit: Duration,
    },
}

impl CmdError {
    /// The exit status, when the command ran to its end.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Failed { status: Ended(status), .. } => status.code(),
            _ => None,
        }
    }

    /// What the command wrote to standard error, when it ran to its end.
    pub fn stderr(&self) -> &[u8] {
        match self {
            Self::Failed { stderr, .. } => stderr,
            _ => &[],
        }
    }
}

impl Classify for CmdError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } | Self::Start { .. } | Self::Failed { .. } | Self::TimedOut { .. } => {
                Kind::Internal
            }
        }
    }
}

/// How a process ended, in the words that users of LXD know (`exit status 1`, `signal: killed`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended(pub ExitStatus);

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::os::unix::process::ExitStatusExt;
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(signal)) => write!(f, "signal: {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// Runs commands. The real one is [`RealRunner`]; tests script their own.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs a command to its end. Dropping the future kills the command with all its children.
    ///
    /// # Errors
    /// Everything but an exit status of 0.
    async fn run(&self, cmd: Cmd) -> Result<Output, CmdError>;

    /// Starts a command that outlives this daemon, in a process group of its own, and does not wait for it.
    /// Its standard error goes to `stderr`; time and output limits do not apply.
    ///
    /// # Errors
    /// It could not be started.
    async fn spawn(&self, cmd: Cmd, stderr: File) -> Result<Detached, CmdError>;
}

/// Starts real processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealRunner;

#[async_trait]
impl Runner for RealRunner {
    async fn run(&self, cmd: Cmd) -> Result<Output, CmdError> {
        let line = cmd.line();
        let (limit, keep) = (cmd.timeout, cmd.output_limit);
        let (mut command, input) = command(cmd, Stdio::piped());
        let mut child = command.spawn().map_err(|error| start_error(&line, &command, error))?;
        let mut group = KillGroup::of(&child);
        let work = watched(&line, communicate(&mut child, input, keep));
        let ended = match limit {
            None => work.await,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(ended) => ended,
                Err(_) => {
                    drop(group);
                    let _ = child.wait().await;
                    return Err(CmdError::TimedOut { line, limit });
                }
            },
        };
        let (status, output) = ended.map_err(|source| CmdError::Start { line: line.clone(), source })?;
        group.disarm();
        if status.success() {
            return Ok(output);
        }
        Err(CmdError::Failed { line, status: Ended(status), stdout: output.stdout, stderr: output.stderr })
    }

    async fn spawn(&self, cmd: Cmd, stderr: File) -> Result<Detached, CmdError> {
        let line = cmd.line();
        let (mut command, input) = command(cmd, Stdio::from(stderr));
        command.kill_on_drop(false);
        let mut child = command.spawn().map_err(|error| start_error(&line, &command, error))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        if let (Some(bytes), Some(mut stdin)) = (input, child.stdin.take()) {
            let written = stdin.write_all(&bytes).await;
            written.map_err(|source| CmdError::Start { line, source })?;
        }
        // The runtime reaps it in the background, whenever it ends.
        drop(child);
        Ok(Detached { pid })
    }
}

/// The prepared command, and the bytes that are to be written to it.
fn command(cmd: Cmd, stderr: Stdio) -> (Command, Option<Vec<u8>>) {
    let mut command = Command::new(&cmd.program);
    command.args(&cmd.args).current_dir(&cmd.directory);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").envs(&cmd.env);
    command.process_group(0).kill_on_drop(true).stderr(stderr);
    command.stdout(match cmd.stdout {
        OutputTo::Capture => Stdio::piped(),
        OutputTo::File(file) => Stdio::from(file),
        OutputTo::Null => Stdio::null(),
    });
    let bytes = match cmd.input {
        Input::Null => {
            command.stdin(Stdio::null());
            None
        }
        Input::File(file) => {
            command.stdin(Stdio::from(file));
            None
        }
        Input::Bytes(bytes) => {
            command.stdin(Stdio::piped());
            Some(bytes)
        }
    };
    (command, bytes)
}

fn start_error(line: &str, command: &Command, source: io::Error) -> CmdError {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    match source.kind() {
        io::ErrorKind::NotFound => CmdError::Missing { program, line: line.to_owned() },
        _ => CmdError::Start { line: line.to_owned(), source },
    }
}

/// Feeds the child, reads all it says, waits for it.
async fn communicate(
    child: &mut Child,
    input: Option<Vec<u8>>,
    keep: usize,
) -> io::Result<(ExitStatus, Output)> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let (Some(bytes), Some(mut stdin)) = (input, stdin) {
            // A child may end without reading everything: its exit status tells whether that was wrong.
            let _ = stdin.write_all(&bytes).await;
        }
    };
    let (_, stdout, stderr, status) =
        tokio::join!(feed, keep_up_to(stdout, keep), keep_up_to(stderr, keep), child.wait());
    Ok((status?, Output { stdout: stdout?, stderr: stderr?, pid }))
}

/// Waits, and names in the log what is waited for when that takes long.
async fn watched<T>(line: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let (begin, mut pause) = (tokio::time::Instant::now(), SLOW);
    loop {
        match tokio::time::timeout(pause, work.as_mut()).await {
            Ok(done) => return done,
            Err(_) => {
                tracing::warn!(command = line, seconds = begin.elapsed().as_secs(), "Waiting for a command")
            }
        }
        pause *= 2;
    }
}

/// Reads to the end and keeps the first `keep` bytes.
async fn keep_up_to(from: Option<impl AsyncRead + Unpin>, keep: usize) -> io::Result<Vec<u8>> {
    let Some(mut from) = from else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    (&mut from).take(keep as u64).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// Kills the process group of a child unless the child was waited for.
struct KillGroup(Option<Pid>);

impl KillGroup {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }

    /// The child is gone: its number may belong to another process now.
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for KillGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
