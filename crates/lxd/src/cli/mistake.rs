//! What is wrong with a command line, in the words that users and scripts know from the original.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// The text of a mistake in a command line that `root` defines.
pub fn text(error: &Error, root: &Command) -> String {
    let argument = string(error, ContextKind::InvalidArg);
    let value = string(error, ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = string(error, ContextKind::InvalidSubcommand);
            format!("unknown command {word:?} for \"lxd\"")
        }
        ErrorKind::UnknownArgument if argument.starts_with("--") => {
            format!("unknown flag: {}", argument.split('=').next().unwrap_or_default())
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("unknown shorthand flag: '{0}' in -{0}", argument.trim_start_matches('-'))
        }
        ErrorKind::UnknownArgument => format!("Unexpected argument {argument:?}"),
        // clap says so of a missing value, too.
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("flag needs an argument: {}", long(&argument))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => format!(
            "invalid argument {value:?} for \"{}\" flag: strconv.ParseInt: parsing {value:?}: invalid syntax",
            names(root, &argument)
        ),
        ErrorKind::TooManyValues => {
            format!(
                "invalid argument {value:?} for \"{}\" flag: strconv.ParseBool: parsing {value:?}: invalid syntax",
                names(root, &argument)
            )
        }
        _ => first_line(error),
    }
}

/// The long name, without the name of its value.
fn long(argument: &str) -> &str {
    argument.split(' ').next().unwrap_or_default()
}

/// Both names of a flag.
fn names(root: &Command, argument: &str) -> String {
    let long = long(argument);
    let mut all = root.get_subcommands().chain([root]).flat_map(Command::get_arguments);
    let known = all.find(|known| known.get_long() == long.strip_prefix("--"));
    match known.and_then(clap::Arg::get_short) {
        Some(letter) => format!("-{letter}, {long}"),
        None => long.to_owned(),
    }
}

fn string(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
