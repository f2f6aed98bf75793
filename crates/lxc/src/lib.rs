//! The command line client of LXD: one file per command in [`commands`].

pub mod alias;
mod backup;
mod certificate;
pub mod cli;
pub mod commands;
pub mod conf;
pub mod cx;
pub mod editor;
pub mod follow;
pub mod keyvalue;
pub mod login;
mod multipart;
pub mod output;
pub mod stdin;
pub mod terminal;
mod upload;

use std::process::ExitCode;

use cli::{Matches, Parsed, parse};
use conf::Conf;
use cx::Cx;

/// The exit status that a command asks for without an error text (`lxc exec`).
#[derive(Debug)]
pub struct Exit(pub u8);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit status {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// Runs a command line (without the program's name).
pub fn run(words: Vec<String>) -> ExitCode {
    output::end_without_reader();
    let root = &commands::ROOT;
    match alias::expand(root, words) {
        Ok(words) => dispatch(parse(root, &words)),
        Err(error) => fail(&error),
    }
}

fn dispatch(parsed: Parsed) -> ExitCode {
    match parsed {
        Parsed::Help(text) => {
            output::print(&text);
            ExitCode::SUCCESS
        }
        Parsed::Usage(text) => {
            eprint!("{text}");
            ExitCode::SUCCESS
        }
        Parsed::Wrong(help, error) => {
            output::print(&help);
            fail(&anyhow::anyhow!(error))
        }
        Parsed::Run(matches) => start(&matches),
    }
}

fn start(matches: &Matches) -> ExitCode {
    let Some(command) = matches.spec.run else { return ExitCode::SUCCESS };
    let cx = match Conf::load() {
        Ok(conf) => Cx::new(conf, matches),
        Err(error) => return fail(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let result = runtime.block_on(async {
        welcome(&cx, matches).await;
        command(&cx, matches).await
    });
    // A thread that still reads standard input must not hold the program back.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The first run against a daemon that answers: hints about what is still to be done, and the file so that it stays
/// the first.
async fn welcome(cx: &Cx, matches: &Matches) {
    if !cx.conf().fresh {
        return;
    }
    let Ok(client) = cx.client("local") else { return };
    let Ok(pools) = client.get::<Vec<String>>("/1.0/storage-pools").await else { return };
    let launches = matches!(matches.path.get(1), Some(&("init" | "launch")));
    if pools.is_empty() {
        eprintln!("If this is your first time running LXD on this machine, you should also run: lxd init");
    }
    if !launches {
        eprintln!("To start your first container, try: lxc launch ubuntu:22.04");
        eprintln!("Or for a virtual machine: lxc launch ubuntu:22.04 --vm");
    }
    if pools.is_empty() || !launches {
        eprintln!();
    }
    let _ = cx.conf().save();
}

fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(Exit(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    let text = format!("{error:#}");
    eprintln!("Error: {text}");
    if text.contains(lxd_client::CHANGED) {
        eprintln!(
            "Somebody may be in between. If the server got a new certificate on purpose, compare the fingerprint with"
        );
        eprintln!("that of \"lxc info\" on the server, then remove the remote and add it again.");
    }
    ExitCode::FAILURE
}
