//! Which driver a host gets, by what works there and who has rules.

use std::sync::Arc;

use async_trait::async_trait;
use lxd_host::{Cmd, CmdError, Runner};
use lxd_types::Result;
use tokio::sync::OnceCell;

use super::nft::Nft;
use super::xtables::Xtables;
use super::{Change, Driver};

/// Rules of hosts with many containers are long.
const OUTPUT: usize = 64 << 20;

/// One of `iptables`, `ip6tables` and `ebtables`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tool {
    /// It is not there.
    Missing,
    /// It writes rules of nftables.
    Shim,
    /// It is the old one, and there are rules.
    Legacy {
        /// Whether there are rules.
        rules: bool,
    },
}

/// What is chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Choice {
    Nftables,
    Xtables,
    /// The tools are not all what the driver is made for.
    XtablesWithWarning,
}

/// The choice, by whether there are rules in nftables (`None`: it does not work).
fn choose(nftables: Option<bool>, tools: [Tool; 3]) -> Choice {
    let legacy = tools.iter().all(|tool| matches!(tool, Tool::Legacy { .. }));
    let rules = tools.iter().any(|tool| matches!(tool, Tool::Legacy { rules: true }));
    match nftables {
        Some(false) if legacy && rules => Choice::Xtables,
        Some(_) => Choice::Nftables,
        None if legacy => Choice::Xtables,
        None => Choice::XtablesWithWarning,
    }
}

/// The driver that fits, found out when it is used for the first time.
pub struct Chosen {
    runner: Arc<dyn Runner>,
    found: OnceCell<(&'static str, Box<dyn Driver>)>,
}

impl Chosen {
    /// For this host.
    pub fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner, found: OnceCell::new() }
    }

    async fn find(&self) -> &(&'static str, Box<dyn Driver>) {
        let find = async {
            let choice = look(self.runner.as_ref()).await;
            if choice == Choice::XtablesWithWarning {
                tracing::warn!(
                    "nft does not work and the tools of xtables are not all there and the old ones: firewall rules may fail"
                );
            }
            let runner = self.runner.clone();
            match choice {
                Choice::Nftables => ("nftables", Box::new(Nft::new(runner)) as Box<dyn Driver>),
                _ => ("xtables", Box::new(Xtables::new(runner)) as Box<dyn Driver>),
            }
        };
        self.found.get_or_init(async || find.await).await
    }
}

#[async_trait]
impl Driver for Chosen {
    async fn apply(&self, changes: &[Change]) -> Result<i32> {
        self.find().await.1.apply(changes).await
    }

    fn name(&self) -> &'static str {
        self.found.get().map_or("nftables", |(name, _)| name)
    }
}

async fn look(runner: &dyn Runner) -> Choice {
    let rules = |text: String| text.contains("\"rule\":");
    let nftables = read(runner, Cmd::new("nft").args(["--json", "-nn", "list", "ruleset"])).await;
    let nftables = nftables.ok().map(rules);
    if nftables == Some(true) {
        return Choice::Nftables;
    }
    let tools = [
        tool(runner, "iptables", Cmd::new("iptables-save"), "-A ").await,
        tool(runner, "ip6tables", Cmd::new("ip6tables-save"), "-A ").await,
        tool(runner, "ebtables", Cmd::new("ebtables").arg("-L"), "-").await,
    ];
    choose(nftables, tools)
}

/// What a tool is; its rules are lines that begin like this.
async fn tool(runner: &dyn Runner, name: &str, list: Cmd, start: &str) -> Tool {
    match read(runner, Cmd::new(name).arg("-V")).await {
        Err(_) => Tool::Missing,
        Ok(version) if version.contains("nf_tables") => Tool::Shim,
        Ok(_) => {
            let listed = read(runner, list).await.unwrap_or_default();
            Tool::Legacy { rules: listed.lines().any(|line| line.starts_with(start)) }
        }
    }
}

async fn read(runner: &dyn Runner, cmd: Cmd) -> Result<String, CmdError> {
    runner.run(cmd.output_limit(OUTPUT)).await.map(|output| output.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_choices() {
        let (old, used) = (Tool::Legacy { rules: false }, Tool::Legacy { rules: true });
        for (nftables, tools, choice) in [
            (Some(true), [used, used, used], Choice::Nftables),
            (Some(true), [Tool::Missing; 3], Choice::Nftables),
            (Some(false), [used, old, old], Choice::Xtables),
            (Some(false), [old, old, used], Choice::Xtables),
            (Some(false), [old, old, old], Choice::Nftables),
            (Some(false), [used, used, Tool::Missing], Choice::Nftables),
            (Some(false), [used, Tool::Shim, old], Choice::Nftables),
            (None, [old, old, old], Choice::Xtables),
            (None, [used, old, old], Choice::Xtables),
            (None, [Tool::Shim, Tool::Shim, Tool::Shim], Choice::XtablesWithWarning),
            (None, [old, old, Tool::Missing], Choice::XtablesWithWarning),
        ] {
            assert_eq!(choose(nftables, tools), choice, "{nftables:?} {tools:?}");
        }
    }
}
