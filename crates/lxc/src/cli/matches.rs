//! A parsed command line.

use std::collections::HashMap;

use super::spec::{Kind, Spec};

/// Flags and arguments of a command.
pub struct Matches {
    /// The command.
    pub spec: &'static Spec,
    /// Its words, from `lxc` on.
    pub path: Vec<&'static str>,
    /// Positional arguments.
    pub args: Vec<String>,
    pub(super) flags: HashMap<&'static str, Vec<String>>,
}

impl Matches {
    /// A command without flags and arguments.
    pub fn of(spec: &'static Spec, path: &[&'static str]) -> Self {
        Self { spec, path: path.to_vec(), args: Vec::new(), flags: HashMap::new() }
    }

    /// True when a switch was given.
    pub fn is(&self, flag: &str) -> bool {
        self.last(flag).is_some_and(|value| value != "false")
    }

    /// True when a flag was given at all.
    pub fn given(&self, flag: &str) -> bool {
        self.flags.contains_key(flag)
    }

    /// Value of a flag, or its default.
    pub fn value(&self, flag: &str) -> &str {
        self.last(flag).unwrap_or_else(|| {
            self.spec.flags.iter().find(|f| f.long == flag).map_or("", |found| found.default)
        })
    }

    /// Value of a flag with a number, or its default.
    pub fn number(&self, flag: &str) -> i64 {
        self.value(flag).parse().unwrap_or_default()
    }

    /// Values of a flag that may be given several times.
    pub fn list(&self, flag: &str) -> &[String] {
        self.flags.get(flag).map_or(&[], Vec::as_slice)
    }

    /// An argument; empty when it is missing.
    pub fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// Arguments from an index on.
    pub fn rest(&self, index: usize) -> &[String] {
        self.args.get(index..).unwrap_or_default()
    }

    fn last(&self, flag: &str) -> Option<&str> {
        self.flags.get(flag)?.last().map(String::as_str)
    }

    pub(super) fn set(&mut self, flag: &'static str, kind: Kind, value: String) {
        let values = self.flags.entry(flag).or_default();
        if kind != Kind::List {
            values.clear();
        }
        values.push(value);
    }
}
