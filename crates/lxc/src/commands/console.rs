//! `lxc console`

use anyhow::{Context, Result, bail};
use lxd_client::{Call, Message};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Matches, Spec, switch, value};
use crate::cx::{Cx, Target};
use crate::output::print;
use crate::terminal::{self, Output, Raw};

/// ctrl-a, after which `q` leaves the console.
const ESCAPE: u8 = 1;

/// The command.
pub static SPEC: Spec = Spec {
    name: "console",
    args: "[<remote>:]<instance>",
    about: "Attach to the console of an instance, or print its log",
    flags: &[
        switch("show-log", "Print the console log"),
        value("type", "Type of connection: console or vga").short('t').or("console"),
    ],
    count: (1, 1),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let kind = matches.value("type");
    if kind != "console" && kind != "vga" {
        bail!("Unknown output type {kind:?}");
    }
    let target = cx.target(matches.arg(0))?;
    if !matches.is("show-log") {
        return attach(cx, &target, kind).await;
    }
    if kind != "console" {
        bail!("The --show-log flag is only supported for by 'console' output type");
    }
    let path = format!("/1.0/instances/{}/console", target.segment());
    let log = target.client.stream(Call::new("GET", &path)).await?.bytes().await?;
    print(&format!("\nConsole log:\n\n{}\n", String::from_utf8_lossy(&log)));
    Ok(())
}

/// Attaches to the console of an instance until the user leaves or the instance stops.
///
/// # Errors
/// Standard input is no terminal, or the server refuses.
pub async fn attach(_cx: &Cx, target: &Target, kind: &str) -> Result<()> {
    if kind == "vga" {
        bail!("VGA console is only supported by virtual machines");
    }
    let raw = Raw::enter()?;
    let (width, height) = terminal::size();
    let body = json!({"width": width, "height": height, "type": "console"});
    let path = format!("/1.0/instances/{}/console", target.segment());
    let mut operation = target.client.start("POST", &path, Some(&body)).await?;
    let secret = |name: &str| operation.secret(name).map(str::to_owned).context("Missing console socket");
    let (data, control) =
        (operation.websocket(&secret("0")?).await?, operation.websocket(&secret("control")?).await?);
    print("To detach from the console, press: <ctrl>+a q\n\r");

    let (sender, mut receiver) = (data.sender.clone(), data.receiver);
    let output = Output::stdout();
    let copy = tokio::spawn(async move {
        while let Ok(Some(Message::Binary(piece) | Message::Text(piece))) = receiver.next().await {
            if output.sender.send(piece).await.is_err() {
                break;
            }
        }
        output.finish().await;
    });
    let resize = tokio::spawn(async move {
        let Ok(mut resized) = signal(SignalKind::window_change()) else { return };
        while resized.recv().await.is_some() {
            let (width, height) = terminal::size();
            let args = json!({"width": width.to_string(), "height": height.to_string()});
            let message = json!({"command": "window-resize", "args": args});
            if control.sender.text(&message.to_string()).await.is_err() {
                return;
            }
        }
    });
    let left = {
        let mut feeding = tokio::spawn(async move {
            feed(&sender).await;
            let _ = sender.close().await;
        });
        tokio::select! {
            _ = &mut feeding => true,
            _ = operation.wait() => {
                feeding.abort();
                false
            }
        }
    };
    if !left {
        let _ = copy.await;
    }
    resize.abort();
    drop(raw);
    Ok(())
}

/// Keys to the console until ctrl-a q.
async fn feed(sender: &lxd_client::Sender) {
    let mut input = terminal::input();
    let mut escaped = false;
    while let Some(piece) = input.recv().await {
        let mut out = Vec::with_capacity(piece.len());
        for byte in piece {
            match (escaped, byte) {
                (true, b'q') => {
                    let _ = sender.binary(&out).await;
                    return;
                }
                (false, ESCAPE) => escaped = true,
                (true, byte) => {
                    out.extend(if byte == ESCAPE { vec![ESCAPE] } else { vec![ESCAPE, byte] });
                    escaped = false;
                }
                (false, byte) => out.push(byte),
            }
        }
        if !out.is_empty() && sender.binary(&out).await.is_err() {
            return;
        }
    }
}
