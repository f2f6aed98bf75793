//! Tools of the repository: `cargo xtask docs [--check]` writes the generated pages of `doc`, `cargo xtask tidy`
//! checks the rules of the house.

mod dependencies;
mod docs;
mod handlers;
mod openapi;
mod sources;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root()?;
    match words[..] {
        ["docs"] => docs::write(&root),
        ["docs", "--check"] => report(docs::check(&root)?),
        ["tidy"] => tidy(&root),
        _ => bail!("usage: cargo xtask docs [--check] | tidy"),
    }
}

fn tidy(root: &Path) -> Result<()> {
    let mut found = dependencies::check(root)?;
    found.extend(sources::check(root)?);
    found.extend(docs::check(root)?);
    report(found)
}

fn report(found: Vec<String>) -> Result<()> {
    for line in &found {
        println!("{line}");
    }
    match found.len() {
        0 => Ok(()),
        count => bail!("{count} findings"),
    }
}

/// The folder of the workspace.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Path::to_owned).context("xtask lies two folders below the workspace")
}
