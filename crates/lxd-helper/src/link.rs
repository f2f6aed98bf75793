//! The socket to the daemon: the job comes in, answers go out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use lxd_sys::frame;
use lxd_types::helper::{Answer, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The connection to the daemon.
pub struct Link {
    socket: UnixStream,
}

/// A failure that is told to the daemon.
pub type Outcome<T> = Result<T, Failure>;

/// Runs a job over the socket that is standard input; its failure becomes the answer.
pub fn serve(run: fn(&Link) -> Outcome<()>) -> ExitCode {
    let socket = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => UnixStream::from(fd),
        Err(_) => return ExitCode::from(2),
    };
    let link = Link { socket };
    match run(&link) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.message);
            // The daemon is gone when this fails: nobody is left to be told.
            let _ = link.send(&Answer::<()>::Error(failure), &[]);
            ExitCode::FAILURE
        }
    }
}

impl Link {
    /// The job with its descriptors.
    pub fn job<T: DeserializeOwned>(&self) -> Outcome<(T, Vec<OwnedFd>)> {
        self.next()?.ok_or_else(|| failure("No job"))
    }

    /// The next request, or none when the daemon has closed the socket.
    pub fn next<T: DeserializeOwned>(&self) -> Outcome<Option<(T, Vec<OwnedFd>)>> {
        let Some((data, fds)) = frame::receive(&self.socket).map_err(|e| system("Failed to read job", &e))?
        else {
            return Ok(None);
        };
        let job = serde_json::from_slice(&data).map_err(|error| failure(format!("Wrong job: {error}")))?;
        Ok(Some((job, fds)))
    }

    /// The bytes that a request announced.
    pub fn content(&self) -> Outcome<Vec<u8>> {
        let frame = frame::receive(&self.socket).map_err(|error| system("Failed to read content", &error))?;
        frame.map(|(data, _)| data).ok_or_else(|| failure("No content"))
    }

    /// Answers.
    pub fn ok(&self, value: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Outcome<()> {
        self.send(&Answer::Ok(value), fds)
    }

    /// Answers that one request of several failed.
    pub fn error(&self, failure: Failure) -> Outcome<()> {
        self.send(&Answer::<()>::Error(failure), &[])
    }

    fn send(&self, answer: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Outcome<()> {
        let data = serde_json::to_vec(answer).map_err(|error| failure(error.to_string()))?;
        frame::send(&self.socket, &data, fds).map_err(|error| system("Failed to answer", &error))
    }
}

/// A failure with only a text.
pub fn failure(message: impl Into<String>) -> Failure {
    Failure { message: message.into(), errno: None }
}

/// A failed system call; the daemon adds the error's own text.
pub fn system(message: impl Into<String>, error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(errno) => Failure { message: message.into(), errno: Some(errno) },
        None => Failure { message: format!("{}: {error}", message.into()), errno: None },
    }
}
