//! A command with a client at its streams.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use lxd_auth::Permit;
use lxd_container::ExecProcess;
use lxd_task::operation::{OpHandle, Operation};
use lxd_task::socket::Socket;
use lxd_task::stream::{Message, Reader, Writer, halves};
use lxd_types::{Error, Kind, Result};
use rustix::termios::Winsize;
use tokio::sync::oneshot::Receiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::control::resize;
use super::{Control, Pipe, Plan, listen, receive, send};
use crate::SharedCore;

/// How long the client has to bring its websockets.
const CONNECT: Duration = Duration::from_secs(5);

const SIGKILL: i32 = 9;

/// The websockets that the client will bring.
pub struct Sockets {
    streams: Vec<Receiver<Socket>>,
    control: Receiver<Socket>,
}

impl Sockets {
    /// Opens their slots: one stream for a terminal, else three.
    pub fn open(operation: &Arc<Operation>, interactive: bool) -> Self {
        let names: &[&str] = if interactive { &["0"] } else { &["0", "1", "2"] };
        Self {
            streams: names.iter().map(|name| operation.sockets.open(name)).collect(),
            control: operation.sockets.open("control"),
        }
    }
}

/// Waits for the client, runs the command, and ends when it has ended and its output was sent.
///
/// # Errors
/// The client did not come, or the command could not be started.
pub async fn run(
    core: &SharedCore,
    permit: &Permit,
    op: &OpHandle,
    plan: Plan,
    sockets: Sockets,
) -> Result<()> {
    let Sockets { streams, control } = sockets;
    let streams = tokio::time::timeout(CONNECT, connected(streams))
        .await
        .unwrap_or_else(|_| Err(Error::bad_request("Timed out waiting for websockets to connect")))?;
    let streams: Vec<(Reader, Writer)> = streams.into_iter().map(halves).collect();
    let exited = CancellationToken::new();
    let mut tasks = Tasks { senders: JoinSet::new(), others: JoinSet::new() };
    let (process, terminal) = if plan.request.interactive {
        interactive(core, &plan, streams, &exited, &mut tasks).await?
    } else {
        (separate(core, &plan, streams, &mut tasks).await?, None)
    };
    plan.tell(core, permit);
    follow(control, &process, terminal, &mut tasks)?;
    let status = process.wait().await;
    exited.cancel();
    // All output first, then the operation's end: the client reads the status when its streams are closed.
    while tasks.senders.join_next().await.is_some() {}
    super::ended(op, status?)
}

/// What runs beside the command; dropping it ends them.
struct Tasks {
    /// Those that send output.
    senders: JoinSet<()>,
    /// Those that only listen.
    others: JoinSet<()>,
}

async fn connected(sockets: Vec<Receiver<Socket>>) -> Result<Vec<Socket>> {
    let mut all = Vec::new();
    for socket in sockets {
        all.push(socket.await.map_err(|_| Error::internal("The operation has ended"))?);
    }
    Ok(all)
}

/// One terminal for all streams.
async fn interactive(
    core: &SharedCore,
    plan: &Plan,
    mut streams: Vec<(Reader, Writer)>,
    exited: &CancellationToken,
    tasks: &mut Tasks,
) -> Result<(ExecProcess, Option<OwnedFd>)> {
    let containers = core.containers()?;
    // What a client that does not know its terminal's size gets.
    let size = |value: i64, usual: u16| u16::try_from(value).ok().filter(|n| *n > 0).unwrap_or(usual);
    let (width, height) = (size(plan.request.width, 80), size(plan.request.height, 25));
    let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    let owner = (plan.request.user, plan.request.group);
    let (master, slave) = containers.terminal(&plan.running, &plan.idmap, owner, size).await?;
    let copy = |fd: &OwnedFd| fd.try_clone().map_err(no_descriptors);
    let process = containers.exec(&plan.running, plan.spec(copy(&slave)?, copy(&slave)?, slave)).await?;
    let (mut reader, writer) = streams.pop().ok_or_else(|| Error::internal("One websocket is needed"))?;
    let (from, to, exited) = (copy(&master)?, copy(&master)?, exited.clone());
    tasks.senders.spawn(async move { log(send(from, &writer, &exited).await) });
    tasks.others.spawn(async move { log(receive(&mut reader, Some(to)).await.map(drop)) });
    Ok((process, Some(master)))
}

/// A pipe for each stream.
async fn separate(
    core: &SharedCore,
    plan: &Plan,
    streams: Vec<(Reader, Writer)>,
    tasks: &mut Tasks,
) -> Result<ExecProcess> {
    let (stdin, stdout, stderr) = (Pipe::new()?, Pipe::new()?, Pipe::new()?);
    let process =
        core.containers()?.exec(&plan.running, plan.spec(stdin.read, stdout.write, stderr.write)).await?;
    let mut outputs = [stdout.read, stderr.read].into_iter();
    let mut input = Some(stdin.write);
    for (index, (mut reader, writer)) in streams.into_iter().enumerate() {
        if index == 0 {
            let to = input.take();
            tasks.others.spawn(async move {
                log(receive(&mut reader, to).await.map(drop));
                writer.close().await;
            });
            continue;
        }
        let Some(from) = outputs.next() else { break };
        // The end of the pipe is waited for, however long a child of the command keeps it open.
        let never = CancellationToken::new();
        tasks.senders.spawn(async move { log(send(from, &writer, &never).await) });
        tasks.others.spawn(async move { log(receive(&mut reader, None).await.map(drop)) });
    }
    Ok(process)
}

/// Acts on control messages; a client that vanishes takes the command along.
fn follow(
    control: Receiver<Socket>,
    process: &ExecProcess,
    terminal: Option<OwnedFd>,
    tasks: &mut Tasks,
) -> Result<()> {
    let pidfd = process.pidfd().map_err(no_descriptors)?;
    tasks.others.spawn(async move {
        let Ok(socket) = control.await else { return };
        let (mut reader, _writer) = halves(socket);
        let gone = listen(&mut reader, |message| match (message, &terminal) {
            (Control::Resize { width, height }, Some(terminal)) => resize(terminal, width, height),
            (Control::Resize { .. }, None) => {}
            (Control::Signal(signal), _) => kill(&pidfd, signal),
        });
        if matches!(gone.await, Message::Broken) {
            kill(&pidfd, SIGKILL);
        }
    });
    Ok(())
}

fn kill(pidfd: &OwnedFd, signal: i32) {
    if let Err(error) = lxd_sys::process::signal(pidfd.as_fd(), signal) {
        tracing::debug!(%error, signal, "Signal not sent");
    }
}

fn log(result: Result<()>) {
    if let Err(error) = result {
        tracing::debug!(error = error.chain(), "A stream of a command broke");
    }
}

fn no_descriptors(error: std::io::Error) -> Error {
    Error::with_source(Kind::Internal, "Failed to copy a descriptor", error)
}
