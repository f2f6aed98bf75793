//! Waiting for an operation: progress on a terminal, ctrl-c cancels it, a second ctrl-c leaves it running.

use std::io::Write;

use anyhow::{Result, bail};
use lxd_client::{Events, Operation};
use serde_json::Value;

use crate::cx::Cx;

/// Waits for an operation. `label` stands before the progress on a terminal (`Unpack: 10%`).
///
/// # Errors
/// The operation's error; a message when the user detached.
pub async fn wait(cx: &Cx, operation: &mut Operation, label: &str) -> Result<()> {
    let mut line = Line { label, width: 0 };
    cx.waiting();
    let result = if cx.shows_progress() && operation.state.status_code.0 < 200 {
        watch(operation, &mut line).await
    } else {
        guard(operation).await
    };
    line.clear();
    cx.waited();
    result
}

/// Waits without progress.
async fn guard(operation: &mut Operation) -> Result<()> {
    let handle = operation.clone();
    let mut interrupts = 0;
    let waiting = operation.wait();
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            result = &mut waiting => {
                result?;
                return Ok(());
            }
            Ok(()) = tokio::signal::ctrl_c() => {
                interrupts += 1;
                interrupted(&handle, interrupts).await?;
            }
        }
    }
}

/// Waits and draws the operation's progress meanwhile.
async fn watch(operation: &mut Operation, line: &mut Line<'_>) -> Result<()> {
    let Ok(mut events) = operation.client().events(&["operation"], false).await else {
        return guard(operation).await;
    };
    let id = operation.state.id.clone();
    let (sender, mut updates) = tokio::sync::mpsc::channel::<String>(16);
    let reader = tokio::spawn(async move { forward(&mut events, &id, &sender).await });
    let handle = operation.clone();
    let mut interrupts = 0;
    let mut open = true;
    let waiting = operation.wait();
    tokio::pin!(waiting);
    let result = loop {
        tokio::select! {
            result = &mut waiting => break result.map(drop).map_err(Into::into),
            update = updates.recv(), if open => match update {
                Some(text) => line.draw(&text),
                None => open = false,
            },
            Ok(()) = tokio::signal::ctrl_c() => {
                interrupts += 1;
                if let Err(error) = interrupted(&handle, interrupts).await {
                    break Err(error);
                }
            }
        }
    };
    reader.abort();
    result
}

async fn forward(events: &mut Events, id: &str, sender: &tokio::sync::mpsc::Sender<String>) {
    while let Ok(Some(event)) = events.next().await {
        if event.metadata.get("id").and_then(Value::as_str) != Some(id) {
            continue;
        }
        if let Some(text) = progress(&event.metadata)
            && sender.send(text).await.is_err()
        {
            return;
        }
    }
}

/// The text of the first metadata member whose name ends in `_progress`.
fn progress(operation: &Value) -> Option<String> {
    let members = operation.get("metadata")?.as_object()?;
    let (_, value) = members.iter().find(|(key, _)| key.ends_with("_progress"))?;
    value.as_str().map(str::to_owned)
}

async fn interrupted(operation: &Operation, times: u32) -> Result<()> {
    if times > 1 {
        bail!("Detached: the remote operation keeps running");
    }
    match operation.cancel().await {
        Ok(()) => eprintln!("\nCancelling the remote operation (interrupt once more to detach from it)"),
        Err(error) => eprintln!(
            "\nThe remote operation can't be cancelled ({error}); interrupt once more to detach from it"
        ),
    }
    Ok(())
}

/// One line on the terminal, drawn over itself.
struct Line<'a> {
    label: &'a str,
    width: usize,
}

impl Line<'_> {
    fn draw(&mut self, text: &str) {
        let text = if self.label.is_empty() { text.to_owned() } else { format!("{}: {text}", self.label) };
        let columns =
            rustix::termios::tcgetwinsize(std::io::stdout()).map_or(80, |size| usize::from(size.ws_col));
        let text: String = text.chars().take(columns.saturating_sub(1).max(20)).collect();
        let length = text.chars().count();
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "\r{text}{}", " ".repeat(self.width.saturating_sub(length)))
            .and_then(|()| out.flush());
        self.width = length;
    }

    fn clear(&mut self) {
        if self.width > 0 {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\r{}\r", " ".repeat(self.width)).and_then(|()| out.flush());
            self.width = 0;
        }
    }
}
