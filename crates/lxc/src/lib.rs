//! The command line client of LXD: one file per command in [`commands`].

pub mod alias;
mod certificate;
pub mod cli;
pub mod commands;
pub mod conf;
pub mod cx;
pub mod editor;
pub mod follow;
mod glob;
pub mod keyvalue;
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
    welcome(&cx);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let result = runtime.block_on(command(&cx, matches));
    // A thread that still reads standard input must not hold the program back.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The first run: a hint, and the file so that it stays the first.
fn welcome(cx: &Cx) {
    if !cx.conf().fresh {
        return;
    }
    eprintln!("If this is your first time running LXD on this machine, you should also run: lxd init");
    eprintln!("To start your first container, try: lxc launch ubuntu:22.04\n");
    let _ = cx.conf().save();
}

fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(Exit(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    eprintln!("Error: {error:#}");
    ExitCode::FAILURE
}
