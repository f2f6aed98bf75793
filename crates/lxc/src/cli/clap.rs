//! The command tree for `clap`, from which completions and manual pages are made. Command lines are parsed by
//! [`super::parse()`]: it starts faster and reads them as the reference does.

use clap::{Arg, ArgAction, Command};

use super::spec::{Flag, GLOBAL, Kind, Spec};

/// The command and all below it.
pub fn to_clap(spec: &'static Spec) -> Command {
    let mut command = Command::new(spec.name)
        .about(spec.about)
        .visible_aliases(spec.aliases.iter().copied())
        .hide(spec.hidden)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(spec.flags.iter().map(to_arg))
        .args(GLOBAL.iter().filter(|flag| spec.flags.iter().all(|own| own.long != flag.long)).map(to_arg));
    if !spec.long.is_empty() {
        command = command.long_about(format!("{}\n\n{}", spec.about, spec.long));
    }
    if !spec.examples.is_empty() {
        command = command.after_help(format!("Examples:\n{}", spec.examples));
    }
    if !spec.args.is_empty() {
        command = command.arg(Arg::new("arguments").value_name(spec.args).num_args(0..));
    }
    command.subcommands(spec.subs.iter().map(|sub| to_clap(sub)))
}

fn to_arg(flag: &'static Flag) -> Arg {
    let mut arg = Arg::new(flag.long).long(flag.long).help(flag.about);
    if let Some(letter) = flag.short {
        arg = arg.short(letter);
    }
    match flag.kind {
        Kind::Bool => arg.action(ArgAction::SetTrue),
        Kind::List => arg.action(ArgAction::Append),
        Kind::Optional(_) => arg.num_args(0..=1).require_equals(true),
        Kind::Value | Kind::Number | Kind::Unsigned => arg.action(ArgAction::Set),
    }
}
