//! `lxc exec`

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lxd_api::instance::InstanceExecPost;
use lxd_client::{Message, Operation, Receiver, Sender, WebSocket};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::Exit;
use crate::cli::{Matches, Spec, list, switch, unsigned, value};
use crate::cx::Cx;
use crate::terminal::{self, Output, Raw};

/// The command.
pub static SPEC: Spec = Spec {
    name: "exec",
    args: "[<remote>:]<instance> [flags] [--] <command line>",
    about: "Run a command inside an instance",
    long: "The command is started without a shell: for pipes, variables and the like run one,
for example: lxc exec c1 -- sh -c \"cd /tmp && pwd\"

A terminal is allocated when both standard input and standard output are terminals.",
    flags: &[
        value("cwd", "Working directory (default /root)"),
        switch("disable-stdin", "No standard input").short('n'),
        list("env", "Environment variable (e.g. HOME=/home/foo)"),
        switch("force-interactive", "Allocate a terminal").short('t'),
        switch("force-noninteractive", "Do not allocate a terminal").short('T'),
        unsigned("group", "Group id (default 0)"),
        value("mode", "Terminal mode: auto, interactive or non-interactive").or("auto"),
        unsigned("user", "User id (default 0)"),
    ],
    count: (2, usize::MAX),
    run: Some(|cx, matches| Box::pin(run(cx, matches))),
    ..Spec::NEW
};

async fn run(cx: &Cx, matches: &Matches) -> Result<()> {
    let target = cx.target(matches.arg(0))?;
    if matches.is("force-interactive") && matches.is("force-noninteractive") {
        bail!("You can't pass -t and -T at the same time");
    }
    if matches.value("mode") != "auto"
        && (matches.is("force-interactive") || matches.is("force-noninteractive"))
    {
        bail!("You can't pass -t or -T at the same time as --mode");
    }
    let interactive = interactive(matches);
    let raw = if interactive && std::io::stdin().is_terminal() { Some(Raw::enter()?) } else { None };
    let (width, height) = if interactive { terminal::size() } else { (0, 0) };
    let body = InstanceExecPost {
        command: matches.rest(1).to_vec(),
        wait_for_websocket: true,
        interactive,
        environment: environment(matches),
        width: width.into(),
        height: height.into(),
        user: u32::try_from(matches.number("user")).context("Invalid user id")?,
        group: u32::try_from(matches.number("group")).context("Invalid group id")?,
        cwd: matches.value("cwd").to_owned(),
        ..InstanceExecPost::default()
    };
    let path = format!("/1.0/instances/{}/exec", target.segment());
    let mut operation = target.client.start("POST", &path, Some(&body)).await?;
    let session = Session::open(&operation, interactive).await?;
    let stdin = !matches.is("disable-stdin");
    let result = session.run(&mut operation, stdin).await;
    drop(raw);
    result?;
    finish(&operation)
}

/// The exit status of the command becomes ours.
fn finish(operation: &Operation) -> Result<()> {
    let code = operation.state.metadata.get("return").and_then(serde_json::Value::as_i64);
    let code = code.and_then(|code| u8::try_from(code & 0xff).ok());
    if let Err(error) = operation.outcome() {
        return match code {
            Some(code) if code != 0 => {
                eprintln!("Error: {error}");
                Err(Exit(code).into())
            }
            _ => Err(error.into()),
        };
    }
    match code {
        Some(0) | None => Ok(()),
        Some(code) => Err(Exit(code).into()),
    }
}

fn interactive(matches: &Matches) -> bool {
    let terminals = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    match (matches.is("force-interactive"), matches.is("force-noninteractive"), matches.value("mode")) {
        (true, ..) => true,
        (_, true, _) => false,
        (_, _, "interactive") => true,
        (_, _, "non-interactive") => false,
        _ => terminals && !matches.is("disable-stdin"),
    }
}

fn environment(matches: &Matches) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    if let Ok(term) = std::env::var("TERM") {
        environment.insert("TERM".to_owned(), term);
    }
    for pair in matches.list("env") {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        environment.insert(key.to_owned(), value.to_owned());
    }
    environment
}

/// How long output may still come after the command has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(30);

/// The websockets of a running command.
struct Session {
    control: WebSocket,
    stdin: Sender,
    /// Standard output, and error when there is no terminal.
    outputs: Vec<(Receiver, Output)>,
    interactive: bool,
    /// Standard input's receiving side, kept open.
    _rest: Vec<Receiver>,
}

