//! Standard input: documents when it is not a terminal, answers when it is.

use std::io::{BufRead, IsTerminal, Read, Write};

use anyhow::{Context, Result};

/// True when the user sits at standard input.
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// All of standard input as text.
///
/// # Errors
/// It cannot be read or is not UTF-8.
pub fn read_all() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).context("Failed to read standard input")?;
    Ok(text)
}

/// A value from an argument; `-` reads standard input.
///
/// # Errors
/// As [`read_all`].
pub fn value(argument: &str) -> Result<String> {
    if argument == "-" { read_all() } else { Ok(argument.to_owned()) }
}

/// Asks and reads a line.
///
/// # Errors
/// The input ended.
pub fn ask(question: &str) -> Result<String> {
    print!("{question}");
    let _ = std::io::stdout().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line)?;
    anyhow::ensure!(read > 0, "EOF");
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks a question to which only yes or no is an answer.
///
/// # Errors
/// The input ended.
pub fn ask_yes_no(question: &str, default: Option<bool>) -> Result<bool> {
    loop {
        match (ask(question)?.trim().to_lowercase().as_str(), default) {
            ("y" | "yes", _) => return Ok(true),
            ("n" | "no", _) => return Ok(false),
            ("", Some(default)) => return Ok(default),
            _ => eprintln!("Invalid input, try again.\n"),
        }
    }
}

/// Asks for a secret; a terminal does not show it.
///
/// # Errors
/// The input ended.
pub fn ask_secret(question: &str) -> Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(before) = &before {
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Now, &hidden);
    }
    let answer = ask(question);
    if let Some(before) = &before {
        let _ = tcsetattr(&stdin, OptionalActions::Now, before);
        println!();
    }
    answer
}
