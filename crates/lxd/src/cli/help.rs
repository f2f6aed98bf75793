//! Help texts in the layout that users of the original know, made from the definition of the command line.

use clap::{Arg, ArgAction, Command};

/// Flags of every command, by their long names.
const GLOBAL: &[&str] = &["debug", "help", "logfile", "syslog", "trace", "verbose", "version"];

/// The help of a command: `root` itself, or the one below it that `path` names.
pub fn of(root: &Command, path: Option<&str>) -> String {
    let command = path.and_then(|name| root.find_subcommand(name)).unwrap_or(root);
    let is_root = path.is_none();
    let mut out = String::from("Description:\n");
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
    for line in about.unwrap_or_default().lines() {
        out.push_str(format!("  {line}").trim_end());
        out.push('\n');
    }
    out.push_str("\nUsage:\n");
    match command.get_name() {
        _ if is_root => out.push_str("  lxd [flags]\n  lxd [command]\n"),
        "sql" => out.push_str("  lxd sql <local|global> <query> [flags]\n"),
        name => out.push_str(&format!("  lxd {name} [flags]\n")),
    }
    if let Some(examples) = command.get_after_help() {
        out.push_str(&format!("\n{examples}\n"));
    }
    if is_root {
        out.push_str(&commands(root));
    }
    let (global, own): (Vec<&Arg>, Vec<&Arg>) = flags(root, command).partition(|arg| is_global(arg));
    match (is_root, own.is_empty()) {
        (true, _) => out.push_str(&section("Flags", own.into_iter().chain(global).collect())),
        (false, true) => out.push_str(&section("Global Flags", global)),
        (false, false) => {
            out.push_str(&section("Flags", own));
            out.push_str(&section("Global Flags", global));
        }
    }
    if is_root {
        out.push_str("\nUse \"lxd [command] --help\" for more information about a command.\n");
    }
    out
}

/// Visible flags of a command and those of every command.
fn flags<'a>(root: &'a Command, command: &'a Command) -> impl Iterator<Item = &'a Arg> {
    let own = command.get_arguments().filter(|arg| !is_global(arg));
    let global = root.get_arguments().filter(|arg| is_global(arg));
    own.chain(global).filter(|arg| arg.get_long().is_some() && !arg.is_hide_set())
}

fn is_global(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| GLOBAL.contains(&long))
}

fn commands(root: &Command) -> String {
    let mut lines: Vec<(String, String)> = root
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| {
            let about = command.get_about().map(ToString::to_string);
            (command.get_name().to_owned(), about.unwrap_or_default())
        })
        .collect();
    lines.sort();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = String::from("\nAvailable Commands:\n");
    for (name, about) in lines {
        out.push_str(&format!("  {name:width$}   {about}\n"));
    }
    out
}

fn section(title: &str, mut flags: Vec<&Arg>) -> String {
    flags.sort_by_key(|arg| arg.get_long());
    let left = |arg: &Arg| {
        let short = arg.get_short().map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        format!("  {short}--{}", arg.get_long().unwrap_or_default())
    };
    let width = flags.iter().map(|arg| left(arg).len()).max().unwrap_or(0);
    let mut out = format!("\n{title}:\n");
    for arg in flags {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        let default = arg.get_default_values().first().filter(|value| takes && !value.is_empty());
        let default = default.filter(|_| !arg.is_hide_default_value_set());
        let default = default.map_or_else(String::new, |value| format!(" (default {})", value.display()));
        out.push_str(&format!("{:width$}   {about}{default}\n", left(arg)));
    }
    out
}