impl Session {
    async fn open(operation: &Operation, interactive: bool) -> Result<Self> {
        let names: &[&str] = if interactive { &["0", "control"] } else { &["0", "1", "2", "control"] };
        let sockets = names.iter().map(|name| async move {
            let secret =
                operation.secret(name).with_context(|| format!("The server offers no socket {name:?}"))?;
            Ok::<_, anyhow::Error>(operation.websocket(secret).await?)
        });
        let mut sockets = futures_util::future::try_join_all(sockets).await?.into_iter();
        let mut next = || sockets.next().context("The server offers too few sockets");
        let first = next()?;
        if interactive {
            let outputs = vec![(first.receiver, Output::stdout())];
            return Ok(Self {
                control: next()?,
                stdin: first.sender,
                outputs,
                interactive,
                _rest: Vec::new(),
            });
        }
        let outputs = vec![(next()?.receiver, Output::stdout()), (next()?.receiver, Output::stderr())];
        Ok(Self { control: next()?, stdin: first.sender, outputs, interactive, _rest: vec![first.receiver] })
    }

    async fn run(self, operation: &mut Operation, stdin: bool) -> Result<()> {
        let control = self.control.sender.clone();
        let helper = tokio::spawn(signals(control, self.interactive));
        let feeder = tokio::spawn(feed(self.stdin.clone(), stdin));
        let copies: Vec<_> =
            self.outputs.into_iter().map(|(from, to)| tokio::spawn(copy(from, to))).collect();
        let goodbye = async {
            for copy in copies {
                let _ = copy.await;
            }
            if self.interactive {
                // The terminal is gone: the server ends the operation when the sockets are closed.
                let _ = self.stdin.close().await;
                let _ = self.control.sender.close().await;
            }
        };
        // The outcome is read from the operation afterwards: a failing command is no failure here.
        tokio::pin!(goodbye);
        let waiting = operation.wait();
        tokio::pin!(waiting);
        let waited = tokio::select! {
            waited = &mut waiting => {
                let waited = waited.map(drop);
                let _ = tokio::time::timeout(LAST_OUTPUT, goodbye).await;
                waited
            }
            () = &mut goodbye => waiting.await.map(drop),
        };
        feeder.abort();
        helper.abort();
        let _ = self.control.sender.close().await;
        match waited {
            Err(lxd_client::Error::Operation { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Standard input to the command; its end is an empty text.
async fn feed(sender: Sender, stdin: bool) {
    if stdin {
        let mut input = terminal::input();
        while let Some(piece) = input.recv().await {
            if sender.binary(&piece).await.is_err() {
                return;
            }
        }
    }
    let _ = sender.text("").await;
    let _ = sender.close().await;
}

/// Output of the command, until an empty text or the end of the socket.
async fn copy(mut from: Receiver, to: Output) {
    while let Ok(Some(Message::Binary(piece) | Message::Text(piece))) = from.next().await {
        if piece.is_empty() || to.sender.send(piece).await.is_err() {
            break;
        }
    }
    to.finish().await;
}

/// Passes signals and changes of the terminal's size on.
async fn signals(control: Sender, interactive: bool) {
    use rustix::process::Signal;
    let kinds = [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::TERM,
        Signal::USR1,
        Signal::USR2,
        Signal::TSTP,
        Signal::TTIN,
        Signal::TTOU,
        Signal::CONT,
    ];
    let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
    for kind in kinds.map(Signal::as_raw) {
        let Ok(mut stream) = signal(SignalKind::from_raw(kind)) else { continue };
        let sender = sender.clone();
        tokio::spawn(
            async move { while stream.recv().await.is_some() && sender.send(kind).await.is_ok() {} },
        );
    }
    drop(sender);
    let Ok(mut resized) = signal(SignalKind::window_change()) else { return };
    loop {
        let message = tokio::select! {
            Some(number) = receiver.recv() => json!({"command": "signal", "signal": number}),
            Some(()) = resized.recv() => {
                if !interactive {
                    continue;
                }
                let (width, height) = terminal::size();
                json!({"command": "window-resize", "args": {"width": width.to_string(), "height": height.to_string()}})
            }
            else => return,
        };
        if control.text(&message.to_string()).await.is_err() {
            return;
        }
    }
}
