//! Logging in at identity servers (`--auth-type=candid`): the questions on the terminal.

use std::path::PathBuf;
use std::sync::Arc;

use lxd_client::bakery::{Ask, Jar, User};
use lxd_client::{Error, Result};

use crate::stdin;

/// The user of the remote on `host`, whose cookies are kept in the file `jar`.
pub fn user(jar: PathBuf, host: &str, domain: &str) -> User {
    User::new(Jar::new(jar), host, domain, Arc::new(Terminal))
}

/// The person at the terminal.
struct Terminal;

impl Ask for Terminal {
    fn line(&self, question: &str, secret: bool) -> Result<String> {
        let answer = if secret { stdin::ask_secret(question) } else { stdin::ask(question) };
        answer.map_err(|error| Error::Local(format!("cannot read input: {error}")))
    }

    fn tell(&self, text: &str) {
        eprintln!("{text}");
    }
}
