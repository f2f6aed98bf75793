//! The command line: the tree of commands as data, its parser and its help.

mod help;
mod matches;
mod parse;
pub mod spec;

pub use help::{help, usage};
pub use matches::Matches;
pub use parse::{Parsed, parse};
pub use spec::{FORMAT, Flag, MANY, Spec, TARGET, list, number, switch, value};
