//! The terminal of interactive commands: raw mode, size, and bytes in both directions without blocking.

use std::io::Write;

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Bytes that one read takes.
const BUFFER: usize = 64 * 1024;
/// Pieces that may wait for the other side.
const QUEUE: usize = 16;

/// Standard input in raw mode until dropped.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Switches standard input to raw mode.
    ///
    /// # Errors
    /// It is no terminal.
    pub fn enter() -> Result<Self> {
        let before =
            tcgetattr(std::io::stdin()).map_err(|_| anyhow::anyhow!("inappropriate ioctl for device"))?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).context("Failed to set up the terminal")?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Columns and rows of standard output's terminal; zeros when there is none.
pub fn size() -> (u16, u16) {
    tcgetwinsize(std::io::stdout()).map_or((0, 0), |size| (size.ws_col, size.ws_row))
}

/// Standard input, read by a thread; an empty piece never comes, the channel closes at its end.
pub fn input() -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel(QUEUE);
    std::thread::spawn(move || {
        let mut buffer = vec![0; BUFFER];
        loop {
            // Not `Stdin`: its lock and buffer would only be in the way.
            match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
                Ok(0) => return,
                Ok(count) if sender.blocking_send(buffer[..count].to_vec()).is_err() => return,
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    });
    receiver
}

/// A writer of its own thread; dropped sender ends it, then `done` resolves.
pub struct Output {
    /// Where pieces go.
    pub sender: Sender<Vec<u8>>,
    done: tokio::sync::oneshot::Receiver<()>,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::new(std::io::stdout())
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self::new(std::io::stderr())
    }

    fn new(mut target: impl Write + Send + 'static) -> Self {
        let (sender, mut receiver) = channel::<Vec<u8>>(QUEUE);
        let (finished, done) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            while let Some(piece) = receiver.blocking_recv() {
                if target.write_all(&piece).and_then(|()| target.flush()).is_err() {
                    break;
                }
            }
            let _ = finished.send(());
        });
        Self { sender, done }
    }

    /// Waits until everything is written.
    pub async fn finish(self) {
        drop(self.sender);
        let _ = self.done.await;
    }
}
