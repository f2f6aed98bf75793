//! Help texts in the layout that users of the reference know.

use super::Matches;
use super::spec::{Flag, GLOBAL, Kind, Spec};

/// The whole help of a command.
pub fn help(matches: &Matches) -> String {
    let mut out = format!("Description:\n  {}\n", matches.spec.about);
    if !matches.spec.long.is_empty() {
        out.push('\n');
        for line in matches.spec.long.lines() {
            out.push_str(format!("  {line}").trim_end());
            out.push('\n');
        }
    }
    out.push('\n');
    out.push_str(&usage(matches));
    out
}

/// The whole help of a command that is found by its words.
pub fn help_of(spec: &'static Spec, path: &[&'static str]) -> String {
    help(&Matches::of(spec, path))
}

/// Usage lines, flags and commands.
pub fn usage(matches: &Matches) -> String {
    let spec = matches.spec;
    let path = matches.path.join(" ");
    let mut out = String::from("Usage:\n");
    if spec.subs.is_empty() || matches.path.len() > 1 {
        let args = if spec.args.is_empty() { String::new() } else { format!(" {}", spec.args) };
        let flags = if args.contains("[flags]") { "" } else { " [flags]" };
        out.push_str(&format!("  {path}{args}{flags}\n"));
    }
    if !spec.subs.is_empty() {
        out.push_str(&format!("  {path} [command]\n"));
    }
    if !spec.aliases.is_empty() {
        let names: Vec<&str> = std::iter::once(spec.name).chain(spec.aliases.iter().copied()).collect();
        out.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
    }
    if !spec.examples.is_empty() {
        out.push_str(&format!("\nExamples:\n{}\n", spec.examples.trim_end()));
    }
    if !spec.subs.is_empty() {
        out.push_str(&commands(spec, matches));
    }
    if !spec.flags.is_empty() {
        out.push_str(&format!("\nFlags:\n{}", flags(spec.flags)));
    }
    out.push_str(&format!(
        "\n{}:\n{}",
        if matches.path.len() == 1 && spec.flags.is_empty() { "Flags" } else { "Global Flags" },
        flags(GLOBAL)
    ));
    if !spec.subs.is_empty() {
        out.push_str(&format!("\nUse \"{path} [command] --help\" for more information about a command.\n"));
    }
    out
}

fn commands(spec: &Spec, matches: &Matches) -> String {
    let mut lines = Vec::new();
    let deep = matches.is("sub-commands");
    collect(spec, "", deep, matches.is("all"), &mut lines);
    if matches.path.len() == 1 {
        lines.push(("help".to_owned(), "Help about any command"));
    }
    lines.sort();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(11);
    let mut out = String::from("\nAvailable Commands:\n");
    for (name, about) in lines {
        out.push_str(&format!("  {name:width$} {about}\n"));
    }
    out
}

fn collect(spec: &Spec, prefix: &str, deep: bool, all: bool, lines: &mut Vec<(String, &'static str)>) {
    for sub in spec.subs.iter().filter(|sub| all || !sub.hidden) {
        let name = format!("{prefix}{}", sub.name);
        if deep && !sub.subs.is_empty() {
            collect(sub, &format!("{name} "), deep, all, lines);
        }
        lines.push((name, sub.about));
    }
}

fn flags(flags: &[Flag]) -> String {
    let mut sorted: Vec<&Flag> = flags.iter().collect();
    sorted.sort_by_key(|flag| flag.long);
    let left: Vec<String> = sorted
        .iter()
        .map(|flag| {
            let short = flag.short.map_or("    ".to_owned(), |c| format!("-{c}, "));
            let optional = if let Kind::Optional(default) = flag.kind {
                format!("[={default:?}]")
            } else {
                String::new()
            };
            format!("  {short}--{}{optional}", flag.long)
        })
        .collect();
    let width = left.iter().map(String::len).max().unwrap_or(0);
    sorted
        .iter()
        .zip(left)
        .map(|(flag, left)| {
            let default = match (flag.default, flag.kind) {
                ("", _) => String::new(),
                (default, Kind::Number | Kind::Unsigned) => format!(" (default {default})"),
                (default, _) => format!(" (default {default:?})"),
            };
            format!("{left:width$}   {}{default}\n", flag.about)
        })
        .collect()
}
