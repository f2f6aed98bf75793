//! The command tree as data: one `static` per command, in the file of the command.

use std::future::Future;
use std::pin::Pin;

use super::Matches;
use crate::cx::Cx;

/// A running command.
pub type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// What runs a command.
pub type Run = for<'a> fn(&'a Cx, &'a Matches) -> Running<'a>;

/// A command or a group of commands.
#[derive(Clone, Copy)]
pub struct Spec {
    /// Its word.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// Arguments, as the usage line shows them.
    pub args: &'static str,
    /// One line.
    pub about: &'static str,
    /// More lines, below the first.
    pub long: &'static str,
    /// Examples, indented by two blanks.
    pub examples: &'static str,
    /// Its own flags.
    pub flags: &'static [Flag],
    /// Least and most positional arguments.
    pub count: (usize, usize),
    /// Commands below it.
    pub subs: &'static [&'static Spec],
    /// Left out of the help unless `--all` is given.
    pub hidden: bool,
    /// What it does; a group has none.
    pub run: Option<Run>,
}

/// Any number of arguments.
pub const MANY: usize = usize::MAX;

impl Spec {
    /// What the `static`s start from.
    pub const NEW: Spec = Spec {
        name: "",
        aliases: &[],
        args: "",
        about: "",
        long: "",
        examples: "",
        flags: &[],
        count: (0, MANY),
        subs: &[],
        hidden: false,
        run: None,
    };

    /// The command below this one with a name or alias.
    pub fn sub(&self, word: &str) -> Option<&'static Spec> {
        self.subs.iter().copied().find(|sub| sub.name == word || sub.aliases.contains(&word))
    }
}

/// How a flag takes its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Given or not.
    Bool,
    /// One value; the last counts.
    Value,
    /// One value that is a number.
    Number,
    /// One value that is a number and not negative.
    Unsigned,
    /// Several values.
    List,
    /// A value only as `--flag=value`, else this one.
    Optional(&'static str),
}

/// A flag.
#[derive(Clone, Copy)]
pub struct Flag {
    /// Long name, without dashes.
    pub long: &'static str,
    /// Short letter.
    pub short: Option<char>,
    /// How it takes its value.
    pub kind: Kind,
    /// One line.
    pub about: &'static str,
    /// Value when it is not given.
    pub default: &'static str,
}

/// A flag without a value.
pub const fn switch(long: &'static str, about: &'static str) -> Flag {
    Flag { long, short: None, kind: Kind::Bool, about, default: "" }
}

/// A flag with a value.
pub const fn value(long: &'static str, about: &'static str) -> Flag {
    Flag { long, short: None, kind: Kind::Value, about, default: "" }
}

/// A flag with values that may be given several times.
pub const fn list(long: &'static str, about: &'static str) -> Flag {
    Flag { long, short: None, kind: Kind::List, about, default: "" }
}

/// A flag with a number.
pub const fn number(long: &'static str, about: &'static str) -> Flag {
    Flag { long, short: None, kind: Kind::Number, about, default: "" }
}

/// A flag with a number that is not negative.
pub const fn unsigned(long: &'static str, about: &'static str) -> Flag {
    Flag { long, short: None, kind: Kind::Unsigned, about, default: "" }
}

impl Flag {
    /// With a short letter.
    #[must_use]
    pub const fn short(self, letter: char) -> Flag {
        Flag { short: Some(letter), ..self }
    }

    /// With a value for when it is not given.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Flag {
        Flag { default, ..self }
    }
}

/// `-f`/`--format` of the lists.
pub const FORMAT: Flag =
    value("format", "Output format: csv, json, table, yaml or compact").short('f').or("table");

/// `--target`.
pub const TARGET: Flag = value("target", "Name of the cluster member");

/// Flags of every command.
pub const GLOBAL: &[Flag] = &[
    switch("debug", "Print debug messages"),
    switch("force-local", "Talk to the local unix socket, whatever the default remote"),
    switch("help", "Print help").short('h'),
    value("project", "Use this project"),
    switch("quiet", "No progress output").short('q'),
    switch("sub-commands", "With help: list the commands below"),
    switch("verbose", "Print information messages").short('v'),
    switch("version", "Print the version"),
];
