//! Moves bytes between descriptors (pipes, terminals) and websockets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use lxd_task::stream::{Message, Reader, Writer};
use lxd_types::error::Context;
use lxd_types::{Error, Kind, Result};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

/// Bytes per read: smaller frames cost most of the rate.
const PIECE: usize = 256 << 10;

/// Capacity of pipes, where the kernel allows it.
const CAPACITY: usize = 1 << 20;

/// Both ends of a pipe; the other process gets one of them.
pub struct Pipe {
    /// The end to read from.
    pub read: OwnedFd,
    /// The end to write to.
    pub write: OwnedFd,
}

impl Pipe {
    /// A pipe that children do not inherit.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new() -> Result<Self> {
        let (read, write) =
            pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from).context("Failed to make a pipe")?;
        // A user's limit of pipe memory may be reached; the pipe works with less too.
        let _ = fcntl_setpipe_size(&write, CAPACITY);
        Ok(Self { read, write })
    }
}

/// Sends what can be read to the client until the end of the stream; then tells the client so. A terminal never ends while
/// anybody has it open, so there the end of the command (`exited`) ends it too, when all was read.
///
/// # Errors
/// The descriptor cannot be read by the runtime.
pub async fn send(from: OwnedFd, writer: &Writer, exited: &CancellationToken) -> Result<()> {
    let from = unblock(from)?;
    let from =
        pipe::Receiver::from_owned_fd_unchecked(from).context("Failed to read the command's output")?;
    let mut buffer = vec![0_u8; PIECE];
    loop {
        let over = exited.is_cancelled();
        // At the end the kernel is asked directly: what the runtime knows may be older.
        let got = if over {
            rustix::io::read(&from, &mut buffer[..]).map_err(io::Error::from)
        } else {
            from.try_read(&mut buffer)
        };
        match got {
            Ok(0) => break,
            Ok(length) => {
                if writer.data(&buffer[..length]).await.is_err() {
                    return Ok(()); // Nobody listens; the command will notice by its closed pipe.
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !over => {
                tokio::select! {
                    ready = from.readable() => ready.context("Failed to read the command's output")?,
                    () = exited.cancelled() => {}
                }
            }
            // A terminal whose other side is closed answers EIO.
            Err(_) => break,
        }
    }
    // The client may be gone: then it does not need to know.
    let _ = writer.end().await;
    writer.close().await;
    Ok(())
}

/// Writes what the client sends until it says that no more comes (then the descriptor is closed), and reads on until the client
/// goes; answers how it went.
///
/// # Errors
/// The descriptor cannot be written by the runtime.
pub async fn receive(reader: &mut Reader, to: Option<OwnedFd>) -> Result<Message> {
    let mut to = match to {
        Some(to) => Some(
            pipe::Sender::from_owned_fd_unchecked(unblock(to)?)
                .context("Failed to write the command's input")?,
        ),
        None => None,
    };
    loop {
        match reader.next().await {
            Message::Data(data) => {
                if let Some(open) = &mut to
                    && open.write_all(&data).await.is_err()
                {
                    to = None; // The command reads no more; what else comes is thrown away.
                }
            }
            Message::Text { .. } => to = None,
            gone => return Ok(gone),
        }
    }
}

/// Makes a descriptor of ours non-blocking.
fn unblock(fd: OwnedFd) -> Result<OwnedFd> {
    rustix::io::ioctl_fionbio(fd.as_fd(), true)
        .map_err(|error| Error::with_source(Kind::Internal, "Failed to prepare a stream", error))?;
    Ok(fd)
}
