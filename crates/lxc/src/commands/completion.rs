//! `lxc completion`: completions of the command line for shells.

use anyhow::{Result, bail};
use clap_complete::Shell;

use crate::cli::{Matches, Spec, to_clap};

/// The command.
pub static SPEC: Spec = Spec {
    name: "completion",
    args: "bash|zsh|fish",
    about: "Print completions for a shell",
    examples: "  lxc completion bash > /usr/share/bash-completion/completions/lxc",
    count: (1, 1),
    hidden: true,
    run: Some(|_, m| Box::pin(async { run(m) })),
    ..Spec::NEW
};

fn run(matches: &Matches) -> Result<()> {
    let shell = match matches.arg(0) {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => bail!("Unknown shell {other:?}: bash, zsh and fish are known"),
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut to_clap(&super::ROOT), "lxc", &mut text);
    crate::output::print(&String::from_utf8_lossy(&text));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_commands_are_completed() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut to_clap(&crate::commands::ROOT), "lxc", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("attach-profile") && text.contains("volume"), "{shell}");
        }
    }
}
