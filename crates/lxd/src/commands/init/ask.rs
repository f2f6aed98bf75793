//! Questions on a terminal or through pipes.

use std::io::{BufRead, BufReader, IsTerminal, Write};

use lxd_types::error::Context;
use lxd_types::{Error, Result};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Where questions go and answers come from.
pub struct Ask {
    input: Box<dyn BufRead>,
    out: Box<dyn Write>,
    complaints: Box<dyn Write>,
}

impl Ask {
    /// Standard input and output; complaints go to standard error.
    pub fn terminal() -> Self {
        Self::new(
            Box::new(BufReader::new(std::io::stdin())),
            Box::new(std::io::stdout()),
            Box::new(std::io::stderr()),
        )
    }

    /// Any reader and writers.
    pub fn new(input: Box<dyn BufRead>, out: Box<dyn Write>, complaints: Box<dyn Write>) -> Self {
        Self { input, out, complaints }
    }

    /// Says something between two questions.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).context("Failed to write")
    }

    /// Complains about an answer; without a reason when it is plain.
    fn complain(&mut self, reason: &str) -> Result<()> {
        let text = if reason.is_empty() {
            "Invalid input, try again.\n\n".to_owned()
        } else {
            format!("Invalid input: {reason}\n\n")
        };
        self.complaints.write_all(text.as_bytes()).context("Failed to write")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.input.read_line(&mut line).context("Failed to read from stdin")? == 0 {
            return Err(Error::bad_request("EOF"));
        }
        Ok(line.trim_end_matches(['\n', '\r']).trim().to_owned())
    }

    /// Asks until the answer pleases `check`, whose error is the complaint. An empty answer is the default; without
    /// one it goes to `check` like every other.
    ///
    /// # Errors
    /// The input has ended.
    pub fn text(
        &mut self,
        question: &str,
        default: Option<&str>,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Result<String> {
        loop {
            match default {
                Some(default) => self.say(&format!("{question} [default={default}]: "))?,
                None => self.say(&format!("{question}: "))?,
            }
            let line = self.line()?;
            let answer = if line.is_empty() { default.unwrap_or_default().to_owned() } else { line };
            match check(&answer) {
                Ok(()) => return Ok(answer),
                Err(reason) => self.complain(&reason)?,
            }
        }
    }

    /// Asks until the answer is yes or no.
    ///
    /// # Errors
    /// The input has ended.
    pub fn yes(&mut self, question: &str, default: bool) -> Result<bool> {
        let word = if default { "yes" } else { "no" };
        let known = |answer: &str| match answer.to_ascii_lowercase().as_str() {
            "yes" | "y" | "no" | "n" => Ok(()),
            _ => Err(String::new()),
        };
        let answer = self.text(question, Some(word), known)?;
        Ok(answer.to_ascii_lowercase().starts_with('y'))
    }

    /// Asks until the answer is one of `choices`.
    ///
    /// # Errors
    /// The input has ended.
    pub fn choice(&mut self, question: &str, choices: &[String], default: &str) -> Result<String> {
        let known = |answer: &str| {
            if choices.iter().any(|choice| choice == answer) { Ok(()) } else { Err(String::new()) }
        };
        self.text(question, Some(default), known)
    }

    /// Asks twice for a secret that must not be empty, without showing it on a terminal.
    ///
    /// # Errors
    /// The input has ended.
    pub fn secret(&mut self, question: &str) -> Result<String> {
        loop {
            let first = self.hidden(question)?;
            let second = self.hidden("Again")?;
            if !first.is_empty() && first == second {
                return Ok(first);
            }
            self.complain("")?;
        }
    }

    fn hidden(&mut self, question: &str) -> Result<String> {
        self.say(&format!("{question}: "))?;
        let shown = if std::io::stdin().is_terminal() { Some(hide()?) } else { None };
        let line = self.line();
        drop(shown);
        self.say("\n")?;
        line
    }
}

/// Shows what is typed again when dropped.
struct Shown(rustix::termios::Termios);

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn hide() -> Result<Shown> {
    let told = |error: rustix::io::Errno| {
        Error::with_source(
            lxd_types::Kind::Internal,
            "Failed to set up the terminal",
            std::io::Error::from(error),
        )
    };
    let before = tcgetattr(std::io::stdin()).map_err(told)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(std::io::stdin(), OptionalActions::Now, &quiet).map_err(told)?;
    Ok(Shown(before))
}
