//! The command line: the tree of commands as data, its parser and its help.

mod clap;
mod help;
mod matches;
mod parse;
pub mod spec;

pub use self::clap::to_clap;
pub use help::{help, help_of, usage};
pub use matches::Matches;
pub use parse::{Parsed, parse};
pub use spec::{FORMAT, Flag, MANY, Spec, TARGET, list, number, switch, unsigned, value};
